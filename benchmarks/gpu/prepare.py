"""``python -m benchmarks.gpu.prepare``: installs what the check needs, then runs it, all within its time.

This module imports nothing but the standard library. What is installed already is used as it is; what is
missing goes into an environment of its own. pip's own settings hold, such as PIP_NO_INDEX and PIP_FIND_LINKS.
"""

import argparse
import re
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path

from benchmarks.gpu.card import NO_GPU, cards

_PYTHON = (3, 11)
_ROOT = Path(__file__).parents[2]
_TORCH, _ENGINE, _PUBLISHED = "torch", "onnxruntime-gpu", "efficientnet-lite"
_KEPT = 30.0
"""Seconds that no installation may take from the check."""

_PROBES = {
    _TORCH: "import torch; assert torch.version.cuda",
    _ENGINE: "import onnxruntime; assert 'CUDAExecutionProvider' in onnxruntime.get_available_providers()",
}
"""Programs that fail where a package is missing, or has come without CUDA."""


@dataclass(frozen=True)
class Step:
    """Installation of some packages.

    Attributes:
        name: name that people call it by.
        packages: the requirements.
        anew: whether packages that are there are installed all the same.
    """

    name: str
    packages: tuple[str, ...]
    anew: bool = False


def main(arguments: Sequence[str]) -> int:
    """Install and run, and return the exit status."""
    started = time.monotonic()
    parser = argparse.ArgumentParser(prog="make gpu-check", add_help=False)
    parser.add_argument("--minutes", type=float, default=9.5)
    parser.add_argument("--work", type=Path, default=Path("runs/gpu"))
    parser.add_argument("--device", default="cuda")
    known, others = parser.parse_known_args(arguments)
    until = started + 60 * known.minutes
    if known.device == "cuda" and not cards():
        return _refused(NO_GPU)
    if sys.version_info < _PYTHON:
        return _refused(
            f"{sys.executable} is older than Python {'.'.join(map(str, _PYTHON))}; set PYTHON=python3.x"
        )
    try:
        python = environment(known.work / "venv")
    except (OSError, subprocess.CalledProcessError) as error:
        return _refused(
            f"{known.work / 'venv'} could not be made ({error}); python3-venv or pip may be missing"
        )
    for step in steps(_ROOT, lambda name: known.device != "cuda" or _works(python, name)):
        print(f"[gpu] installing {step.name}", flush=True)
        if failure := install(python, step, until - _KEPT, known.work / "constraints.txt"):
            print(f"[gpu] {step.name} could not be installed: {failure}", file=sys.stderr, flush=True)
    left = max(0.05, (until - time.monotonic()) / 60)
    options = ["--minutes", f"{left:.2f}", "--work", str(known.work), "--device", known.device, *others]
    return subprocess.run([python, "-m", "benchmarks", "gpu", *options], check=False).returncode


def _refused(why: str) -> int:
    print(f"error: {why}", file=sys.stderr)
    return 1


def environment(folder: Path) -> Path:
    """Make an environment that sees what this Python sees, unless it is there, and return its Python."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, symlinks=True, with_pip=find_spec("pip") is None)
    places = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    (own,) = folder.glob("lib/python*/site-packages")
    (own / "outside.pth").write_text("".join(f"{place}\n" for place in places))
    return python


def steps(root: Path, works: Callable[[str], bool]) -> list[Step]:
    """Return what to install; pip leaves out of it what is there.

    Args:
        root: folder of ``pyproject.toml``.
        works: function that says whether a package is there and has CUDA.
    """
    import tomllib  # of Python 3.11, which main asks for

    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["gpu"], *extras["build"], *extras["retrain"]]
    heavy = {name: next(one for one in wanted if _name(one) == name) for name in (_TORCH, _ENGINE)}
    published = [one for one in extras["evaluation"] if _name(one).startswith(_PUBLISHED)]
    there = _installed()
    own = [Step(name, (one,), anew=name in there) for name, one in heavy.items() if not works(name)]
    # Packages that ask for torch come behind it, so that pip does not choose another one.
    return [
        *own,
        Step("other packages", tuple(dict.fromkeys(one for one in wanted if one not in heavy.values()))),
        Step("EfficientNet-Lite", tuple(published)),
    ]


def install(python: Path, step: Step, until: float, constraints: Path) -> str:
    """Install the packages of a step, and return why they could not be, or ''.

    Args:
        python: Python of the environment.
        step: the step.
        until: time, by the monotonic clock, at which pip is ended.
        constraints: file for the tested versions of what is not there.
    """
    there = _installed()
    lines = (_ROOT / "constraints.txt").read_text().splitlines()
    fresh = [line for line in lines if step.anew or _name(line) not in there]
    constraints.write_text("".join(f"{line}\n" for line in fresh))
    command = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--quiet"]
    command += ["-c", str(constraints), *(["--ignore-installed"] if step.anew else []), *step.packages]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=max(1.0, until - time.monotonic())
        )
    except subprocess.TimeoutExpired:
        return "there was no time for it"
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or [
            done.stderr.strip()
        ]
        return said[-1].removeprefix("ERROR: ") or "pip said nothing"
    if step.name in _PROBES and not _works(python, step.name):
        return "what was installed has no CUDA; see PIP_EXTRA_INDEX_URL"
    return ""


def _installed() -> set[str]:
    return {_name(found.metadata["Name"]) for found in distributions()}


def _works(python: Path, name: str) -> bool:
    return subprocess.run([python, "-c", _PROBES[name]], capture_output=True, check=False).returncode == 0


def _name(requirement: str) -> str:
    """Return the name of the package in a requirement, normalised."""
    return re.split(r"[^\w.-]", requirement.strip(), maxsplit=1)[0].replace("_", "-").lower()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
