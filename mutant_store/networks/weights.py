"""Weights of a trained network as a safetensors file that names the network."""

import json
from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.torch
from torch import nn

from mutant_guard.errors import ModelError
from mutant_guard.store import model_card
from mutant_guard.store.atomic import write_atomically
from mutant_store.boundary import boundary, check_no_pointer
from mutant_store.networks import CLASSIFIERS, Network


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """Trained network.

    Attributes:
        name: registered name of the network.
        network: the network, in evaluation mode on the CPU.
        classifier: its construction and training settings.
    """

    name: str
    network: nn.Module
    classifier: Network


def save(path: Path, name: str, model: nn.Module, classes: int) -> None:
    """Write the weights, with the network's registered name and number of classes as metadata.

    Name and number are one entry: safetensors writes several entries in any order, and equal runs
    must give equal files.

    Raises:
        OSError: the file cannot be written.
    """
    state = {key: value.contiguous().cpu() for key, value in model.state_dict().items()}
    metadata = {model_card.KEY: json.dumps({"model": name, "classes": classes})}
    write_atomically(path, safetensors.torch.save(state, metadata))


def load(path: Path) -> TrainedModel:
    """Build the registered network and load its weights.

    Raises:
        ModelError: the file is missing or damaged, or was not written by a training run of this
            release.
    """
    if not path.is_file():
        raise ModelError(f"there is no {path}; python -m evaluation.train writes it beside the ONNX file")
    with boundary(ModelError, f"{path} is no readable safetensors file", "train the model again"):
        check_no_pointer(path, ModelError)
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        state = safetensors.torch.load_file(path)
    name, classes = _network_of(metadata)
    if name not in CLASSIFIERS:
        raise ModelError(
            f"{path} names no registered model ({name!r}); it is one of {', '.join(CLASSIFIERS)}"
        )
    with boundary(ModelError, f"{path} does not hold the weights of {name}", "train the model again"):
        network = CLASSIFIERS[name].build(classes)
        network.load_state_dict(state)
    return TrainedModel(name, network.eval(), CLASSIFIERS[name])


def _network_of(metadata: dict[str, str]) -> tuple[str, int]:
    try:
        entry = json.loads(metadata.get(model_card.KEY, "{}"))
        return str(entry.get("model", "")), int(entry.get("classes", 0))
    except (ValueError, TypeError, AttributeError):
        return "", 0
