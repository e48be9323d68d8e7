"""Images that the memory of queries is measured with, and the classifiers of them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluation.queries.clean_streams import Classify, Pixels
from evaluation.server import ORDER_KEY
from mutant_store.datasets import load
from mutant_store.graph.classifier import load_classifier
from mutant_store.loading.input_spec import InputOptions, resolve_input
from service.probing.fingerprint import Fingerprint

_MODELS = Path(__file__).parents[2] / "models"


@dataclass(frozen=True, eq=False)
class ProbedData:
    """Images of one kind.

    Attributes:
        title: name for people.
        key: name within names of figures.
        earlier: uint8 [N, H, W, C], images that were asked before.
        images: uint8 [N, H, W, C], images that are measured with; no threshold was chosen on them.
        classify: classifier of the images.
        classes: number of its classes; 1 where it answers all images alike.
    """

    title: str
    key: str
    earlier: Pixels
    images: Pixels
    classify: Classify
    classes: int = 10

    @property
    def fingerprint(self) -> Fingerprint:
        """Fingerprint of the images' size, under the key of published figures."""
        height, width, channels = self.images.shape[1:]
        return Fingerprint(ORDER_KEY.encode(), height, width, channels)


def subjects(data: Path, quick: bool, say: Callable[[str], None]) -> list[ProbedData]:
    """Load MNIST, CIFAR-10 and the ImageNet samples, a tenth of them where it is to be quick.

    Raises:
        DataError: the images are not there.
    """
    say("images")
    mnist, cifar = f"mnist:{data}/mnist", f"imagefolder:{data}/cifar10"
    samples = load(
        f"imagefolder:{data}/imagenet-samples/images.tar", shape=(224, 224, 3), resize="crop:256:bilinear"
    ).images
    count = 1000 if quick else 10_000
    half = (100 if quick else len(samples)) // 2
    return [
        ProbedData(
            "MNIST",
            "mnist",
            load(f"{mnist}@train[0:{4 * count}]").images,
            load(f"{mnist}@test[0:{count}]").images,
            _classifier("mnist-lenet.onnx", mnist),
        ),
        ProbedData(
            "CIFAR-10 (JPEG)",
            "cifar10",
            load(f"{cifar}@train[0:{4 * count}]").images,
            load(f"{cifar}@test[3000:{min(3000 + count, 10_000)}]").images,
            _classifier("cifar10-resnet20.onnx", cifar),
        ),
        ProbedData("ImageNet samples", "imagenet", samples[:half], samples[half : 2 * half], _one_answer, 1),
    ]


def _classifier(file: str, spec: str) -> Classify:
    classifier = load_classifier(_MODELS / file)
    form, _ = resolve_input(classifier, f"{spec}@test[0:1]", InputOptions())

    def classify(images: Pixels) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        scores = classifier.scores(form.tensor(images)).astype(np.float64)
        shares = np.exp(scores - scores.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        return shares.argmax(axis=1), shares.max(axis=1).astype(np.float32)

    return classify


def _one_answer(images: Pixels) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Answer all images alike: there is no classifier for them among the models."""
    return np.zeros(len(images), np.int64), np.ones(len(images), np.float32)
