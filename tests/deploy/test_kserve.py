"""The files for KServe: of its own types, and fitting each other and the image."""

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.deploy.kserve_types import KINDS, schema_of

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parents[2] / "deploy/kubernetes/kserve"
VERSION = "0.21.0"

Document = dict[str, Any]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """KServe's package, downloaded and not installed: it wants other versions than this project's."""
    folder = tmp_path_factory.mktemp("kserve")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder)]
    subprocess.run([*command, f"kserve=={VERSION}"], check=True, timeout=120)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def runtime() -> Document:
    return dict(yaml.safe_load((FOLDER / "serving-runtime.yaml").read_text()))


@pytest.fixture(scope="module")
def service() -> Document:
    return dict(yaml.safe_load((FOLDER / "inference-service.yaml").read_text()))


def faults(wheel: Path, document: Document) -> list[str]:
    schema = schema_of(wheel, KINDS[document["apiVersion"], document["kind"]])
    return [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(document)]


def test_they_are_of_kserves_types(wheel: Path, runtime: Document, service: Document) -> None:
    assert faults(wheel, runtime) == []
    assert faults(wheel, service) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("containers.0.ports.0.containerPort", "8000"),
        ("containers.0.readynessProbe", {}),
        ("supportedModelFormats", "mutant-guard"),
        ("protocolVersion", ["v2"]),
        ("containers.0.resources", {"limit": {}}),
    ],
)
def test_the_schema_finds_faults(path: str, value: object, wheel: Path, runtime: Document) -> None:
    changed = copy.deepcopy(runtime)
    *way, last = path.split(".")
    place: Any = changed["spec"]
    for step in way:
        place = place[int(step)] if step.isdigit() else place[step]
    place[last] = value
    assert faults(wheel, changed)


def test_they_fit_each_other_and_the_image(runtime: Document, service: Document) -> None:
    model, spec = service["spec"]["predictor"]["model"], runtime["spec"]
    assert model["runtime"] == runtime["metadata"]["name"]
    assert model["protocolVersion"] in spec["protocolVersions"]
    formats = [{"name": each["name"], "version": each["version"]} for each in spec["supportedModelFormats"]]
    assert model["modelFormat"] in formats
    (container,) = spec["containers"]
    assert container["name"] == "kserve-container"  # KServe mounts the model in the container of this name
    assert container["args"] == ["serve", "--host", "0.0.0.0"]  # noqa: S104 - in a container
    variables = {each["name"]: each.get("value") for each in container["env"]}
    assert variables["GUARD_STORE"] == "/mnt/models"
    assert container["securityContext"]["runAsUser"] == 10001
    (port,) = container["ports"]
    for probe in ("readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["port"] == port["containerPort"] == 8000
