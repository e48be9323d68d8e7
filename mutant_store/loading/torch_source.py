"""Networks that a build is given, exported to ONNX for the bank and kept for training."""

from dataclasses import dataclass, replace
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import nn

from mutant_guard.errors import ModelError
from mutant_guard.store.choices import OutputKind
from mutant_guard.store.manifest import InputSpec
from mutant_guard.store.model_card import ModelCard
from mutant_store.boundary import boundary, check_no_pointer
from mutant_store.datasets import load
from mutant_store.datasets.conversion import Shape
from mutant_store.graph.classifier import Classifier, load_classifier
from mutant_store.graph.original import Scores
from mutant_store.graph.own_names import names_of
from mutant_store.loading.input_spec import InputOptions
from mutant_store.loading.subject import Subject
from mutant_store.networks import CLASSIFIERS, weights
from mutant_store.networks import Network as Spec
from mutant_store.networks.architecture import Architecture, Made, Registered
from mutant_store.networks.conversion import converted
from mutant_store.networks.onnx_export import largest_difference, to_onnx

_MODELS = Path(__file__).resolve().parents[2] / "models"
_COMMITTED = {"lenet": "mnist-lenet", "resnet20": "cifar10-resnet20"}
_CHECKED = 16
_CONVERTED_ON, _CONVERTED_VALUES = 64, 1 << 20
_SAME = 1e-3
_BLOCK = 128


@dataclass(frozen=True, eq=False)
class TorchOriginal:
    """Original as a network that can be trained.

    Attributes:
        network: the network, in evaluation mode on the CPU.
        architecture: recipe to make another network of this kind.
        spec: settings of training: variation of images and arithmetic.
    """

    network: nn.Module
    architecture: Architecture
    spec: Spec


def registered() -> list[str]:
    """Return the names of this project's networks."""
    return list(CLASSIFIERS)


def committed_weights(name: str) -> Path:
    """Return the file of a registered network's trained weights that comes with the project.

    Raises:
        ModelError: there is none.
    """
    path = _MODELS / f"{_COMMITTED.get(name, name)}.safetensors"
    if not path.exists():
        raise ModelError(
            f"no trained weights of {name} come with this installation (a checkout of the repository has some in "
            "models/): give them with --weights"
        )
    return path


def of_file(path: Path, name: str | None = None) -> TorchOriginal:
    """Read a registered network with the weights of a training run.

    Args:
        path: file of the weights.
        name: name that the network must have; None takes any.

    Raises:
        ModelError: the file cannot be loaded, see ``weights.load``, or holds the weights of another
            network.
    """
    trained = weights.load(path)
    if name not in (None, trained.name):
        raise ModelError(f"{path} holds the weights of {trained.name}, not of {name}")
    classes = _scores(trained.network, _noise(trained.classifier)).shape[1]
    return TorchOriginal(trained.network, Registered(trained.name, classes), trained.classifier)


def of_callable(text: str, path: Path, data: str, options: InputOptions) -> TorchOriginal:
    """Make a network with ``module:callable`` and load its weights from a file.

    Args:
        text: ``module:callable``, imported and called.
        path: file of the weights: safetensors, or a state dict that torch saved, of which only
            tensors are unpickled.
        data: SPEC of images of the size that the network takes.
        options: input options, with the network's normalisation.

    Raises:
        ModelError: the network cannot be made, the weights are not its own, or it does not take
            such images.
        DataError: the images cannot be read.
    """
    architecture = Made(text)
    network = architecture.build()
    state = _state(path)
    remedy = "give the weights that belong to it"
    with boundary(ModelError, f"{path} does not hold the weights of what {text} makes", remedy):
        network.load_state_dict(state)
    if options.size is None:
        height, width, channels = load(data).images.shape[1:]
    else:
        height, width, channels = *options.size, len(options.mean or [0.0] * 3)
    return described(network, architecture, data, (height, width, channels), options)


def described(
    network: nn.Module, architecture: Architecture, data: str, shape: Shape, options: InputOptions
) -> TorchOriginal:
    """Return a network with a description of its input, on which it has run.

    Args:
        network: the network with its trained weights.
        architecture: recipe that made it.
        data: SPEC of images, for records.
        shape: height, width and channels of the images that the network takes.
        options: input options, with the network's normalisation.

    Raises:
        ModelError: the network does not take such images, or does not answer with a row of scores
            each.
    """
    height, width, channels = shape
    spec = Spec(
        build=lambda _: architecture.build(),
        data=data,
        shape=shape,
        mean=tuple(options.mean or [0.0] * channels),
        std=tuple(options.std or [1.0] * channels),
        epochs=1,
        batch_size=1,
        learning_rate=0.0,
    )
    network.eval()
    what = f"what {architecture.name} makes fails on images of {width}×{height} with {channels} channel(s)"
    with boundary(ModelError, what, "it must take images of this size, and return one tensor of scores"):
        scores = _scores(network, _noise(spec)).shape
    if len(scores) != 2:
        raise ModelError(
            f"what {architecture.name} makes answers with shape {list(scores)}, not [images, classes]"
        )
    return TorchOriginal(network, architecture, spec)


def exported(
    original: TorchOriginal, path: Path, output_kind: OutputKind | None
) -> tuple[Classifier, TorchOriginal, Scores]:
    """Return a network as an ONNX classifier, the network itself, and its own scores of images.

    An ONNX file beside the weights may describe the same network. Its metadata is then taken over:
    above all which images trained the network.

    Args:
        original: the network.
        path: file of its weights.
        output_kind: kind of the class scores, see ``load_classifier``.

    Raises:
        ModelError: the network cannot be exported faithfully.
    """
    probe = _noise(original.spec)
    card = _card_beside(path.with_suffix(".onnx"), original, probe) or ModelCard(
        mean=list(original.spec.mean), std=list(original.spec.std), layout="nchw"
    )
    content = to_onnx(original.network, card, probe)
    largest_difference(content, original.network, probe)
    classifier = load_classifier(onnx.load_from_string(content), output_kind=output_kind)
    own = replace(classifier, names=_names_of(original.network))
    return own, original, partial(_all_scores, original.network)


def of_graph(subject: Subject) -> TorchOriginal:
    """Return the subject's graph as a network, see ``as_network``.

    Raises:
        ModelError: the graph cannot be converted faithfully; the message says what to give instead.
    """
    return as_network(subject.classifier, subject.input, subject.filter.data.images)


def as_network(classifier: Classifier, taken: InputSpec, images: NDArray[np.uint8]) -> TorchOriginal:
    """Return a graph as a network, compared with the graph on real images.

    Args:
        classifier: the graph.
        taken: pixels that it takes.
        images: uint8 [N, H, W, C], the images, of which some are compared.

    Raises:
        ModelError: the graph cannot be converted faithfully; the message says what to give instead.
    """
    values = int(np.prod(images.shape[1:]))
    images = images[: max(2, min(_CONVERTED_ON, _CONVERTED_VALUES // values))]
    normalised = taken.model_copy(update={"layout": "nchw"}).tensor(images)
    network, architecture = converted(classifier, taken.layout, normalised)
    spec = Spec(
        build=lambda _: architecture.build(),
        data="",
        shape=(taken.height, taken.width, taken.channels),
        mean=tuple(taken.mean),
        std=tuple(taken.std),
        epochs=1,
        batch_size=1,
        learning_rate=0.0,
    )
    return TorchOriginal(network, architecture, spec)


def _state(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise ModelError(f"there is no {path}")
    what = f"{path} is neither safetensors nor a state dict of tensors alone"
    with boundary(ModelError, what, "save model.state_dict()"):
        check_no_pointer(path, ModelError)
        if path.suffix == ".safetensors":
            found: dict[str, Any] = safetensors.torch.load_file(path)
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    return found


def _noise(spec: Spec) -> NDArray[np.float32]:
    height, width, channels = spec.shape
    shape = _CHECKED, channels, height, width
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


@torch.inference_mode()
def _scores(network: nn.Module, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    scores: NDArray[np.float32] = network(torch.from_numpy(inputs)).numpy()
    return scores


def _all_scores(network: nn.Module, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    parts = np.array_split(inputs, ceil(len(inputs) / _BLOCK))
    return np.concatenate([_scores(network, part) for part in parts])


def _names_of(network: nn.Module) -> list[str] | None:
    """Return the class names that a network carries as other projects' networks do."""
    for holder in (network, getattr(network, "config", None)):
        for attribute in ("id2label", "names", "class_names", "classes"):
            if found := names_of(getattr(holder, attribute, None)):
                return found
    return None


def _card_beside(path: Path, original: TorchOriginal, probe: NDArray[np.float32]) -> ModelCard | None:
    if not path.exists():
        return None
    try:
        classifier = load_classifier(path)
        there = classifier.scores(probe)
    except ModelError:
        return None
    here = _scores(original.network, probe)
    same = here.shape == there.shape and np.allclose(here, there, rtol=_SAME, atol=_SAME)
    return classifier.card if same else None
