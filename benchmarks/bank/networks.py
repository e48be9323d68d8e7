"""The networks that are measured, as torch modules and as classifiers that mutants are made of."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mutant_guard.store.model_card import ModelCard
from mutant_store.bank.builder import BankBuilder
from mutant_store.graph.activations import Activations
from mutant_store.graph.classifier import Classifier, load_classifier
from mutant_store.graph.graph import Graph
from mutant_store.graph.neurons import find_layers
from mutant_store.networks import CLASSIFIERS, weights
from mutant_store.networks.inference import normalised
from mutant_store.networks.onnx_export import to_onnx

MODELS = Path(__file__).parents[2] / "models"

_FILES = {
    "digits-net": "digits",
    "lenet": "mnist-lenet",
    "resnet20": "cifar10-resnet20",
    "googlenet": "cifar10-googlenet",
}
_TITLES = {"digits-net": "digits-net", "lenet": "LeNet", "resnet20": "ResNet-20", "googlenet": "GoogLeNet"}
_IMAGES = 32
_CLASSES = 10


@dataclass(frozen=True, eq=False)
class Network:
    """Registered network.

    Attributes:
        name: name in ``mutant_store.networks``.
        module: the network in evaluation mode.
        classifier: the network from its ONNX file, batch normalisation folded.
        trained: whether the weights are those of ``models/``; times and sizes do not depend on it.
        pixels: noise, uint8 [32, H, W, C].
        inputs: the pixels normalised, float32 [32, C, H, W].
    """

    name: str
    module: nn.Module
    classifier: Classifier
    trained: bool
    pixels: NDArray[np.uint8]
    inputs: NDArray[np.float32]

    @property
    def title(self) -> str:
        """Name as people write it."""
        return _TITLES[self.name]

    @property
    def key(self) -> str:
        """Name as figures have it."""
        return self.name.replace("-", "_")

    @property
    def note(self) -> str | None:
        """Remark that the network is untrained; None if it is trained."""
        if self.trained:
            return None
        missing = f"models/{_FILES[self.name]}.safetensors"
        return f"{self.title} is untrained, which changes neither times nor sizes: there is no {missing}."

    @cached_property
    def builder(self) -> BankBuilder:
        """Builder of the network's banks."""
        layers = find_layers(Graph(self.classifier.model))
        return BankBuilder(self.classifier, layers, Activations(self.classifier, self.inputs[:4]))


def load_network(name: str, models: Path = MODELS) -> Network:
    """Return the network with the weights in ``models``, or untrained where there are none.

    Raises:
        ModelError: the weights are there but damaged.
    """
    registered = CLASSIFIERS[name]
    pixels = np.random.default_rng(0).integers(0, 256, (_IMAGES, *registered.shape), dtype=np.uint8)
    inputs = normalised(registered, pixels)
    saved, exported = (models / f"{_FILES[name]}{suffix}" for suffix in (".safetensors", ".onnx"))
    if saved.exists() and exported.exists():
        module = weights.load(saved).network
        return Network(name, module, load_classifier(exported), True, pixels, inputs)
    module = _untrained(registered.build, inputs)
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.onnx"
        path.write_bytes(to_onnx(module, ModelCard(), inputs))
        return Network(name, module, load_classifier(path), False, pixels, inputs)


def _untrained(build: Callable[[int], nn.Module], inputs: NDArray[np.float32]) -> nn.Module:
    """Build an untrained network whose batch normalisation is not trivial.

    With trivial normalisation, the exporter would make one tensor of all biases that are zero.
    """
    torch.manual_seed(0)
    module = build(_CLASSES)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = 1.0
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.uniform_(part.bias, -0.3, 0.3)
    with torch.no_grad():
        module.train()(torch.from_numpy(inputs))
    return module.eval()
