"""What kustomize makes of the overlays, for the tests that read it."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[2] / "deploy/kubernetes"
OVERLAYS = ("cpu", "gpu")
Object = dict[str, Any]


@cache
def built(overlay: str) -> tuple[Object, ...]:
    """Every object of an overlay; kubectl is a package of the tests."""
    kubectl = Path(sys.executable).with_name("kubectl")
    done = subprocess.run(
        [kubectl, "kustomize", FOLDER / "overlays" / overlay], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr  # deprecated fields
    return tuple(yaml.safe_load_all(done.stdout))


def of_kind(overlay: str, kind: str, name: str = "guard") -> Object:
    (found,) = (it for it in built(overlay) if it["kind"] == kind and it["metadata"]["name"] == name)
    return found


def pod(overlay: str) -> Object:
    spec: Object = of_kind(overlay, "Deployment")["spec"]["template"]["spec"]
    return spec


def container(overlay: str) -> Object:
    (only,) = pod(overlay)["containers"]
    assert isinstance(only, dict)
    return only


def settings(overlay: str) -> dict[str, str]:
    """Settings of the server by their variables; those from secrets are not among them."""
    (source,) = container(overlay)["envFrom"]
    given = dict(of_kind(overlay, "ConfigMap", source["configMapRef"]["name"])["data"])
    return given | {it["name"]: it["value"] for it in container(overlay)["env"] if "value" in it}


def demo_objects() -> list[Object]:
    return list(yaml.safe_load_all((FOLDER / "demo-store.yaml").read_text()))
