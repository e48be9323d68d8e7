"""Classifiers that the evaluation trains, by name, with their data and training settings."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from mutant_store.datasets.conversion import Shape
from mutant_store.networks.digits_net import DigitsNet
from mutant_store.networks.googlenet import GoogLeNet
from mutant_store.networks.lenet import LeNet
from mutant_store.networks.resnet import ResNet20

__all__ = ["CLASSIFIERS", "Network"]


@dataclass(frozen=True)
class Network:
    """Construction and training settings of a network.

    Attributes:
        build: function that makes the untrained network for a number of classes; the network maps
            float32 [N, C, H, W] to [N, classes].
        data: SPEC of the training images.
        shape: height and width in pixels, and channels, that the network takes.
        mean: one number per channel, subtracted from pixels scaled to 0 to 1.
        std: one number per channel, by which the difference is divided.
        epochs: passes over the training images.
        batch_size: images per step.
        learning_rate: peak of the schedule.
        shift: largest number of pixels by which a training image is moved along each axis.
        flip: whether training images are mirrored at random.
        erase: side in pixels of the square that is blanked in a training image; 0 blanks none.
        bf16: whether bfloat16 arithmetic pays in training, where a device has instructions for it, and
            channels behind all other axes, which pay anywhere.
        threads: CPU threads to train with; None leaves the number to torch. Threads that wait for
            each other at every step of a tiny network cost many times the training itself when the
            machine has other work to do.
    """

    build: Callable[[int], nn.Module]
    data: str
    shape: Shape
    mean: tuple[float, ...]
    std: tuple[float, ...]
    epochs: int
    batch_size: int
    learning_rate: float
    shift: int = 0
    flip: bool = False
    erase: int = 0
    bf16: bool = False
    threads: int | None = None

    def bf16_on(self, device: str) -> bool:
        """Check whether bfloat16 arithmetic pays in training on a device, ``cpu`` or ``cuda``.

        A processor without instructions for it takes eight times as long as in float32.
        """
        return self.bf16 and (device == "cuda" or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()))


CLASSIFIERS = {
    "digits-net": Network(
        build=DigitsNet,
        data="digits@train",
        shape=(8, 8, 1),
        mean=(0.3053,),
        std=(0.3761,),
        epochs=40,
        batch_size=32,
        learning_rate=0.05,
        shift=1,
        threads=1,
    ),
    "lenet": Network(
        build=LeNet,
        data="mnist@train",
        shape=(28, 28, 1),
        mean=(0.1307,),
        std=(0.3081,),
        epochs=12,
        batch_size=64,
        learning_rate=0.05,
        threads=2,
    ),
    "resnet20": Network(
        build=ResNet20,
        data="imagefolder@train",
        shape=(32, 32, 3),
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2470, 0.2435, 0.2616),
        epochs=66,
        batch_size=128,
        learning_rate=0.1,
        shift=4,
        flip=True,
        erase=8,
        bf16=True,
    ),
    "googlenet": Network(
        build=GoogLeNet,
        data="imagefolder@train",
        shape=(32, 32, 3),
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2470, 0.2435, 0.2616),
        epochs=100,
        batch_size=128,
        learning_rate=0.1,
        shift=4,
        flip=True,
        erase=8,
        bf16=True,
    ),
}
