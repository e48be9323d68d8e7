"""The Kubernetes objects against the schemas of the API, of several of its versions, and of the Prometheus operator."""

from __future__ import annotations

import copy
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.deploy.kubernetes import FOLDER, OVERLAYS, Object, built, demo_objects

VERSIONS = ("1.31", "1.34", "1.37")
KINDS = {
    "ConfigMap": 1,
    "Deployment": 1,
    "HorizontalPodAutoscaler": 1,
    "NetworkPolicy": 1,
    "PodDisruptionBudget": 1,
    "Service": 2,
    "ServiceAccount": 1,
    "ServiceMonitor": 1,
}
OPERATOR = ("ServiceMonitor", "PrometheusRule")


def refused(thing: Object, version: str = VERSIONS[-1]) -> bool:
    try:
        kubernetes_validate.validate(thing, version, strict=True)
    except kubernetes_validate.ValidationError:
        return True
    return False


def check_operators(thing: Object) -> None:
    """Against the operator's definitions; a field they do not know is lost on the way through."""
    # Importing it takes seconds, which the collection of tests need not.
    from cloudcoil.models.prometheus_operator import v1

    model = getattr(v1, thing["kind"])
    back = model.model_validate(copy.deepcopy(thing)).model_dump(
        mode="json", by_alias=True, exclude_unset=True
    )
    assert back == thing


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_has_the_objects_checked_here(overlay: str) -> None:
    counted: dict[str, int] = {}
    for thing in built(overlay):
        counted[thing["kind"]] = counted.get(thing["kind"], 0) + 1
    assert counted == KINDS


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("overlay", [*OVERLAYS, "demo-store"])
def test_objects_are_valid_under_the_api_of(overlay: str, version: str) -> None:
    things = demo_objects() if overlay == "demo-store" else built(overlay)
    for thing in things:
        if thing["kind"] not in OPERATOR:
            assert not refused(thing, version), (thing["kind"], thing["metadata"]["name"])


def test_the_check_sees_a_misspelt_field() -> None:
    (deployment,) = (copy.deepcopy(it) for it in built("cpu") if it["kind"] == "Deployment")
    deployment["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    assert refused(deployment)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_service_monitor_is_one_of_the_operators(overlay: str) -> None:
    (monitor,) = (it for it in built(overlay) if it["kind"] == "ServiceMonitor")
    check_operators(monitor)
    misspelt = copy.deepcopy(monitor)
    misspelt["spec"]["endpoints"][0]["intervall"] = "15s"
    with pytest.raises(AssertionError):
        check_operators(misspelt)


def test_the_rules_are_printed_as_objects_of_the_operator(root: Path) -> None:
    printed = subprocess.run(
        [root / "deploy/steps/prometheus-rules.sh"], capture_output=True, text=True, check=True
    ).stdout
    objects: list[Any] = list(yaml.safe_load_all(printed))
    files = sorted((root / "deploy/prometheus/rules").glob("*.yml"))
    assert [thing["spec"] for thing in objects] == [yaml.safe_load(path.read_text()) for path in files]
    for thing in objects:
        check_operators(thing)
    names = [thing["metadata"]["name"] for thing in objects]
    assert names
    assert len(set(names)) == len(names)


def test_no_secret_is_committed() -> None:
    for path in FOLDER.rglob("*.yaml"):
        for thing in yaml.safe_load_all(path.read_text()):
            assert thing.get("kind") != "Secret", path
            assert "secretGenerator" not in thing, path
