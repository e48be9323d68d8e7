"""Random small torch classifiers of every kind the bank takes, and their ONNX files."""

import warnings
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn


class Residual(nn.Module):
    """Convolutions with batch normalisation around a skip connection, a grouped one among them."""

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
    """Dense layers on three-dimensional activations, as in a transformer: MatMul with a separate Add."""

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


def convolutional(channels: int, size: int, widths: tuple[int, int], classes: int) -> nn.Module:
    """Two convolutions with pooling and two dense layers, the shape of LeNet."""
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
    """The module in evaluation mode with random weights, biases and batch statistics, none of them trivial."""
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


def export(
    module: nn.Module, shape: tuple[int, ...], path: Path, *, dynamic: bool = True, raw: bool = True
) -> Path:
    """Write a module as ONNX. ``raw`` leaves folding to us: batch normalisation and dropout stay in the graph."""
    axes = {"image": {0: "n"}, "out": {0: "n"}} if dynamic else None
    training = torch.onnx.TrainingMode.PRESERVE if raw else torch.onnx.TrainingMode.EVAL
    with (
        warnings.catch_warnings()
    ):  # the TorchScript exporter is deprecated, and what many users' files came from
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (torch.zeros(1, *shape),),
            path,
            dynamo=False,
            input_names=["image"],
            output_names=["out"],
            dynamic_axes=axes,
            opset_version=17,
            do_constant_folding=not raw,
            training=training,
        )
    return path


def answer(module: nn.Module, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """The module's scores."""
    with torch.no_grad():
        return np.asarray(module(torch.from_numpy(inputs)).numpy())
