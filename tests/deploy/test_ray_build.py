"""The build by a Ray cluster in Kubernetes: of KubeRay's types, and fitting the image, the guard and the command."""

import copy
import re
import shlex
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from typer.testing import CliRunner

from mutant_store.cli.app import app
from tests.deploy.kuberay_schema import ray_job
from tests.deploy.kubernetes import FOLDER, demo_objects, pod

Document = dict[str, Any]


@pytest.fixture(scope="module")
def job() -> Document:
    return dict(yaml.safe_load((FOLDER / "ray-build.yaml").read_text()))


def faults(document: Document) -> list[str]:
    return [error.message for error in jsonschema.Draft202012Validator(ray_job()).iter_errors(document)]


def dockerfile(root: Path) -> str:
    return (root / "Dockerfile").read_text()


def pods(job: Document) -> list[Document]:
    """The head's pod, then those of the workers."""
    cluster = job["spec"]["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    return [group["template"]["spec"] for group in groups]


def test_it_is_of_kuberays_types(job: Document) -> None:
    assert faults(job) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("submissionMode", "HttpMode"),
        ("entryPoint", "mutant-store"),
        ("rayClusterSpec.headGroupSpec.rayStartParams.num-cpus", 0),
        ("rayClusterSpec.workerGroupSpecs.0.minReplicas", "4"),
        ("rayClusterSpec.workerGroupSpecs.0.template.spec.containers.0.resources", {"limit": {}}),
    ],
)
def test_the_schema_finds_faults(path: str, value: object, job: Document) -> None:
    changed = copy.deepcopy(job)
    *way, last = path.split(".")
    place: Any = changed["spec"]
    for step in way:
        place = place[int(step)] if step.isdigit() else place[step]
    place[last] = value
    assert faults(changed)


def test_pods_keep_to_the_restricted_security_standard(job: Document) -> None:
    (demo,) = (it for it in demo_objects() if it["kind"] == "Job")
    like = demo["spec"]["template"]["spec"]
    for spec in pods(job):
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"] == like["securityContext"]
        (only,) = spec["containers"]
        assert only["securityContext"] == like["containers"][0]["securityContext"]
        assert only["image"] == like["containers"][0]["image"]
        assert sorted(it["name"] for it in only["volumeMounts"]) == sorted(
            it["name"] for it in spec["volumes"]
        )
        assert {"name": "RAY_USAGE_STATS_ENABLED", "value": "0"} in only["env"]


def test_only_the_head_mounts_the_claim_that_the_guard_reads(job: Document) -> None:
    head, worker = pods(job)
    claims = {it["persistentVolumeClaim"]["claimName"] for it in head["volumes"] if "emptyDir" not in it}
    (guards,) = (
        it["persistentVolumeClaim"]["claimName"]
        for it in pod("cpu")["volumes"]
        if "persistentVolumeClaim" in it
    )
    assert guards in claims
    assert all("emptyDir" in it for it in worker["volumes"])


def test_workers_have_a_core_for_every_task(job: Document) -> None:
    (group,) = job["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    (only,) = group["template"]["spec"]["containers"]
    assert only["resources"]["limits"]["cpu"] == group["rayStartParams"]["num-cpus"]


def test_the_command_is_one_of_the_image(job: Document, root: Path) -> None:
    program, *arguments = shlex.split(job["spec"]["entrypoint"])
    assert program == "/opt/venv/bin/mutant-store"
    known = CliRunner().invoke(app, ["build", "--help"], env={"COLUMNS": "200"}).output
    for option in (it for it in arguments if it.startswith("--")):
        assert re.search(rf"{option}\b", known)
    assert arguments[-2:] == ["--ray", "auto"]
    mounts = {it["mountPath"] for it in pods(job)[0]["containers"][0]["volumeMounts"]}
    assert {f"/{it.split('/')[1]}" for it in arguments if "/" in it} <= mounts


def test_the_image_has_the_version_of_ray_that_it_names(job: Document, root: Path) -> None:
    (pinned,) = re.findall(r"^ray==(\S+)$", (root / "constraints.txt").read_text(), re.MULTILINE)
    assert job["spec"]["rayClusterSpec"]["rayVersion"] == pinned
    (extras,) = re.findall(
        r"AS offline-build$.*?install\.sh \S+ (\S+)$", dockerfile(root), re.MULTILINE | re.DOTALL
    )
    assert "ray" in extras.split(",")
