"""Images that the memory of queries is measured with, and the classifiers of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from benchmarks.probing.embeddings import Embed, embeddings
from evaluation.imagenet.classifiers import PublishedClassifier
from evaluation.queries.clean_streams import Classify, Pixels
from evaluation.server import ORDER_KEY
from mutant_store.datasets import load
from mutant_store.graph.classifier import load_classifier
from mutant_store.loading.input_spec import InputOptions, resolve_input
from service.probing.fingerprint import Fingerprint

_MODELS = Path(__file__).parents[2] / "models"
_AS_SAVED = InputOptions()
_LARGE = 100_000
"""Values of an image above which it is large."""


@dataclass(frozen=True, eq=False)
class ProbedData:
    """Images of one kind.

    Attributes:
        title: name for people.
        key: name within names of figures.
        earlier: uint8 [N, H, W, C], images that were asked before.
        images: uint8 [N, H, W, C], images that are measured with; no threshold was chosen on them.
        classify: classifier of the images.
        classes: number of its classes.
        embed: embeddings that it computes anyway, by name.
    """

    title: str
    key: str
    earlier: Pixels
    images: Pixels
    classify: Classify
    classes: int = 10
    embed: Mapping[str, Embed] = field(default_factory=dict)

    @property
    def large(self) -> bool:
        """Whether the images are so large that fewer of them are measured."""
        return int(self.images[0].size) > _LARGE

    @property
    def fingerprint(self) -> Fingerprint:
        """Fingerprint of the images' size, under the key of published figures."""
        height, width, channels = self.images.shape[1:]
        return Fingerprint(ORDER_KEY.encode(), height, width, channels)


def subjects(data: Path, quick: bool, say: Callable[[str], None]) -> list[ProbedData]:
    """Load MNIST, CIFAR-10 and the ImageNet samples, a tenth of them where it is to be quick.

    Raises:
        DataError: the images are not there.
        ModelError: the package with the published weights is not installed.
    """
    say("images")
    mnist, cifar = f"mnist:{data}/mnist", f"imagefolder:{data}/cifar10"
    photographs = f"imagefolder:{data}/imagenet-samples/images.tar"
    published = PublishedClassifier.named("lite0")
    samples = load(photographs, shape=(published.size, published.size, 3), resize=published.resize)
    count = 1000 if quick else 10_000
    half = (100 if quick else len(samples.images)) // 2
    with TemporaryDirectory() as folder:
        lite = published.export(Path(folder), samples.class_names)
        photographed = _classified(lite, photographs, InputOptions(resize=published.resize))
    return [
        ProbedData(
            "MNIST",
            "mnist",
            load(f"{mnist}@train[0:{4 * count}]").images,
            load(f"{mnist}@test[0:{count}]").images,
            *_classified(_MODELS / "mnist-lenet.onnx", f"{mnist}@test"),
        ),
        ProbedData(
            "CIFAR-10 (JPEG)",
            "cifar10",
            load(f"{cifar}@train[0:{4 * count}]").images,
            load(f"{cifar}@test[3000:{min(3000 + count, 10_000)}]").images,
            *_classified(_MODELS / "cifar10-resnet20.onnx", f"{cifar}@test"),
        ),
        ProbedData(
            "ImageNet samples",
            "imagenet",
            samples.images[:half],
            samples.images[half : 2 * half],
            *photographed,
        ),
    ]


def _classified(
    file: Path, spec: str, options: InputOptions = _AS_SAVED
) -> tuple[Classify, int, dict[str, Embed]]:
    """Return the classifier of a file for images of a SPEC, its number of classes and its embeddings."""
    classifier = load_classifier(file)
    form, probe = resolve_input(classifier, f"{spec}[0:1]", options)

    def classify(images: Pixels) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        scores = classifier.scores(form.tensor(images)).astype(np.float64)
        shares = np.exp(scores - scores.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        return shares.argmax(axis=1), shares.max(axis=1).astype(np.float32)

    classes = classifier.scores(form.tensor(probe.images)).shape[1]
    return classify, classes, embeddings(classifier, form)
