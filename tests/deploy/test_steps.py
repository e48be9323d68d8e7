"""The shell steps that make, the images and continuous integration share."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = [*sorted((ROOT / "deploy/steps").glob("*.sh")), ROOT / ".ci/run"]
every_script = pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)


@every_script
def test_scripts_parse_and_are_executable(script: Path) -> None:
    shell = script.read_text().splitlines()[0].split("/")[-1].split()[-1]
    assert shell in {"sh", "bash"}
    subprocess.run([shell, "-n", str(script)], check=True)
    assert os.access(script, os.X_OK)


@every_script
def test_scripts_pass_shellcheck(script: Path) -> None:
    subprocess.run(
        [Path(sys.executable).with_name("shellcheck"), "--severity=warning", str(script)], check=True
    )


@pytest.fixture
def demo(tmp_path: Path) -> dict[str, str]:
    """An environment in which training and building only write what they were called with and the files they make."""
    binaries = tmp_path / "bin"
    binaries.mkdir()
    python, mutant_store = binaries / "python", binaries / "mutant-store"
    record = '#!/bin/sh\necho "$@" >>"$CALLS"\n[ -z "${BREAK-}" ] || [ "$1" != build ] || exit 1\nfor out; do :; done\n'
    sample = 'mkdir -p "$out" && touch "$out/digits-test-0-pgd-label-2.png" && [ -z "${HALF-}" ]'
    python.write_text(
        f'{record}case "$2" in *.samples) {sample};; *) mkdir -p "${{out%/*}}" && touch "$out";; esac\n'
    )
    mutant_store.write_text(record + 'mkdir -p "$out" && touch "$out/CURRENT"\n')
    python.chmod(0o755)
    mutant_store.chmod(0o755)
    directories = {name.upper(): str(tmp_path / name) for name in ("bin", "models", "stores", "calls")}
    return {**os.environ, **directories}


def run_demo(environment: dict[str, str], *, breaks: bool = False) -> tuple[int, list[str], list[str]]:
    """The exit status, what was printed, and the programs that were called since the last run."""
    calls = Path(environment["CALLS"])
    calls.write_text("")
    script = ROOT / "deploy/steps/demo-store.sh"
    env = {**environment, "BREAK": "1" if breaks else ""}
    done = subprocess.run([str(script)], env=env, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.splitlines(), calls.read_text().splitlines()


def test_the_demo_store_is_made_once(demo: dict[str, str]) -> None:
    status, printed, calls = run_demo(demo)
    assert status == 0
    assert [line[:5] for line in printed] == ["[2/4]", "[3/4]", "[3/4]"]
    model, store = f"{demo['MODELS']}/digits.onnx", f"{demo['STORES']}/digits"
    assert calls[0] == f"-m evaluation.train digits --out {model}"
    weights = model.replace(".onnx", ".safetensors")
    assert calls[1].startswith(f"build {weights} --data digits@holdout --train-data digits@train ")
    assert calls[1].endswith(f"--out {store}")
    assert calls[2].startswith("-m evaluation.samples digits ")
    assert calls[2].endswith(f"--model {model} --out {demo['STORES']}/samples.new")
    assert run_demo(demo) == (0, [], [])


def test_samples_that_were_interrupted_are_written_anew(demo: dict[str, str]) -> None:
    """Half of them must not be taken for all: make asks whether the folder is there."""
    status, _, _ = run_demo({**demo, "HALF": "1"})
    assert status != 0
    assert not (Path(demo["STORES"]) / "samples").exists()
    status, printed, _ = run_demo(demo)
    assert (status, len(printed)) == (0, 1)
    assert [path.name for path in Path(demo["STORES"]).iterdir() if path.name.startswith("samples")] == [
        "samples"
    ]


def test_an_interrupted_build_is_continued_with_the_same_classifier(demo: dict[str, str]) -> None:
    status, _, first = run_demo(demo, breaks=True)
    assert status != 0
    status, printed, second = run_demo(demo)
    assert status == 0
    assert [line[:5] for line in printed] == ["[3/4]", "[3/4]"]
    assert second[:1] == first[1:]


def test_samples_that_are_missing_or_of_an_older_classifier_are_written_anew(demo: dict[str, str]) -> None:
    run_demo(demo)
    (sample,) = (Path(demo["STORES"]) / "samples").iterdir()
    os.utime(sample, (0, 0))
    assert [call.split()[1] for call in run_demo(demo)[2]] == ["evaluation.samples"]
    sample.unlink()
    assert [call.split()[1] for call in run_demo(demo)[2]] == ["evaluation.samples"]
    assert run_demo(demo)[2] == []


def test_a_newer_classifier_has_its_store_built_anew(demo: dict[str, str]) -> None:
    run_demo(demo)
    current = Path(demo["STORES"]) / "digits/CURRENT"
    os.utime(current, (0, 0))
    assert len(run_demo(demo)[2]) == 1


def test_the_mnist_store_is_made_once_and_what_is_missing_is_named(
    demo: dict[str, str], tmp_path: Path
) -> None:
    script = ROOT / "deploy/steps/mnist-store.sh"
    data, weights = tmp_path / "mnist", Path(demo["MODELS"]) / "mnist-lenet.safetensors"
    weights.parent.mkdir()
    weights.touch()
    calls = Path(demo["CALLS"])

    def run(mnist: str) -> subprocess.CompletedProcess[str]:
        calls.write_text("")
        return subprocess.run(
            [script], env={**demo, "MNIST": mnist}, capture_output=True, text=True, check=False
        )

    for mnist in ("", str(data)):
        refused = run(mnist)
        assert refused.returncode == 1
        assert "train-images-idx3-ubyte(.gz)" in refused.stderr
        assert "MNIST_DIR" in refused.stderr
    data.mkdir()
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (data / f"{name}-ubyte.gz").touch()
    assert run(str(data)).returncode == 0
    (call,) = calls.read_text().splitlines()
    assert call.startswith(f"build {weights} --train-data mnist:{data}@train --data mnist:{data}@holdout ")
    assert call.endswith(f"--out {demo['STORES']}/mnist-lenet-robust")
    assert run(str(data)).returncode == 0
    assert calls.read_text() == ""


def test_make_leaves_a_finished_store_alone(tmp_path: Path) -> None:
    sources = ["pyproject.toml", "constraints.txt", "deploy/steps/install.sh"]
    store = tmp_path / "stores/digits/CURRENT"  # enough by itself: a store holds its classifier
    for path in [*(tmp_path / source for source in sources), tmp_path / ".venv/.serve", store]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    def planned() -> str:
        command = ["make", "-n", "-C", str(tmp_path), "-f", str(ROOT / "Makefile"), "demo"]
        environment = {"PATH": os.environ["PATH"]}  # nothing of a make that runs these tests
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    assert "steps/" not in planned()
    store.unlink()
    assert "BIN=.venv/bin deploy/steps/demo-store.sh" in planned()
    assert "install.sh" not in planned()


def test_ci_says_what_is_missing_where_it_cannot_install(tmp_path: Path) -> None:
    for name in ("bash", "dirname"):
        (tmp_path / name).symlink_to(str(shutil.which(name)))
    identity = tmp_path / "id"
    identity.write_text("#!/bin/sh\necho 1000\n")
    identity.chmod(0o755)
    done = subprocess.run(
        [str(tmp_path / "bash"), str(ROOT / ".ci/run")],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "missing: make git redis-server haproxy prometheus chromium python3 python3-venv" in done.stderr


@pytest.fixture
def docker(tmp_path: Path) -> dict[str, str]:
    """An environment whose docker knows a digest of every image but the one that ``LOST`` names."""
    program = tmp_path / "docker"
    program.write_text(
        '#!/bin/sh\n[ "$4" != "${LOST-}" ] || exit 1\n'
        '[ "$1 $2 $3 $5 $6" = "buildx imagetools inspect --format {{.Manifest.Digest}}" ] || exit 2\n'
        'printf "sha256:%s\\n" "$(printf %s "$4" | sha256sum | cut -d " " -f 1)"\n'
    )
    program.chmod(0o755)
    return {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}


def pins(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    script = ROOT / "deploy/steps/pin-images.sh"
    return subprocess.run([script], env=environment, capture_output=True, text=True, check=False)


def test_every_image_is_pinned_with_its_digest(docker: dict[str, str]) -> None:
    done = pins(docker)
    assert done.returncode == 0, done.stderr
    found = dict(line.split("=", 1) for line in done.stdout.splitlines())
    given = [ROOT / "docker-compose.yml", ROOT / "Dockerfile"]
    assert found.keys() == {
        name for path in given for name in re.findall(r"\b[A-Z]+_IMAGE\b(?=:-|=)", path.read_text())
    }
    assert len(found) == 6
    for image in found.values():
        name, digest = image.split("@")
        assert digest == f"sha256:{hashlib.sha256(name.encode()).hexdigest()}"


@pytest.mark.parametrize("lost", ["redis:8.2-alpine", "python:3.11-slim-bookworm"])
def test_an_image_without_a_digest_leaves_nothing_to_write(lost: str, docker: dict[str, str]) -> None:
    done = pins(docker | {"LOST": lost})
    assert (done.returncode != 0, done.stdout) == (True, "")
