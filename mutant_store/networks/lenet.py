"""LeNet-5 as the paper uses it on MNIST.

LeCun, Bottou, Bengio, Haffner: Gradient-based learning applied to document recognition. Proc. IEEE
86(11), 1998.
"""

from torch import Tensor, nn


class LeNet(nn.Module):
    """Two convolutions with 6 and 16 channels, then 120, 84 and 10 dense units.

    There are 236 neurons and 61,706 parameters with ten classes.
    """

    def __init__(self, classes: int = 10) -> None:
        """Make the untrained network for a number of ``classes``."""
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.pool = nn.MaxPool2d(2)
        self.dense1 = nn.Linear(16 * 5 * 5, 120)
        self.dense2 = nn.Linear(120, 84)
        self.dense3 = nn.Linear(84, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits float32 [N, classes] of normalised images float32 [N, 1, 28, 28]."""
        features: Tensor = self.pool(self.conv1(images).relu())
        features = self.pool(self.conv2(features).relu())
        features = self.dense1(features.flatten(1)).relu()
        features = self.dense2(features).relu()
        logits: Tensor = self.dense3(features)
        return logits
