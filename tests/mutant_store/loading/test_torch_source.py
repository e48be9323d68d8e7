"""Networks given by name, by weights or by a function that makes them."""

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from mutant_guard.errors import ModelError
from mutant_store.loading.input_spec import InputOptions
from mutant_store.loading.model_source import ModelSource, Original, open_original
from mutant_store.networks import weights
from mutant_store.networks.digits_net import DigitsNet
from tests.support.retraining import train_digits_net

pytestmark = pytest.mark.slow

MAKES = "mutant_store.networks.digits_net:DigitsNet"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_digits_net(tmp_path_factory.mktemp("network"))


def opened(model: str | Path, given: Path | None = None, **options: list[float]) -> Original:
    return open_original(ModelSource(str(model), given), "digits@holdout", InputOptions(**options))  # type: ignore[arg-type]


def test_a_name_and_its_weights(trained: Path) -> None:
    by_file, by_name = opened(trained), opened("digits-net", trained)
    for original in (by_file, by_name):
        assert original.torch is not None
        assert original.torch.architecture.name == "digits-net"
        assert original.classifier.card.train_data is not None
        assert original.classifier.input_name == "images"


def test_the_card_of_another_network_is_not_taken_over(trained: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    weights.save(other, "digits-net", DigitsNet(), 10)
    other.with_suffix(".onnx").write_bytes(trained.with_suffix(".onnx").read_bytes())
    card = opened(other).classifier.card
    assert card.train_data is None
    assert card.mean == [0.3053]


def test_committed_weights_are_found_by_name() -> None:
    original = opened("lenet")
    assert original.classifier.card.train_data is not None
    assert original.classifier.card.train_data.spec.startswith("mnist")


@pytest.mark.parametrize("kind", ["safetensors", "pt"])
def test_what_makes_a_network_and_its_weights(kind: str, trained: Path, tmp_path: Path) -> None:
    given = trained
    if kind == "pt":
        given = tmp_path / "state.pt"
        torch.save(weights.load(trained).network.state_dict(), given)
    original = opened(MAKES, given, mean=[0.3053], std=[0.3761])
    images = np.random.default_rng(0).standard_normal((4, 1, 8, 8)).astype(np.float32)
    assert np.allclose(
        original.classifier.scores(images), opened(trained).classifier.scores(images), atol=1e-4
    )


class NotTensors:
    pass


def two_arguments(one: int, two: int) -> nn.Module:
    return nn.Flatten()


def no_network() -> int:
    return 3


def coloured() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 10))


class Named(DigitsNet):
    names: ClassVar = dict(enumerate("abcdefghij"))


class DataDependent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.dense(x.flatten(1))
        return scores * 2 if scores.sum() > 0 else scores


def raises() -> nn.Module:
    raise KeyError("no\nsuch thing")


def test_the_networks_own_scores_and_class_names_come_with_it(trained: Path) -> None:
    original = opened("tests.mutant_store.loading.test_torch_source:Named", trained, mean=[0.3], std=[0.4])
    assert original.classifier.names == list("abcdefghij")
    images = np.random.default_rng(0).standard_normal((300, 1, 8, 8)).astype(np.float32)
    assert np.allclose(original.as_given(images), original.classifier.scores(images), atol=1e-4)


def test_a_network_that_branches_on_values_is_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    weights_file = tmp_path / "w.pt"
    torch.save(DataDependent().state_dict(), weights_file)
    with pytest.raises(
        ModelError, match=r"torch cannot export this network to ONNX \(.*data-dependent.*\); its"
    ) as e:
        opened("tests.mutant_store.loading.test_torch_source:DataDependent", weights_file)
    assert "\n" not in str(e.value)
    assert "".join(capfd.readouterr()) == ""


def test_whatever_does_not_fit_is_refused(trained: Path, tmp_path: Path) -> None:
    code = tmp_path / "code.pt"
    torch.save({"a": NotTensors()}, code)
    here = "tests.mutant_store.loading.test_torch_source"
    state = tmp_path / "coloured.pt"
    torch.save(coloured().state_dict(), state)
    cases: list[tuple[str | Path, Path | None, str]] = [
        ("nothing", None, r"'nothing' is neither .* nor one of this project's networks: digits-net, lenet"),
        ("gone.onnx", None, "no such file"),
        ("gone.safetensors", None, "there is no gone.safetensors"),
        (trained, trained, "leave out --weights"),
        (trained.with_suffix(".onnx"), trained, "holds its own weights: leave out --weights"),
        ("lenet", trained, "holds the weights of digits-net, not of lenet"),
        ("googlenet", None, "no trained weights of googlenet come with this installation"),
        (MAKES, None, "give its trained weights with --weights"),
        (MAKES, tmp_path / "gone.pt", "there is no"),
        (MAKES, code, "neither safetensors nor a state dict of tensors alone"),
        (MAKES, state, "does not hold the weights of what"),
        ("no.such.module:Net", trained, "cannot be imported"),
        (f"{here}:gone", trained, "cannot be imported"),
        (f"{here}:two_arguments", trained, "without arguments"),
        (f"{here}:raises", trained, r"raises' does not make a network \('no.*such thing'\); give what makes"),
        (f"{here}:no_network", trained, "makes a int and not a torch.nn.Module"),
        (f"{here}:coloured", state, r"fails on images of 8×8 with 1 channel"),
    ]
    for model, given, message in cases:
        with pytest.raises(ModelError, match=message):
            opened(model, given)
