"""What the Kubernetes objects mean: to each other, to the image and to the server's settings."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.settings import Settings
from tests.deploy.kubernetes import (
    FOLDER,
    OVERLAYS,
    Object,
    built,
    container,
    demo_objects,
    of_kind,
    pod,
    settings,
)

every_overlay = pytest.mark.parametrize("overlay", OVERLAYS)
PODS = [*OVERLAYS, "demo-store"]


def any_pod(name: str) -> Object:
    if name in OVERLAYS:
        return pod(name)
    (job,) = (it for it in demo_objects() if it["kind"] == "Job")
    spec: Object = job["spec"]["template"]["spec"]
    return spec


def bytes_of(quantity: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(Mi|Gi)", quantity).groups()  # type: ignore[union-attr]
    return int(number) << {"Mi": 20, "Gi": 30}[unit]


@pytest.mark.parametrize("name", PODS)
def test_pods_keep_to_the_restricted_security_standard(name: str) -> None:
    spec = any_pod(name)
    assert spec["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (only,) = spec["containers"]
    assert only["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "privileged": False,
        "capabilities": {"drop": ["ALL"]},
    }
    allowed = {"configMap", "emptyDir", "persistentVolumeClaim", "secret"}
    assert all(volume.keys() - {"name"} <= allowed for volume in spec["volumes"])


@pytest.mark.parametrize("name", PODS)
def test_pods_run_as_the_user_of_the_image(name: str, root: Path) -> None:
    (user,) = set(re.findall(r"^USER (\d+):\1$", (root / "Dockerfile").read_text(), re.MULTILINE))
    context = any_pod(name)["securityContext"]
    assert {context["runAsUser"], context["runAsGroup"], context["fsGroup"]} == {int(user)}


@pytest.mark.parametrize("name", PODS)
def test_every_volume_is_mounted_once(name: str) -> None:
    spec = any_pod(name)
    mounts = spec["containers"][0]["volumeMounts"]
    assert sorted(mount["name"] for mount in mounts) == sorted(volume["name"] for volume in spec["volumes"])
    for volume in spec["volumes"]:
        if "emptyDir" in volume:
            assert bytes_of(volume["emptyDir"]["sizeLimit"])


@pytest.mark.parametrize("name", PODS)
def test_resources_are_asked_for_and_limited(name: str) -> None:
    resources = any_pod(name)["containers"][0]["resources"]
    asked, limits = resources["requests"], resources["limits"]
    assert {"cpu", "memory", "ephemeral-storage"} <= asked.keys()
    assert {"memory", "ephemeral-storage"} <= limits.keys()
    for what in ("memory", "ephemeral-storage"):
        assert bytes_of(asked[what]) <= bytes_of(limits[what])
    assert asked.get("nvidia.com/gpu") == limits.get("nvidia.com/gpu") == ("1" if name == "gpu" else None)


@every_overlay
def test_selectors_find_the_pods_and_only_what_they_mean(overlay: str) -> None:
    deployment = of_kind(overlay, "Deployment")["spec"]
    labels = {"app.kubernetes.io/name": "mutant-guard"}
    assert labels.items() <= deployment["template"]["metadata"]["labels"].items()
    assert deployment["selector"]["matchLabels"] == labels
    assert of_kind(overlay, "Service")["spec"]["selector"] == labels
    assert of_kind(overlay, "Service", "guard-probes")["spec"]["selector"] == labels
    assert of_kind(overlay, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == labels
    assert of_kind(overlay, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"] == labels
    for constraint in pod(overlay)["topologySpreadConstraints"]:
        assert constraint["labelSelector"]["matchLabels"] == labels
    (job,) = (it for it in demo_objects() if it["kind"] == "Job")
    assert not labels.items() <= job["spec"]["template"]["metadata"]["labels"].items()
    target = of_kind(overlay, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    assert target == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "guard"}
    assert pod(overlay)["serviceAccountName"] == of_kind(overlay, "ServiceAccount")["metadata"]["name"]
    assert of_kind(overlay, "ServiceAccount")["automountServiceAccountToken"] is False


@every_overlay
def test_ports_are_those_the_server_listens_on(overlay: str, root: Path) -> None:
    ports = {port["name"]: port["containerPort"] for port in container(overlay)["ports"]}
    assert ports == {"http": 8000, "probes": int(settings(overlay)["GUARD_PROBE_PORT"])}
    exposed = re.findall(r"^EXPOSE (.*)$", (root / "Dockerfile").read_text(), re.MULTILINE)
    assert set(exposed) == {" ".join(map(str, ports.values()))}
    (http,) = of_kind(overlay, "Service")["spec"]["ports"]
    (probes,) = of_kind(overlay, "Service", "guard-probes")["spec"]["ports"]
    assert (http["targetPort"], probes["targetPort"]) == ("http", "probes")
    for kind in ("startup", "liveness", "readiness"):
        assert container(overlay)[f"{kind}Probe"]["httpGet"]["port"] == "probes"
    assert container(overlay)["args"] == ["serve", "--host", "0.0.0.0"]  # noqa: S104


@every_overlay
def test_probes_ask_what_the_server_answers(overlay: str) -> None:
    asked = {kind: container(overlay)[f"{kind}Probe"] for kind in ("startup", "liveness", "readiness")}
    paths = {kind: probe["httpGet"]["path"] for kind, probe in asked.items()}
    assert paths == {"startup": "/readyz", "liveness": "/livez", "readiness": "/readyz"}
    assert asked["startup"]["periodSeconds"] * asked["startup"]["failureThreshold"] >= 120


@every_overlay
def test_settings_exist_and_are_valid(overlay: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known = {f"GUARD_{field.upper()}" for field in Settings.model_fields}
    given = settings(overlay)
    secret = {it["name"] for it in container(overlay)["env"] if "valueFrom" in it}
    assert given.keys() | secret <= known
    assert secret == {"GUARD_ORDER_KEY", "GUARD_REDIS_URL"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert Settings().probe_port == int(given["GUARD_PROBE_PORT"])


@every_overlay
def test_a_replica_is_given_the_time_it_takes_to_leave(overlay: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in settings(overlay).items():
        monkeypatch.setenv(name, value)
    said = Settings()
    probe = container(overlay)["readinessProbe"]
    noticed = probe["failureThreshold"] * (probe["periodSeconds"] + probe["timeoutSeconds"])
    assert said.drain_seconds > noticed
    assert pod(overlay)["terminationGracePeriodSeconds"] > said.drain_seconds + said.grace_seconds


@every_overlay
def test_replicas_and_what_may_be_taken_of_them(overlay: str) -> None:
    spec = of_kind(overlay, "HorizontalPodAutoscaler")["spec"]
    assert (
        "replicas" not in of_kind(overlay, "Deployment")["spec"]
    )  # an apply would undo what the autoscaler did
    assert 1 < spec["minReplicas"] < spec["maxReplicas"]
    budget = of_kind(overlay, "PodDisruptionBudget")["spec"]
    assert 1 <= budget["maxUnavailable"] < spec["minReplicas"]
    rolling = of_kind(overlay, "Deployment")["spec"]["strategy"]["rollingUpdate"]
    assert rolling["maxSurge"] + rolling["maxUnavailable"] > 0
    assert rolling["maxUnavailable"] < spec["minReplicas"]


@every_overlay
def test_the_autoscaler_acts_before_a_replica_is_full(overlay: str, exported_names: set[str]) -> None:
    (metric,) = of_kind(overlay, "HorizontalPodAutoscaler")["spec"]["metrics"]
    assert metric["type"] == "Pods"
    name = metric["pods"]["metric"]["name"]
    assert name in exported_names
    full = int(settings(overlay)["GUARD_MAX_IN_FLIGHT"])
    assert full / 8 <= Decimal(metric["pods"]["target"]["averageValue"]) <= full / 2
    (rule,) = yaml.safe_load((FOLDER / "prometheus-adapter.yaml").read_text())["rules"]["custom"]
    assert rule["name"]["as"] == name
    assert rule["seriesQuery"].startswith(f"{name}{{")


@every_overlay
def test_the_network_policy_lets_in_clients_and_prometheus_and_out_to_dns_and_redis(overlay: str) -> None:
    spec = of_kind(overlay, "NetworkPolicy")["spec"]
    assert sorted(spec["policyTypes"]) == ["Egress", "Ingress"]

    def peers(rules: list[Any], direction: str) -> list[tuple[set[str], set[tuple[str, Any]]]]:
        found = []
        for rule in rules:
            assert all(
                "podSelector" in peer and peer["podSelector"]["matchLabels"] for peer in rule[direction]
            )
            keys = {
                f"{key}={value}"
                for peer in rule[direction]
                for key, value in peer["podSelector"]["matchLabels"].items()
            }
            found.append((keys, {(port["protocol"], port["port"]) for port in rule["ports"]}))
        return found

    assert peers(spec["ingress"], "from") == [
        ({"mutant-guard/client=true"}, {("TCP", "http")}),
        ({"app.kubernetes.io/name=prometheus"}, {("TCP", "probes")}),
    ]
    assert peers(spec["egress"], "to") == [
        ({"k8s-app=kube-dns"}, {("UDP", 53), ("TCP", 53)}),
        ({"app.kubernetes.io/name=redis"}, {("TCP", 6379)}),
    ]


@every_overlay
def test_prometheus_scrapes_the_probe_port(overlay: str, root: Path) -> None:
    spec = of_kind(overlay, "ServiceMonitor")["spec"]
    service = of_kind(overlay, "Service", "guard-probes")
    assert spec["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    main = of_kind(overlay, "Service")["metadata"]["labels"]
    assert not spec["selector"]["matchLabels"].items() <= main.items()  # nothing is scraped twice
    (endpoint,) = spec["endpoints"]
    assert (endpoint["port"], endpoint["path"]) == ("probes", "/metrics")
    scraping = yaml.safe_load((root / "deploy/prometheus/prometheus.yml").read_text())
    assert endpoint["interval"] == scraping["global"]["scrape_interval"]


@every_overlay
def test_every_namespace_is_a_job_of_its_own_that_the_rules_watch(
    overlay: str, alerts: dict[str, dict[str, Any]]
) -> None:
    (endpoint,) = of_kind(overlay, "ServiceMonitor")["spec"]["endpoints"]
    (relabelling,) = endpoint["relabelings"]
    assert relabelling["sourceLabels"] == ["__meta_kubernetes_namespace"]
    assert relabelling["targetLabel"] == "job"
    jobs = [relabelling["replacement"].replace("$1", namespace) for namespace in ("staging", "production")]
    (watched,) = re.findall(r'job=~"(.*?)"', alerts["GuardDown"]["expr"])
    assert len(set(jobs)) == 2
    assert all(re.fullmatch(watched, job) for job in jobs)


@every_overlay
def test_the_store_and_the_keys_are_where_the_server_looks_for_them(overlay: str) -> None:
    given = settings(overlay)
    mounts = {mount["name"]: mount for mount in container(overlay)["volumeMounts"]}
    assert Path(given["GUARD_STORE"]).parent == Path(mounts["stores"]["mountPath"])
    assert Path(given["GUARD_API_KEYS_FILE"]).parent == Path(mounts["api-keys"]["mountPath"])
    assert mounts["stores"]["readOnly"] is mounts["api-keys"]["readOnly"] is True
    volumes = {volume["name"]: volume for volume in pod(overlay)["volumes"]}
    (claim,) = (it for it in demo_objects() if it["kind"] == "PersistentVolumeClaim")
    wanted = volumes["stores"]["persistentVolumeClaim"]
    assert wanted == {"claimName": claim["metadata"]["name"], "readOnly": True}
    spec = any_pod("demo-store")
    assert {"name": "stores", "persistentVolumeClaim": {"claimName": wanted["claimName"]}} in spec["volumes"]
    assert spec["containers"][0]["command"] == ["demo-store.sh"]
    assert {"name": "stores", "mountPath": "/stores"} in spec["containers"][0]["volumeMounts"]


def test_images_are_those_of_the_dockerfile_at_this_version(root: Path) -> None:
    titles = re.findall(r'image\.title="(.*?)"', (root / "Dockerfile").read_text())
    version = re.search(r'^version = "(.*)"$', (root / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    images = [any_pod(name)["containers"][0]["image"] for name in PODS]
    assert sorted(images) == sorted(f"registry.example.org/{title}:{version[1]}" for title in titles)
    devices = [settings(overlay)["GUARD_DEVICE"] for overlay in OVERLAYS]
    assert devices == ["cpu", "cuda"]


def test_overlays_differ_only_where_they_say() -> None:
    """Whatever else is in the base reaches both."""
    changed = {"Deployment", "HorizontalPodAutoscaler"}
    kept = [[it for it in built(overlay) if it["kind"] not in changed] for overlay in OVERLAYS]
    assert kept[0] == kept[1]
