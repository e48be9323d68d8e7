"""Networks of folders with safetensors, made by stand-ins for the libraries that write them."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from mutant_guard.errors import ModelError
from mutant_store.loading.folder_network import Pretrained
from mutant_store.loading.input_spec import InputOptions
from mutant_store.loading.model_source import ModelSource, Original, open_original
from mutant_store.networks.digits_net import DigitsNet
from tests.mutant_store.loading.folders.test_timm import RESNET18

GREY = {**RESNET18, "input_size": [1, 8, 8], "mean": [0.3], "std": [0.4], "crop_pct": 1.0}
PROCESSOR = {"do_normalize": True, "image_mean": 0.3, "image_std": 0.4, "do_resize": True, "size": 8}


class Wrapped(nn.Module):
    """A classifier that answers as those of transformers do."""

    def __init__(self) -> None:
        super().__init__()
        self.net = DigitsNet()

    def forward(self, pixel_values: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=self.net(pixel_values))


def timm(made: list[tuple[str, dict[str, Any]]]) -> SimpleNamespace:
    """Return a stand-in for timm that notes what it is asked for."""

    def create_model(
        model_name: str, pretrained: bool = True, checkpoint_path: str = "", **kwargs: Any
    ) -> nn.Module:
        assert not pretrained
        assert not checkpoint_path
        made.append((model_name, kwargs))
        return DigitsNet(kwargs.get("num_classes", 1000))

    return SimpleNamespace(create_model=create_model)


def transformers(missing: list[str]) -> SimpleNamespace:
    """Return a stand-in for transformers that reads safetensors and says that some weights are missing."""

    def from_pretrained(folder: Path, **options: Any) -> tuple[nn.Module, dict[str, list[str]]]:
        assert options == {
            "use_safetensors": True,
            "output_loading_info": True,
            "local_files_only": True,
            "trust_remote_code": False,
        }
        network = Wrapped()
        network.load_state_dict(safetensors.torch.load_file(folder / "model.safetensors"))
        return network, {"missing_keys": missing, "mismatched_keys": []}

    logging = SimpleNamespace(set_verbosity_error=lambda: None, disable_progress_bar=lambda: None)
    return SimpleNamespace(
        AutoModelForImageClassification=SimpleNamespace(from_pretrained=from_pretrained),
        utils=SimpleNamespace(logging=logging),
    )


def folder(path: Path, weights: dict[str, torch.Tensor], config: dict[str, Any]) -> Path:
    safetensors.torch.save_file(weights, path / "model.safetensors")
    (path / "config.json").write_text(json.dumps(config))
    return path


def opened(path: Path) -> Original:
    return open_original(ModelSource(str(path)), "npz:none", InputOptions())


def scores(network: nn.Module, images: np.ndarray[Any, np.dtype[np.float32]]) -> Any:
    with torch.inference_mode():
        return network(torch.from_numpy(images)).numpy()


@pytest.mark.slow
@pytest.mark.parametrize("library", ["timm", "transformers"])
def test_the_network_has_the_weights_of_the_folder(
    library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = Wrapped() if library == "transformers" else DigitsNet()
    made: list[tuple[str, dict[str, Any]]] = []
    state = network.state_dict()
    if library == "timm":
        monkeypatch.setitem(sys.modules, "timm", timm(made))
        state = {f"timm_model.{name}": value for name, value in state.items()}  # as transformers saves it
        config = {"architecture": "digits", "num_classes": 10, "pretrained_cfg": GREY, "global_pool": "avg"}
    else:
        monkeypatch.setitem(sys.modules, "transformers", transformers([]))
        (tmp_path / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
        config = {"architectures": ["Digits"], "num_channels": 1}
    original = opened(folder(tmp_path, state, config))
    images = np.random.default_rng(0).standard_normal((4, 1, 8, 8)).astype(np.float32)
    expected = scores(network.net if isinstance(network, Wrapped) else network, images)
    assert np.allclose(original.classifier.scores(images), expected, atol=1e-4)
    assert np.allclose(original.as_given(images), expected, atol=1e-6)
    assert (original.options.mean, original.options.size) == ([0.3], (8, 8))
    assert original.torch is not None
    assert original.torch.architecture.name == f"{library}:{'digits' if library == 'timm' else 'Digits'}"
    assert made == ([("digits", {"global_pool": "avg", "num_classes": 10})] if library == "timm" else [])


def test_weights_that_are_missing_or_another_networks_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", transformers(["head.weight"]))
    monkeypatch.setitem(sys.modules, "timm", timm([]))
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    made = folder(tmp_path, Wrapped().state_dict(), {"architectures": ["Digits"], "num_channels": 1})
    with pytest.raises(ModelError, match=r"head\.weight is missing or has another shape"):
        opened(made)
    made = folder(tmp_path, {"x": torch.zeros(1)}, {"architecture": "digits", "pretrained_cfg": GREY})
    with pytest.raises(ModelError, match="does not hold the weights of timm:digits"):
        opened(made)


@pytest.mark.parametrize("name", ["checkpoint_path", "pretrained"])
def test_a_configuration_may_not_make_timm_read_other_files(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "timm", timm([]))
    config = {"architecture": "digits", "pretrained_cfg": GREY, "model_args": {name: "/tmp/other.pth"}}  # noqa: S108
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=f"model_args may not set {name}; leave it out"):
        Pretrained("timm", "digits", tmp_path).build()
