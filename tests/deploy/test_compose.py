"""docker-compose.yml: valid, hardened, and in step with the Dockerfile and the settings."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import check_jsonschema
import jsonschema
import pytest
from typer.testing import CliRunner

SERVICES = (
    "store-init",
    "mnist-init",
    "proxy",
    "guard",
    "guard-gpu",
    "guard-mnist",
    "redis",
    "prometheus",
    "grafana",
)
GUARDS = ("guard", "guard-gpu", "guard-mnist")
INITS = ("store-init", "mnist-init")
every_service = pytest.mark.parametrize("name", SERVICES)


def test_it_follows_the_compose_specification(compose: dict[str, Any]) -> None:
    schema = Path(check_jsonschema.__file__).parent / "builtin_schemas/vendor/compose-spec.json"
    jsonschema.validate(compose, json.loads(schema.read_text()))


def test_it_has_the_services_checked_here(compose: dict[str, Any]) -> None:
    assert set(compose["services"]) == set(SERVICES)


@every_service
def test_every_service_is_hardened(compose: dict[str, Any], name: str) -> None:
    service = compose["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory", "pids"}
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}


@every_service
def test_no_service_runs_as_root(compose: dict[str, Any], name: str) -> None:
    service = compose["services"][name]
    if "image" in service:  # the images built here: test_dockerfile.py
        assert re.fullmatch(r"[1-9]\d*:\d+", service["user"])
    else:
        assert "user" not in service


@every_service
def test_ports_are_published_on_this_machine_only(compose: dict[str, Any], name: str) -> None:
    ports = compose["services"][name].get("ports", [])
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert bool(ports) == (name in {"proxy", "guard-mnist", "prometheus", "grafana"})


def test_published_ports_do_not_collide(compose: dict[str, Any]) -> None:
    defaults = [
        re.sub(r"\$\{\w+:-(.*?)\}", r"\1", port).split(":")[1]
        for service in compose["services"].values()
        for port in service.get("ports", [])
    ]
    assert len(defaults) == len(set(defaults))


@every_service
def test_mounts_exist(compose: dict[str, Any], root: Path, name: str) -> None:
    for mount in compose["services"][name].get("volumes", []):
        source, *rest = re.sub(r"\$\{\w+:-(.*?)\}", r"\1", mount).split(":")
        if source == "./mnist":  # what MNIST_DIR names; the step says what is missing
            assert rest == ["/mnist", "ro"]
        elif source.startswith("."):
            assert (root / source).is_dir()
            assert rest[1:] == ["ro"]
        else:
            assert source in compose["volumes"]


@every_service
def test_images_are_pinned(compose: dict[str, Any], name: str) -> None:
    service = compose["services"][name]
    assert ("build" in service) != ("image" in service)
    if "image" in service:  # another, as with a digest, may be named in .env
        assert re.fullmatch(r"\$\{[A-Z]+_IMAGE:-[\w/]+:v?\d+\.\d[\w.-]*\}", service["image"])
    else:
        base = "CUDA_IMAGE" if name == "guard-gpu" else "PYTHON_IMAGE"
        assert base in service["build"]["args"]
        assert service["build"]["args"][base] is None  # that of the environment, else the Dockerfile's


@every_service
def test_what_ends_is_restarted(compose: dict[str, Any], name: str) -> None:
    assert compose["services"][name]["restart"] == ("no" if name in INITS else "unless-stopped")


@every_service
def test_services_say_when_they_are_well(compose: dict[str, Any], name: str) -> None:
    if (
        name not in INITS and "image" in compose["services"][name]
    ):  # the guards' images do: test_dockerfile.py
        assert compose["services"][name]["healthcheck"].keys() == {"test", "interval", "timeout", "retries"}


@every_service
def test_no_password_is_written_down(compose: dict[str, Any], name: str) -> None:
    for key, value in compose["services"][name].get("environment", {}).items():
        if re.search("PASSWORD|SECRET|TOKEN|KEY", key) and not key.endswith("_FILE"):
            assert re.fullmatch(r"\$\{\w+:\?.*\}", value), f"{key} must be asked for, without a default"


def test_grafana_has_no_account_to_guess(compose: dict[str, Any]) -> None:
    environment = compose["services"]["grafana"]["environment"]
    assert environment["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    assert environment["GF_AUTH_DISABLE_LOGIN_FORM"] == "true"
    assert environment["GF_AUTH_BASIC_ENABLED"] == "false"
    assert environment["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"


@pytest.mark.parametrize("name", GUARDS)
def test_the_guard_waits_for_what_it_needs_and_only_reads_the_store(
    compose: dict[str, Any], name: str
) -> None:
    service = compose["services"][name]
    assert service["depends_on"] == {
        "mnist-init" if name == "guard-mnist" else "store-init": {
            "condition": "service_completed_successfully"
        },
        "redis": {"condition": "service_healthy"},
    }
    assert "stores:/stores:ro" in service["volumes"]
    assert {"scrape", "cache"} <= set(service["networks"])


def test_the_proxy_finds_every_replica_and_prometheus_every_guard(
    compose: dict[str, Any], root: Path
) -> None:
    proxy = (root / "deploy/proxy/haproxy.cfg").read_text()
    assert "presetenv GUARD_NAME guard\n" in proxy
    assert "presetenv GUARD_DNS 127.0.0.11:53\n" in proxy  # Docker's own
    (probes,) = set(re.findall(r"\bGUARD_PROBE_PORT=(\d+)", (root / "Dockerfile").read_text()))
    assert f"presetenv GUARD_PROBE_PORT {probes}\n" in proxy
    assert compose["services"]["proxy"]["ports"] == ["127.0.0.1:${GUARD_PORT:-8000}:8080"]
    assert "presetenv PROXY_BIND :8080\n" in proxy
    for service, networks in (("guard-gpu", {"front", "scrape"}), ("guard-mnist", {"scrape"})):
        found = compose["services"][service]["networks"].items()
        assert {name for name, how in found if how and how["aliases"] == ["guard"]} == networks
    assert set(compose["services"]["proxy"]["networks"]) == {"default", "front"}
    assert set(compose["services"]["prometheus"]["networks"]) == {"default", "scrape"}


def test_replicas_reach_nothing_outside(compose: dict[str, Any]) -> None:
    for name in ("guard", "guard-gpu"):
        networks = compose["services"][name]["networks"]
        assert all(compose["networks"][network] == {"internal": True} for network in networks)
    for name in INITS:
        assert compose["services"][name]["network_mode"] == "none"


def test_bodies_of_every_connection_fit_into_a_replicas_memory(compose: dict[str, Any], root: Path) -> None:
    proxy = (root / "deploy/proxy/haproxy.cfg").read_text()
    (connections,) = re.findall(r"default-server .* maxconn (\d+)", proxy)
    given = compose["services"]["guard"]["environment"]["GUARD_MAX_BODY_BYTES"]
    body = int(re.sub(r"\$\{GUARD_MAX_BODY_BYTES:-(\d+)\}", r"\1", given))
    memory = {"m": 20, "g": 30}
    limit = compose["services"]["guard"]["deploy"]["resources"]["limits"]["memory"]
    itself = 400 << 20  # docs/operations.md, Sizing
    assert itself + int(connections) * body <= int(limit[:-1]) << memory[limit[-1]]


def test_a_replica_is_given_the_time_it_takes_to_leave(compose: dict[str, Any]) -> None:
    from service.settings import Settings

    settings = Settings()
    for name in GUARDS:
        given = int(compose["services"][name]["stop_grace_period"].removesuffix("s"))
        assert given > settings.drain_seconds + settings.grace_seconds


@every_service
def test_what_is_waited_for_can_become_ready(compose: dict[str, Any], name: str) -> None:
    for other, wait in compose["services"][name].get("depends_on", {}).items():
        if wait["condition"] == "service_healthy":
            awaited = compose["services"][other]  # the guards' images have a check: test_dockerfile.py
            assert "healthcheck" in awaited or awaited["build"]["target"] == "guard"
        else:
            assert compose["services"][other]["restart"] == "no"


def test_redis_is_reached_by_the_guard_alone(compose: dict[str, Any]) -> None:
    assert compose["networks"]["cache"] == {"internal": True}
    services = compose["services"].items()
    assert {name for name, service in services if "cache" in service.get("networks", [])} == {
        "redis",
        "guard",
        "guard-gpu",
        "guard-mnist",
    }


def test_the_guard_knows_its_settings(compose: dict[str, Any], root: Path) -> None:
    from service.settings import Settings

    known = {f"GUARD_{field.upper()}" for field in Settings.model_fields}
    for name in GUARDS:
        assert set(compose["services"][name]["environment"]) <= known
    in_dockerfile = re.findall(r"\bGUARD_\w+(?==)", (root / "Dockerfile").read_text())
    assert set(in_dockerfile) <= known


@pytest.mark.parametrize("name", GUARDS)
def test_what_is_not_chosen_is_as_if_it_were_not_there(
    compose: dict[str, Any], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    from service.settings import Settings

    for variable, value in compose["services"][name]["environment"].items():
        monkeypatch.setenv(variable, re.sub(r"\$\{\w+:-(.*?)\}", r"\1", value))
    settings = Settings()
    assert settings.api_keys_file is None
    assert not settings.review_images


@pytest.mark.parametrize("name", GUARDS)
def test_guards_can_be_given_api_keys(compose: dict[str, Any], name: str) -> None:
    assert compose["services"][name]["environment"]["GUARD_API_KEYS_FILE"] == "${GUARD_API_KEYS_FILE:-}"


def test_the_guards_default_command_has_only_options_that_exist(root: Path) -> None:
    from service.cli.app import app

    commands = re.findall(r'CMD (\["serve".*\])', (root / "Dockerfile").read_text())
    assert len(commands) == 2
    shown = CliRunner().invoke(app, ["serve", "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"}).output
    for option in (word for command in commands for word in json.loads(command) if word.startswith("--")):
        assert re.search(rf"{option}\b", shown)


def test_a_replica_on_a_gpu_ends_rather_than_serve_on_the_processor(compose: dict[str, Any]) -> None:
    with_gpu, without = (compose["services"][name]["environment"] for name in ("guard-gpu", "guard"))
    assert with_gpu == without | {"GUARD_DEVICE": "cuda"}


def test_the_proxy_starts_no_more_threads_than_its_limit_on_any_host(
    compose: dict[str, Any], root: Path
) -> None:
    (threads,) = re.findall(
        r"^ +nbthread (\d+)", (root / "deploy/proxy/haproxy.cfg").read_text(), re.MULTILINE
    )
    assert int(threads) * 8 <= compose["services"]["proxy"]["deploy"]["resources"]["limits"]["pids"]


def test_mnist_is_served_where_its_step_builds_it(compose: dict[str, Any], root: Path) -> None:
    step = (root / "deploy/steps/mnist-store.sh").read_text()
    init, guard = (compose["services"][name] for name in ("mnist-init", "guard-mnist"))
    assert init["profiles"] == guard["profiles"] == ["mnist"]
    mounts = [mount.rsplit(":", 2) for mount in init["volumes"] if mount.endswith(":ro")]
    assert {where for _, where, _ in mounts} == {init["environment"]["MODELS"], init["environment"]["MNIST"]}
    assert "stores:/stores" in init["volumes"]
    assert "store=${STORES:-stores}/mnist-lenet-robust\n" in step
    assert guard["environment"]["GUARD_STORE"] == "/stores/mnist-lenet-robust"
    assert (root / "models/mnist-lenet.safetensors").is_file()


def test_the_store_is_built_where_the_guard_looks_for_it(compose: dict[str, Any], root: Path) -> None:
    dockerfile = (root / "Dockerfile").read_text()
    assert "deploy/steps/demo-store.sh deploy/steps/mnist-store.sh /usr/local/bin/" in dockerfile
    assert compose["services"]["store-init"]["entrypoint"] == ["demo-store.sh"]
    assert compose["services"]["mnist-init"]["entrypoint"] == ["mnist-store.sh"]
    assert "STORES=/stores" in dockerfile
    assert compose["x-guard"]["environment"]["GUARD_SAMPLES_DIR"] == "/stores/samples"
    assert (
        "samples=${SAMPLES:-${STORES:-stores}/samples}" in (root / "deploy/steps/demo-store.sh").read_text()
    )
    assert set(re.findall(r"\bGUARD_STORE=(\S+)", dockerfile)) == {"/stores/digits"}
    assert "store=${STORES:-stores}/digits\n" in (root / "deploy/steps/demo-store.sh").read_text()


@pytest.mark.parametrize("name", GUARDS)
def test_what_a_guard_serves_is_decided_by_its_environment(
    compose: dict[str, Any], root: Path, name: str
) -> None:
    """An option of the command would outweigh a GUARD_STORE that somebody sets, and say nothing of it."""
    assert "command" not in compose["services"][name]
    commands = re.findall(r"^(?:CMD|ENTRYPOINT) (\[.*\])$", (root / "Dockerfile").read_text(), re.MULTILINE)
    assert commands
    assert not any("--store" in json.loads(command) for command in commands)
