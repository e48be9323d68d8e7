"""docker-compose.yml: valid, hardened, and in step with the Dockerfile, the settings and the programs it starts."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import check_jsonschema
import jsonschema
import pytest
import redis
from typer.testing import CliRunner

SERVICES = ("store-init", "guard", "guard-gpu", "redis", "prometheus", "grafana")
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
    assert bool(ports) == (name not in {"redis", "store-init"})


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
        source, *rest = mount.split(":")
        if source.startswith("."):
            assert (root / source).is_dir()
            assert rest[1:] == ["ro"]
        else:
            assert source in compose["volumes"]


@every_service
def test_images_are_pinned(compose: dict[str, Any], name: str) -> None:
    service = compose["services"][name]
    assert ("build" in service) != ("image" in service)
    if "image" in service:
        assert re.fullmatch(r"[\w/]+:v?\d+\.\d[\w.-]*", service["image"])


@every_service
def test_no_password_is_written_down(compose: dict[str, Any], name: str) -> None:
    for key, value in compose["services"][name].get("environment", {}).items():
        if re.search("PASSWORD|SECRET|TOKEN|KEY", key):
            assert re.fullmatch(r"\$\{\w+:\?.*\}", value), f"{key} must be asked for, without a default"


def test_grafana_has_no_account_to_guess(compose: dict[str, Any]) -> None:
    environment = compose["services"]["grafana"]["environment"]
    assert environment["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    assert environment["GF_AUTH_DISABLE_LOGIN_FORM"] == "true"
    assert environment["GF_AUTH_BASIC_ENABLED"] == "false"
    assert environment["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"


@pytest.mark.parametrize("name", ["guard", "guard-gpu"])
def test_the_guard_waits_for_what_it_needs_and_only_reads_the_store(
    compose: dict[str, Any], name: str
) -> None:
    service = compose["services"][name]
    assert service["depends_on"] == {
        "store-init": {"condition": "service_completed_successfully"},
        "redis": {"condition": "service_healthy"},
    }
    assert "stores:/stores:ro" in service["volumes"]
    assert set(service["networks"]) == {"default", "cache"}


@every_service
def test_what_is_waited_for_can_become_ready(compose: dict[str, Any], name: str) -> None:
    for other, wait in compose["services"][name].get("depends_on", {}).items():
        if wait["condition"] == "service_healthy":
            assert "healthcheck" in compose["services"][other]
        else:
            assert compose["services"][other]["restart"] == "no"


def test_redis_is_reached_by_the_guard_alone(compose: dict[str, Any]) -> None:
    assert compose["networks"]["cache"] == {"internal": True}
    services = compose["services"].items()
    assert {name for name, service in services if "cache" in service.get("networks", [])} == {
        "redis",
        "guard",
        "guard-gpu",
    }


def test_the_guard_knows_its_settings(compose: dict[str, Any], root: Path) -> None:
    from service.settings import Settings

    known = {f"GUARD_{field.upper()}" for field in Settings.model_fields}
    assert set(compose["x-guard"]["environment"]) <= known
    in_dockerfile = re.findall(r"\bGUARD_\w+(?==)", (root / "Dockerfile").read_text())
    assert set(in_dockerfile) <= known


def test_the_guards_default_command_has_only_options_that_exist(root: Path) -> None:
    from service.cli import app

    commands = re.findall(r'CMD (\["serve".*\])', (root / "Dockerfile").read_text())
    assert len(commands) == 2
    shown = CliRunner().invoke(app, ["serve", "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"}).output
    for option in (word for command in commands for word in json.loads(command) if word.startswith("--")):
        assert re.search(rf"{option}\b", shown)


def test_prometheus_has_only_options_that_exist(compose: dict[str, Any]) -> None:
    binary = shutil.which("prometheus")
    if binary is None:
        pytest.skip("prometheus is not installed (Debian: apt-get install prometheus)")
    shown = subprocess.run([binary, "--help"], capture_output=True, text=True, check=False)
    for option in compose["services"]["prometheus"]["command"]:
        assert f"{option.split('=')[0]}=" in shown.stdout + shown.stderr


def test_redis_starts_with_its_options_and_is_a_cache(compose: dict[str, Any], tmp_path: Path) -> None:
    binary = shutil.which("redis-server")
    if binary is None:
        pytest.skip("redis-server is not installed (Debian: apt-get install redis-server)")
    program, *options = compose["services"]["redis"]["command"]
    assert program == "redis-server"
    socket = tmp_path / "redis.sock"
    command = [binary, *options, "--port", "0", "--unixsocket", str(socket)]
    server = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 10
        while not socket.exists():
            assert server.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        with redis.Redis(unix_socket_path=str(socket), decode_responses=True) as client:
            config: Any = client.config_get("*")
    finally:
        server.terminate()
        server.wait(10)
    assert config["maxmemory-policy"] == "allkeys-lru"
    assert config["save"] == ""
    assert config["appendonly"] == "no"
    limit = compose["services"]["redis"]["deploy"]["resources"]["limits"]["memory"]
    assert int(config["maxmemory"]) * 2 <= int(limit.removesuffix("m")) << 20


def test_the_store_is_built_where_the_guard_looks_for_it(compose: dict[str, Any], root: Path) -> None:
    dockerfile = (root / "Dockerfile").read_text()
    assert "COPY deploy/steps/demo-store.sh /usr/local/bin/demo-store.sh" in dockerfile
    assert compose["services"]["store-init"]["entrypoint"] == ["demo-store.sh"]
    assert "STORES=/stores" in dockerfile
    assert '"--store", "/stores/digits"' in dockerfile
