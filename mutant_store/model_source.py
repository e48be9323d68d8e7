"""The classifier a build is given: an ONNX file, trained weights, or a network by name."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
from numpy.typing import NDArray

from mutant_store.classifier import Classifier, load_classifier
from mutant_store.errors import ModelError
from mutant_store.model_card import ModelCard, OutputKind

if TYPE_CHECKING:  # torch takes a second to import, and ONNX files do without
    from torch import nn

    from mutant_store.networks import Classifier as Spec
    from mutant_store.networks.architecture import Architecture

_MODELS = Path(__file__).resolve().parents[1] / "models"
_COMMITTED = {"lenet": "mnist-lenet", "resnet20": "cifar10-resnet20"}
_CHECKED = 16
_SAME = 1e-3


@dataclass(frozen=True)
class ModelSource:
    """What the user named.

    Attributes:
        model: an ONNX file; a .safetensors file that a training run of this project wrote; a registered network's
            name; or ``module:callable``, which makes a network without arguments.
        weights: of the last two, a file.
    """

    model: str
    weights: Path | None = None


@dataclass(frozen=True, eq=False)
class TorchOriginal:
    """The original as something to train: in evaluation mode on the CPU, how it is made, how images are varied."""

    network: "nn.Module"
    architecture: "Architecture"
    spec: "Spec"


@dataclass(frozen=True, eq=False)
class Original:
    """A classifier as a graph, and as a network where it is known as one."""

    classifier: Classifier
    torch: TorchOriginal | None


def open_original(
    source: ModelSource, *, output: str | None = None, output_kind: OutputKind | None = None
) -> Original:
    """Find and read the classifier; a network is exported to ONNX.

    Args:
        source: what the user named.
        output: see :func:`mutant_store.classifier.load_classifier`.
        output_kind: likewise.

    Raises:
        ModelError: there is no such model, its weights are missing, or it is no image classifier.
    """
    if source.model.endswith(".safetensors"):
        return _exported(_of_weights(Path(source.model)), Path(source.model), output_kind)
    if _is_registered(source.model):
        path = source.weights or _committed(source.model)
        return _exported(_of_weights(path, source.model), path, output_kind)
    if source.weights is not None:
        raise ModelError(
            f"--weights belongs to a network by name or module:callable, and '{source.model}' is neither"
        )
    return Original(load_classifier(Path(source.model), output=output, output_kind=output_kind), None)


def _is_registered(name: str) -> bool:
    if not name.replace("-", "").isalnum():
        return False
    from mutant_store.networks import CLASSIFIERS

    return name in CLASSIFIERS


def _committed(name: str) -> Path:
    path = _MODELS / f"{_COMMITTED.get(name, name)}.safetensors"
    if not path.exists():
        raise ModelError(f"there are no trained weights of {name} at {path}: name a file with --weights")
    return path


def _of_weights(path: Path, name: str | None = None) -> TorchOriginal:
    import torch

    from mutant_store.networks import weights
    from mutant_store.networks.architecture import Architecture

    trained = weights.load(path)
    if name not in (None, trained.name):
        raise ModelError(f"{path} holds the weights of {trained.name}, not of {name}")
    with torch.inference_mode():
        classes = trained.network(torch.from_numpy(_probe(trained.classifier))).shape[1]
    return TorchOriginal(trained.network, Architecture(trained.name, classes), trained.classifier)


def _exported(original: TorchOriginal, path: Path, output_kind: OutputKind | None) -> Original:
    from mutant_store.networks.onnx_export import largest_difference, to_onnx

    probe = _probe(original.spec)
    card = _card_beside(path.with_suffix(".onnx"), original, probe) or ModelCard(
        mean=list(original.spec.mean), std=list(original.spec.std), layout="nchw"
    )
    content = to_onnx(original.network, card, probe)
    largest_difference(content, original.network, probe)
    return Original(load_classifier(onnx.load_from_string(content), output_kind=output_kind), original)


def _probe(spec: "Spec") -> NDArray[np.float32]:
    height, width, channels = spec.shape
    shape = _CHECKED, channels, height, width
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def _card_beside(path: Path, original: TorchOriginal, probe: NDArray[np.float32]) -> ModelCard | None:
    """What the ONNX file that a training run wrote beside the weights says of it, if it is the same network."""
    if not path.exists():
        return None
    import torch

    try:
        classifier = load_classifier(path)
        there = classifier.scores(probe)
    except ModelError:
        return None
    with torch.inference_mode():
        here = original.network(torch.from_numpy(probe)).numpy()
    same = here.shape == there.shape and np.allclose(here, there, rtol=_SAME, atol=_SAME)
    return classifier.card if same else None
