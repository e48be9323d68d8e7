"""Small network without pooling, for robust mutants.

Every layer but the last has a batch normalisation, which is folded into it when the network is
exported. What is left is convolutions, dense layers and rectifiers, through which bounds are easily
propagated.
"""

from dataclasses import dataclass

from torch import nn

from mutant_store.datasets.conversion import Shape
from mutant_store.networks.tone_curve import ToneCurve

_KERNEL, _STRIDE, _PADDING = 4, 2, 1


@dataclass(frozen=True)
class Strided:
    """Maker of networks of strided 4×4 convolutions, a dense layer and the scores.

    Attributes:
        shape: height and width in pixels, and channels, of the images.
        classes: number of classes.
        channels: number of channels of each convolution; each halves height and width.
        dense: number of units of the dense layer.
        width: factor of these numbers.
        grey: mean and standard deviation of normalised grey images, which pass a ``ToneCurve`` first;
            None leaves it out.
    """

    shape: Shape
    classes: int
    channels: tuple[int, ...] = (16, 32)
    dense: int = 100
    width: float = 1.0
    grey: tuple[float, float] | None = None

    @property
    def name(self) -> str:
        """Name in records."""
        return "strided"

    def build(self) -> nn.Sequential:
        """Make a network that maps float32 [N, C, H, W] to logits [N, classes]."""
        height, width, inputs = self.shape
        network = nn.Sequential()
        if self.grey is not None:
            network.append(ToneCurve(*self.grey))
        for outputs in map(self._scaled, self.channels):
            network.append(nn.Conv2d(inputs, outputs, _KERNEL, _STRIDE, _PADDING, bias=False))
            network.extend([nn.BatchNorm2d(outputs), nn.ReLU()])
            height, width, inputs = height // _STRIDE, width // _STRIDE, outputs
        units = self._scaled(self.dense)
        network.append(nn.Flatten())
        network.append(nn.Linear(inputs * height * width, units, bias=False))
        network.extend([nn.BatchNorm1d(units), nn.ReLU(), nn.Linear(units, self.classes)])
        return network

    def _scaled(self, units: int) -> int:
        return max(1, round(self.width * units))
