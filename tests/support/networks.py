"""Random small torch classifiers of every kind the bank takes, and their ONNX files."""

import warnings
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional


class Residual(nn.Module):
    """Network of convolutions, one grouped, with batch normalisation around a skip connection."""

    def __init__(self, channels: int, width: int, classes: int, *, softmax: bool) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.inner = nn.Conv2d(width, width, 3, padding=1, groups=width // 2, bias=False)
        self.inner_norm = nn.BatchNorm2d(width)
        self.pre_norm = nn.BatchNorm2d(width)
        self.dense = nn.Linear(width, classes)
        self.softmax = softmax

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm(self.stem(x)))
        x = torch.relu(x + self.inner_norm(self.inner(x)))
        x = self.pre_norm(x).mean((2, 3))
        scores: torch.Tensor = self.dense(x.view(x.size(0), -1))
        return torch.softmax(scores, 1) if self.softmax else scores


class Tokens(nn.Module):
    """Network of dense layers on three-dimensional activations, as in a transformer.

    Its layers become MatMul with a separate Add.
    """

    def __init__(self, pixels: int, width: int, classes: int) -> None:
        super().__init__()
        self.embed = nn.Linear(pixels, width)
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width)
        self.head = nn.Linear(width, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.embed(x.flatten(1, 2))
        weights = torch.softmax(self.query(tokens) @ self.key(tokens).transpose(1, 2), dim=-1)
        scores: torch.Tensor = self.head((weights @ tokens).mean(1))
        return scores


class Separable(nn.Module):
    """Network of depthwise and pointwise convolutions in turn, as in MobileNet.

    One depthwise convolution has two channels an input.
    """

    def __init__(self, channels: int, width: int, classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.stem_norm = nn.BatchNorm2d(width)
        self.depthwise = nn.Conv2d(width, width, 3, 2, padding=1, groups=width, bias=False)
        self.depthwise_norm = nn.BatchNorm2d(width)
        self.pointwise = nn.Conv2d(width, 2 * width, 1, bias=False)
        self.pointwise_norm = nn.BatchNorm2d(2 * width)
        self.multiplied = nn.Conv2d(2 * width, 4 * width, 3, padding=1, groups=2 * width)
        self.narrow = nn.Conv2d(4 * width, width, 1)
        self.dense = nn.Linear(width, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem_norm(self.stem(x)))
        x = functional.relu6(self.depthwise_norm(self.depthwise(x)))
        x = functional.relu6(self.pointwise_norm(self.pointwise(x)))
        x = self.narrow(functional.relu6(self.multiplied(x)))
        scores: torch.Tensor = self.dense(functional.adaptive_avg_pool2d(x, 1).flatten(1))
        return scores


class Reused(nn.Module):
    """Network with channels last, and a convolution used twice.

    A reshape reads the number of images from the images.
    """

    def __init__(self, channels: int, size: int, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.dense = nn.Linear(channels * size**2, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        images = x.shape[0]
        features = torch.relu(self.conv(x.permute(0, 3, 1, 2)))
        scores: torch.Tensor = self.dense(self.conv(features).reshape(images, -1))
        return scores


def flat(pixels: int, width: int, classes: int) -> nn.Module:
    """Return dense layers on images that arrive as rows of numbers, ending in probabilities."""
    return nn.Sequential(
        nn.Linear(pixels, width),
        nn.Tanh(),
        nn.Linear(width, width, bias=False),
        nn.Tanh(),
        nn.Linear(width, classes),
        nn.Softmax(1),
    )


def convolutional(channels: int, size: int, widths: tuple[int, int], classes: int) -> nn.Module:
    """Return two convolutions with pooling and two dense layers, the shape of LeNet."""
    first, second = widths
    return nn.Sequential(
        nn.Conv2d(channels, first, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(first, second, 3, padding=1, bias=False),
        nn.BatchNorm2d(second),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(second * (size // 2) ** 2, 12),
        nn.Dropout(0.5),
        nn.ReLU(),
        nn.Linear(12, classes),
    )


def randomised(module: nn.Module, seed: int) -> nn.Module:
    """Put a module in evaluation mode, with random weights, biases and batch statistics.

    None of the numbers is trivial.
    """
    generator = torch.Generator().manual_seed(seed)
    for part in module.modules():
        for parameter in part.parameters(recurse=False):
            parameter.data.uniform_(-0.6, 0.6, generator=generator)
        if isinstance(part, nn.BatchNorm2d):
            part.weight.data.uniform_(0.5, 2, generator=generator)
            for buffer, low, high in ((part.running_mean, -1.0, 1.0), (part.running_var, 0.5, 2.0)):
                assert buffer is not None
                buffer.uniform_(low, high, generator=generator)
    return module.eval()


def settled(module: nn.Module, images: NDArray[np.float32], seed: int) -> nn.Module:
    """Put a new deep network in evaluation mode, with the batch statistics of these images.

    Biases and normalisation are random. Weights that are random without regard to their number
    would let the activations of twenty layers overflow.
    """
    generator = torch.Generator().manual_seed(seed)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = 1.0
            part.weight.data.uniform_(0.5, 1.5, generator=generator)
        bias = getattr(part, "bias", None)
        if bias is not None:
            bias.data.uniform_(-0.3, 0.3, generator=generator)
    with torch.no_grad():
        module.train()(torch.from_numpy(images))
    return module.eval()


def export(
    module: nn.Module,
    shape: tuple[int, ...],
    path: Path,
    *,
    dynamic: bool = True,
    batch: int = 1,
    raw: bool = True,
    dynamo: bool = False,
) -> Path:
    """Write a module as ONNX, by torch's older exporter or its newer one.

    Most users' files came from the older one.

    Args:
        module: network in evaluation mode.
        shape: shape of one image.
        path: file to write.
        dynamic: whether the file takes any number of images.
        batch: number of images that it is exported with.
        raw: whether batch normalisation and dropout stay in the graph, so that folding is left to
            us.
        dynamo: whether to use the newer exporter, which always folds.
    """
    images = torch.zeros(batch, *shape)
    with warnings.catch_warnings():  # the older exporter is deprecated, the newer one uses deprecated parts
        warnings.simplefilter("ignore")
        if dynamo:
            program = torch.onnx.export(
                module, (images,), dynamo=True, verbose=False, input_names=["image"], output_names=["out"]
            )
            assert program is not None
            assert not dynamic
            program.save(path)
            return path
        torch.onnx.export(
            module,
            (images,),
            path,
            dynamo=False,
            input_names=["image"],
            output_names=["out"],
            dynamic_axes={"image": {0: "n"}, "out": {0: "n"}} if dynamic else None,
            opset_version=17,
            do_constant_folding=not raw,
            training=torch.onnx.TrainingMode.PRESERVE if raw else torch.onnx.TrainingMode.EVAL,
        )
    return path


def answer(module: nn.Module, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the module's scores."""
    with torch.no_grad():
        return np.asarray(module(torch.from_numpy(inputs)).numpy())
