"""Small networks of the shapes that people download: ResNet-50, EfficientNet, ConvNeXt, TensorFlow."""

from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnxruntime import InferenceSession
from torch import nn
from torch.nn import functional


class Bottleneck(nn.Module):
    """Bottleneck block of ResNet-50.

    He et al.: Deep residual learning for image recognition. CVPR 2016.
    """

    def __init__(self, inputs: int, width: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.reduce, self.norm1 = nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.widen, self.norm3 = nn.Conv2d(width, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        self.skip = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.norm1(self.reduce(x)))
        y = self.norm3(self.widen(torch.relu(self.norm2(self.conv(y)))))
        return torch.relu(y + self.skip(x))


class SqueezeExcite(nn.Module):
    """Inverted residual of EfficientNet: expansion, depthwise convolution, gate per channel.

    Tan and Le: EfficientNet. ICML 2019. Hu et al.: Squeeze-and-excitation networks. CVPR 2018.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.expand, self.norm1 = nn.Conv2d(width, 2 * width, 1, bias=False), nn.BatchNorm2d(2 * width)
        self.depthwise = nn.Conv2d(2 * width, 2 * width, 3, padding=1, groups=2 * width, bias=False)
        self.norm2 = nn.BatchNorm2d(2 * width)
        self.squeeze, self.excite = nn.Conv2d(2 * width, 4, 1), nn.Conv2d(4, 2 * width, 1)
        self.project, self.norm3 = nn.Conv2d(2 * width, width, 1, bias=False), nn.BatchNorm2d(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = functional.silu(self.norm1(self.expand(x)))
        y = functional.hardswish(self.norm2(self.depthwise(y)))
        gate = functional.adaptive_avg_pool2d(y, 1)
        y = y * torch.sigmoid(self.excite(functional.silu(self.squeeze(gate))))
        inner: torch.Tensor = x + self.norm3(self.project(y))
        return inner


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of [N, C, H, W]."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvNextBlock(nn.Module):
    """Block of ConvNeXt: depthwise convolution, and dense layers with channels last.

    Liu et al.: A ConvNet for the 2020s. CVPR 2022.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.scale = nn.Parameter(torch.ones(width, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        y = self.down(functional.gelu(self.up(y))).permute(0, 3, 1, 2)
        inner: torch.Tensor = x + self.scale * y
        return inner


def bottlenecks(classes: int) -> nn.Module:
    """Return a ResNet of two bottleneck blocks."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 7, 2, padding=3, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, padding=1),
        Bottleneck(8, 4, 16, 1),
        Bottleneck(16, 8, 32, 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, classes),
    )


def efficient(classes: int) -> nn.Module:
    """Return an EfficientNet of two blocks with squeeze-and-excitation."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.SiLU(),
        SqueezeExcite(8),
        SqueezeExcite(8),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, classes),
    )


def convnext(classes: int) -> nn.Module:
    """Return a ConvNeXt of two blocks, which pools as torchvision's does."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 4, 4),
        ChannelNorm(16),
        ConvNextBlock(16),
        ConvNextBlock(16),
        nn.AdaptiveAvgPool2d(1),
        ChannelNorm(16),
        nn.Flatten(),
        nn.Linear(16, classes),
    )


def channels_last(path: Path, classes: int, images: NDArray[np.float32]) -> Path:
    """Write a classifier of [N, 16, 16, 3] as TensorFlow's exporter does, with random weights.

    Its convolutions pad by ``auto_pad``, and its normalisation is a product and a sum by channel.
    No class is rare among its answers for the images, float32 [N, 16, 16, 3].
    """
    rng = np.random.default_rng(0)
    constants = {
        "stem/kernel": rng.standard_normal((8, 3, 3, 3)) * 0.4,
        "stem/scale": rng.uniform(0.5, 2, (1, 8, 1, 1)),
        "stem/shift": rng.standard_normal((1, 8, 1, 1)) * 0.3,
        "depthwise/kernel": rng.standard_normal((8, 1, 3, 3)) * 0.4,
        "depthwise/bias": rng.standard_normal(8) * 0.3,
        "pointwise/kernel": rng.standard_normal((12, 8, 1, 1)) * 0.5,
        "pointwise/bias": rng.standard_normal(12) * 0.3,
        "dense/kernel": rng.standard_normal((12, classes)),
        "dense/bias": np.zeros(classes),
        "zero": np.array(0.0),
        "six": np.array(6.0),
    }
    nodes = [
        helper.make_node("Transpose", ["input_1:0"], ["nchw"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["nchw", "stem/kernel"], ["c1"], auto_pad="SAME_UPPER", strides=[2, 2]),
        helper.make_node("Mul", ["c1", "stem/scale"], ["m1"]),
        helper.make_node("Add", ["m1", "stem/shift"], ["a1"]),
        helper.make_node("Clip", ["a1", "zero", "six"], ["r1"]),
        helper.make_node(
            "Conv", ["r1", "depthwise/kernel", "depthwise/bias"], ["c2"], auto_pad="SAME_UPPER", group=8
        ),
        helper.make_node("Clip", ["c2", "zero", "six"], ["r2"]),
        helper.make_node("Conv", ["r2", "pointwise/kernel", "pointwise/bias"], ["c3"], auto_pad="VALID"),
        helper.make_node("Relu", ["c3"], ["r3"]),
        helper.make_node("Transpose", ["r3"], ["nhwc"], perm=[0, 2, 3, 1]),
        helper.make_node("ReduceMean", ["nhwc"], ["pooled"], axes=[1, 2], keepdims=0),
        helper.make_node("MatMul", ["pooled", "dense/kernel"], ["product"]),
        helper.make_node("Add", ["product", "dense/bias"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["Identity:0"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tf2onnx",
        [helper.make_tensor_value_info("input_1:0", onnx.TensorProto.FLOAT, ["unk__1", 16, 16, 3])],
        [helper.make_tensor_value_info("Identity:0", onnx.TensorProto.FLOAT, ["unk__2", classes])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    (probabilities,) = InferenceSession(model.SerializeToString()).run(None, {"input_1:0": images})
    for tensor in model.graph.initializer:
        if tensor.name == "dense/bias":
            tensor.CopyFrom(numpy_helper.from_array(-np.log(probabilities).mean(axis=0), tensor.name))
    onnx.save(model, path)
    return path
