"""Residual network for 32×32 images.

He, Zhang, Ren, Sun: Deep residual learning for image recognition. CVPR 2016, section 4.2. Where a
block changes the number of channels, the shortcut is a 1×1 convolution (their option B).
"""

from torch import Tensor, nn


class Block(nn.Module):
    """Two 3×3 convolutions and the shortcut around them."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        """Make a block from ``inputs`` to ``outputs`` channels.

        Height and width are divided by ``stride``.
        """
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if inputs != outputs:
            self.shortcut.append(nn.Conv2d(inputs, outputs, 1, stride, bias=False))
            self.shortcut.append(nn.BatchNorm2d(outputs))

    def forward(self, features: Tensor) -> Tensor:
        """Return features [N, outputs, H/stride, W/stride] of features [N, inputs, H, W]."""
        residual: Tensor = self.norm1(self.conv1(features)).relu()
        residual = self.norm2(self.conv2(residual))
        summed: Tensor = residual + self.shortcut(features)
        return summed.relu()


class ResNet20(nn.Module):
    """Three stages of three blocks with 16, 32 and 64 channels.

    There are 272,474 parameters with ten classes.
    """

    def __init__(self, classes: int = 10, width: float = 1.0) -> None:
        """Make the untrained network for a number of ``classes``.

        All numbers of channels are multiplied by ``width``.
        """
        super().__init__()
        stages = [max(1, round(width * channels)) for channels in (16, 32, 64)]
        inputs = stages[0]
        self.conv = nn.Conv2d(3, inputs, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(inputs)
        self.blocks = nn.Sequential()
        for stage, outputs in enumerate(stages):
            for position in range(3):
                stride = 2 if position == 0 and stage else 1
                self.blocks.append(Block(inputs, outputs, stride))
                inputs = outputs
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dense = nn.Linear(inputs, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """Return logits [N, classes] of normalised images float32 [N, 3, 32, 32]."""
        features: Tensor = self.norm(self.conv(images)).relu()
        features = self.pool(self.blocks(features))
        logits: Tensor = self.dense(features.flatten(1))
        return logits
