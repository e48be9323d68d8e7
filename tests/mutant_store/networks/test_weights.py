"""Weights files."""

from pathlib import Path

import pytest
import safetensors.torch
import torch

from mutant_guard.errors import ModelError
from mutant_store.networks import CLASSIFIERS, weights


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_the_network_is_built_again(tmp_path: Path, name: str) -> None:
    network = CLASSIFIERS[name].build(4)
    weights.save(tmp_path / "m.safetensors", name, network, 4)
    loaded = weights.load(tmp_path / "m.safetensors")
    assert loaded.name == name
    assert not loaded.network.training
    for key, value in network.state_dict().items():
        assert torch.equal(loaded.network.state_dict()[key], value)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    with pytest.raises(ModelError, match=r"python -m evaluation\.train writes it"):
        weights.load(path)
    path.write_bytes(b"text")
    with pytest.raises(ModelError, match="no readable safetensors file"):
        weights.load(path)
    tensors = {"weight": torch.zeros(2)}
    safetensors.torch.save_file(tensors, path)
    with pytest.raises(ModelError, match="names no registered model"):
        weights.load(path)
    safetensors.torch.save_file(tensors, path, {"mutant_guard": "{"})
    with pytest.raises(ModelError, match="names no registered model"):
        weights.load(path)
    safetensors.torch.save_file(tensors, path, {"mutant_guard": '{"model": "lenet", "classes": 10}'})
    with pytest.raises(ModelError, match="does not hold the weights of lenet"):
        weights.load(path)
