"""The wheel: built, installed where nothing else is, and asked what it can do there."""

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]

CLIENT = """
from mutant_guard import GuardClient, Verdict, errors
with GuardClient("http://127.0.0.1:9") as client:
    print(Verdict.NORMAL, errors.GuardError.__name__)
"""


def run(*command: str | Path, status: int = 0) -> tuple[str, str]:
    """Output and errors of a command, outside the checkout and without its environment."""
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment |= {
        name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "REQ"))
    }
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=300, cwd="/", env=environment
    )
    assert done.returncode == status, done.stderr
    return done.stdout, done.stderr


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, source = tmp_path_factory.mktemp("wheel"), tmp_path_factory.mktemp("source")
    for package in ("mutant_guard", "mutant_store", "service"):
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for other in ("evaluation", "benchmarks", "tests"):  # there in a checkout, and not to be taken along
        (source / other).mkdir()
        (source / other / "__init__.py").touch()
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, source)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the commands of an environment with the wheel and what its base needs."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    run(folder / "bin/python", "-m", "pip", "install", "--quiet", "-c", ROOT / "constraints.txt", wheel)
    return folder / "bin"


def test_it_holds_the_three_packages_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "mutant_guard",
        "mutant_store",
        "service",
    }
    assert "mutant_guard/py.typed" in names
    assert "service/console/index.html" in names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    sources = {
        str(path.relative_to(ROOT))
        for top in ("mutant_guard", "mutant_store", "service")
        for path in (ROOT / top).rglob("*.py")
    }
    assert sources <= names


def test_its_metadata_say_the_licence_and_the_extras(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
    lines = archive.read(name).decode().splitlines()
    assert "License-Expression: Apache-2.0" in lines
    extras = {line.removeprefix("Provides-Extra: ") for line in lines if line.startswith("Provides-Extra: ")}
    assert {"cpu", "gpu", "server", "build", "retrain", "otel", "evaluation", "docs", "dev"} <= extras
    base = {line for line in lines if line.startswith("Requires-Dist: ") and "extra ==" not in line}
    assert {line.split()[1].split(">")[0] for line in base} == {"annotated-types", "httpx", "pydantic"}


def test_alone_it_is_the_client(installed: Path) -> None:
    assert run(installed / "python", "-c", CLIENT) == ("normal GuardError\n", "")
    _, err = run(installed / "python", "-c", "from mutant_guard import Guard", status=1)
    assert err.splitlines()[-1].startswith(
        "ImportError: mutant_guard.Guard needs numpy, which is not installed"
    )


@pytest.mark.parametrize(("command", "extra"), [("mutant-guard", "server"), ("mutant-store", "build")])
def test_alone_its_commands_say_what_they_lack(command: str, extra: str, installed: Path) -> None:
    out, err = run(installed / command, "--help", status=1)
    assert out == ""
    assert err.startswith("error: this needs ")
    assert err.endswith(f"which is not installed; pip install 'mutant-guard[{extra}]'\n")
    assert err.count("\n") == 1
