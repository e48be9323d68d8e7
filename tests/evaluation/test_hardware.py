from pathlib import Path

import pytest
import torch

from evaluation.hardware import chosen_device, cpu_model, versions
from mutant_guard.errors import DeviceError
from mutant_guard.runtime.options import Device


def test_the_processor_is_named_as_the_system_names_it(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text("processor\t: 0\nmodel name\t: A: processor\nprocessor\t: 1\nmodel name\t: Another\n")
    assert cpu_model(file) == "A: processor"


def test_where_the_system_says_nothing_the_architecture_stands_in(tmp_path: Path) -> None:
    assert cpu_model(tmp_path / "none")


def test_versions_are_those_of_what_is_measured() -> None:
    assert list(versions()) == ["python", "torch", "onnxruntime", "numpy"]


@pytest.mark.parametrize(("asked", "there", "chosen"), [
    ("cpu", True, "cpu"),
    ("auto", True, "cuda"),
    ("auto", False, "cpu"),
    ("cuda", True, "cuda"),
])  # fmt: skip
def test_a_gpu_is_taken_where_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, asked: Device, there: bool, chosen: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert chosen_device(asked) == chosen


def test_a_gpu_that_is_not_there_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="torch sees no GPU; use --device cpu"):
        chosen_device("cuda")
