"""GoogLeNet for 32×32 images.

Szegedy et al.: Going deeper with convolutions. CVPR 2015. The network is the one that the paper
trains on CIFAR-10: one 3×3 convolution in place of the stem, two 3×3 convolutions in place of each
5×5, batch normalisation behind every convolution (each with a bias), and no auxiliary classifiers.
"""

import torch
from torch import Tensor, nn

_STEM = 192
# Width of the 1×1 branch; reduction and width of the 3×3 branch; of the 5×5 branch; width behind
# the pooling. A None halves height and width.
_INCEPTIONS = (
    (64, 96, 128, 16, 32, 32),
    (128, 128, 192, 32, 96, 64),
    None,
    (192, 96, 208, 16, 48, 64),
    (160, 112, 224, 24, 64, 64),
    (128, 128, 256, 24, 64, 64),
    (112, 144, 288, 32, 64, 64),
    (256, 160, 320, 32, 128, 128),
    None,
    (256, 160, 320, 32, 128, 128),
    (384, 192, 384, 48, 128, 128),
)


def _convolution(inputs: int, outputs: int, size: int) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, size, padding=size // 2),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    ]


class Inception(nn.Module):
    """Four branches over the same features, one behind the other in the channels of the output.

    Attributes:
        outputs: number of channels of the output.
    """

    def __init__(
        self, inputs: int, one: int, reduce3: int, three: int, reduce5: int, five: int, pooled: int
    ) -> None:
        """Make the branches.

        Args:
            inputs: number of channels of the input.
            one: width of the 1×1 branch.
            reduce3: width of the reduction before the 3×3 branch.
            three: width of the 3×3 branch.
            reduce5: width of the reduction before the 5×5 branch.
            five: width of the 5×5 branch.
            pooled: width behind the pooling.
        """
        super().__init__()
        self.branch1 = nn.Sequential(*_convolution(inputs, one, 1))
        self.branch3 = nn.Sequential(*_convolution(inputs, reduce3, 1), *_convolution(reduce3, three, 3))
        self.branch5 = nn.Sequential(
            *_convolution(inputs, reduce5, 1), *_convolution(reduce5, five, 3), *_convolution(five, five, 3)
        )
        self.branch_pool = nn.Sequential(nn.MaxPool2d(3, 1, padding=1), *_convolution(inputs, pooled, 1))
        self.outputs = one + three + five + pooled

    def forward(self, features: Tensor) -> Tensor:
        """Return features [N, outputs, H, W] of features [N, inputs, H, W]."""
        branches = self.branch1, self.branch3, self.branch5, self.branch_pool
        return torch.cat([branch(features) for branch in branches], 1)


class GoogLeNet(nn.Module):
    """Stem, nine inceptions and a dense layer: 7,914 neurons with ten classes."""

    def __init__(self, classes: int = 10) -> None:
        """Make the untrained network for a number of ``classes``."""
        super().__init__()
        self.stem = nn.Sequential(*_convolution(3, _STEM, 3))
        self.inceptions = nn.Sequential()
        channels = _STEM
        for widths in _INCEPTIONS:
            if widths is None:
                self.inceptions.append(nn.MaxPool2d(3, 2, padding=1))
                continue
            inception = Inception(channels, *widths)
            self.inceptions.append(inception)
            channels = inception.outputs
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dense = nn.Linear(channels, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits [N, classes] of normalised images float32 [N, 3, 32, 32]."""
        features = self.pool(self.inceptions(self.stem(images)))
        logits: Tensor = self.dense(features.flatten(1))
        return logits
