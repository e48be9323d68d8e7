"""Small network for 8×8 grey images: the demo's classifier."""

from torch import Tensor, nn


class DigitsNet(nn.Module):
    """Two convolutions and two dense layers, trained in seconds.

    There are 29,914 parameters with ten classes.
    """

    def __init__(self, classes: int = 10) -> None:
        """Make the untrained network for a number of ``classes``."""
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.dense1 = nn.Linear(32 * 4 * 4, 48)
        self.dense2 = nn.Linear(48, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits float32 [N, classes] of normalised images float32 [N, 1, 8, 8]."""
        features: Tensor = self.conv1(images).relu()
        features = self.pool(self.conv2(features).relu())
        features = self.dense1(features.flatten(1)).relu()
        logits: Tensor = self.dense2(features)
        return logits
