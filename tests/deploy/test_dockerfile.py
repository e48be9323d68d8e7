"""The Dockerfile: the same install steps as make, and small images that run as nobody in particular."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.scripted_server import answer, scripted
from tests.support.service import free_port


@dataclass
class Stage:
    base: str
    lines: list[tuple[str, str]] = field(default_factory=list)

    def all(self, instruction: str) -> list[str]:
        return [rest for name, rest in self.lines if name == instruction]


@pytest.fixture(scope="module")
def stages(root: Path) -> dict[str, Stage]:
    text = re.sub(r"^#.*\n", "", (root / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    found: dict[str, Stage] = {}
    current = Stage("")
    for line in filter(None, map(str.strip, text.splitlines())):
        instruction, rest = line.split(maxsplit=1)
        if instruction == "FROM":
            base, _, name = rest.split()
            current = found[name] = Stage(base)
        else:
            current.lines.append((instruction, rest))
    return found


FINAL = {"guard": "cpu,server", "guard-gpu": "gpu,server", "offline": "cpu,build,retrain,ray"}
every_image = pytest.mark.parametrize("name", FINAL)


def test_compose_builds_the_images_there_are(stages: dict[str, Stage], compose: dict[str, Any]) -> None:
    targets = {s["build"]["target"] for s in compose["services"].values() if "build" in s}
    assert targets == set(FINAL)
    assert list(stages)[-1] == "guard"  # what a plain docker build makes


@every_image
def test_images_install_through_the_shared_step(stages: dict[str, Stage], name: str) -> None:
    (run,) = stages[f"{name}-build"].all("RUN")
    step = shlex.split(run)
    assert step[-3:] == ["deploy/steps/install.sh", "/opt/venv", FINAL[name]]  # not editable
    assert f"--from={name}-build /opt/venv /opt/venv" in stages[name].all("COPY")
    assert stages[name].base == stages[f"{name}-build"].base


def test_nothing_is_installed_by_other_means(root: Path) -> None:
    text = (root / "Dockerfile").read_text()
    assert "pip install" not in text
    assert "curl" not in text


@every_image
def test_images_run_as_a_numeric_user_without_rights(stages: dict[str, Stage], name: str) -> None:
    assert stages[name].all("USER") == ["10001:10001"]
    assert not stages[name].all("RUN")


@pytest.mark.parametrize("name", ["guard", "guard-gpu"])
def test_a_health_check_goes_past_a_proxy_of_the_environment(stages: dict[str, Stage], name: str) -> None:
    (check,) = stages[name].all("HEALTHCHECK")
    code = re.search(r'"-c", "(.*)"\]', check)
    assert code is not None
    dead = f"http://127.0.0.1:{free_port()}"
    with scripted(answer(200, b"ready")) as server:
        asked = re.sub(r"http://127.0.0.1:\d+", server.url, code[1])
        subprocess.run([sys.executable, "-c", asked], env={**os.environ, "http_proxy": dead}, check=True)
    assert [request.path for request in server.requests] == ["/readyz"]


@pytest.mark.parametrize("name", ["guard", "guard-gpu"])
def test_servers_say_when_they_are_ready(stages: dict[str, Stage], name: str) -> None:
    (check,) = stages[name].all("HEALTHCHECK")
    assert "/readyz" in check
    code = re.search(r'"-c", "(.*)"\]', check)
    assert code is not None
    compile(code[1], "HEALTHCHECK", "exec")
    (ports,) = stages[name].all("EXPOSE")
    probes = re.search(r"GUARD_PROBE_PORT=(\d+)", " ".join(stages[stages[name].base].all("ENV")))
    assert probes is not None
    assert ports == f"8000 {probes[1]}"
    assert (
        f"http://127.0.0.1:{probes[1]}/readyz" in check
    )  # on the main port it would stand in line under overload
    assert stages[name].all("ENTRYPOINT") == ['["mutant-guard"]']


def test_the_two_servers_differ_in_their_base_and_names_only(stages: dict[str, Stage]) -> None:
    def comparable(name: str) -> list[str]:
        rest = [rest for instruction, rest in stages[name].lines if instruction not in {"LABEL", "COPY"}]
        return [re.sub(r"--start-period=\d+s", "", line) for line in rest]

    assert comparable("guard") == comparable("guard-gpu")


@every_image
def test_numerical_libraries_start_no_thread_for_each_processor_of_the_host(
    stages: dict[str, Stage], name: str
) -> None:
    """Hosts have more of them than a container may have threads."""
    words = " ".join(stages[stages[name].base].all("ENV") + stages[name].all("ENV")).split()
    environment = dict(word.split("=", 1) for word in words if not word.startswith("PATH="))
    count = "import os, numpy, scipy.linalg; print(len(os.listdir('/proc/self/task')))"
    done = subprocess.run(
        [sys.executable, "-c", count], env=environment, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) == 1


def test_every_package_and_file_the_install_needs_is_copied(stages: dict[str, Stage], root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())
    include = project["tool"]["setuptools"]["packages"]["find"]["include"]
    of_project = {project["project"]["readme"], *project["project"]["license-files"]}
    # evaluation is not installed: it trains and attacks the demo classifier where stores are built
    files = {"pyproject.toml", "constraints.txt", "deploy/steps", "evaluation", *of_project}
    copied = {source for line in stages["source"].all("COPY") for source in line.split()[:-1]}
    assert copied == {name.removesuffix("*") for name in include} | files
    extras = project["project"]["optional-dependencies"]
    assert {extra for wanted in FINAL.values() for extra in wanted.split(",")} <= set(extras)


def test_what_is_copied_is_not_ignored(stages: dict[str, Stage], root: Path) -> None:
    ignored = (root / ".dockerignore").read_text().split()
    for line in stages["source"].all("COPY"):
        for source in line.split()[:-1]:
            assert source not in ignored
            assert f"{source.split('/')[0]}/*" not in ignored or f"!{source}" in ignored


@every_image
def test_files_of_the_checkout_are_readable_to_the_images_user_whatever_its_umask(
    stages: dict[str, Stage], name: str
) -> None:
    copied = [line for line in stages[name].all("COPY") if not line.startswith("--from=")]
    assert all(line.startswith("--chmod=0755 ") for line in copied)


def test_base_images_are_pinned(root: Path) -> None:
    images = re.findall(r"^ARG \w+_IMAGE=(.*)$", (root / "Dockerfile").read_text(), flags=re.MULTILINE)
    assert len(images) == 2
    assert all(re.fullmatch(r"[\w/]+:\d+\.\d[\w.-]*", image) for image in images)
