"""The server started from the command line, over real sockets."""

import asyncio
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from mutant_guard.store.manifest import SCHEMA_VERSION
from tests.support.process import COMMAND, Server, environment, serve
from tests.support.service import digits, encode, free_port
from tests.support.versions import add_version, copy_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(digits_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(digits_store, tmp_path_factory.mktemp("server") / "log") as server:
        yield server


def test_under_load_it_answers_what_the_command_line_does(
    server: Server, digits_store: Path, tmp_path: Path
) -> None:
    paths = []
    for number, image in enumerate([*digits(100), *digits(100, noise=0.3), *digits(100, noise=0.6)]):
        path = tmp_path / f"{number}.png"
        path.write_bytes(encode(image))
        paths.append(path)
    alone = subprocess.run(
        [COMMAND, "classify", *map(str, paths), "--store", str(digits_store), "--json"],
        env=environment(),
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )
    expected = [json.loads(line) for line in alone.stdout.splitlines()]
    limits = httpx.Limits(max_connections=64)

    async def post_all() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=server.url, limits=limits, timeout=30) as client:
            return await asyncio.gather(*(client.post("/classify", content=p.read_bytes()) for p in paths))

    found = [answer.raise_for_status().json() for answer in asyncio.run(post_all())]
    own = {"request_id", "elapsed_ms", "confidence", "image"}
    assert [_without(one, own) for one in found] == [_without(one, own) for one in expected]
    confidences = [one["confidence"] for one in expected]
    assert [one["confidence"] for one in found] == pytest.approx(confidences, abs=1e-5)
    assert len({one["verdict"] for one in found}) >= 2


def _without(answer: dict[str, object], fields: set[str]) -> dict[str, object]:
    return {name: value for name, value in answer.items() if name not in fields}


def test_every_request_is_one_line_of_json(server: Server) -> None:
    for name, body in (("good", encode(digits(1)[0])), ("bad", b"text")):
        httpx.post(f"{server.url}/classify", content=body, headers={"X-Request-Id": name})
    found = {event["request_id"]: event for event in server.events() if "request_id" in event}
    assert found["good"]["event"] == "classified"
    assert {"label", "verdict", "mutants", "cached", "elapsed_ms", "timestamp"} <= set(found["good"])
    assert (found["bad"]["event"], found["bad"]["reason"]) == ("refused", "bad-image")


def test_a_body_far_over_the_limit_is_answered(server: Server) -> None:
    with httpx.Client(base_url=server.url) as client:
        assert client.post("/classify", content=bytes(12 << 20)).status_code == 413
        assert client.get("/livez").status_code == 200


def test_a_client_that_goes_away_leaves_no_traceback(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(
            b"POST /classify HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: gone\r\nContent-Length: 999\r\n\r\nabc"
        )
    give_up = time.monotonic() + 10
    while not any(event.get("request_id") == "gone" for event in server.events()):
        assert time.monotonic() < give_up
        time.sleep(0.02)  # the connection is closed, so only the log tells
    assert httpx.get(f"{server.url}/readyz").status_code == 200
    assert "Traceback" not in server.log.read_text()


def test_several_stores_are_served_by_name(digits_store: Path, retrained_store: Path, tmp_path: Path) -> None:
    soft = copy_of(retrained_store, tmp_path)
    add_version(soft, name="soft")
    image = encode(digits(1)[0])
    with serve(digits_store, tmp_path / "log", GUARD_STORE=f"{digits_store},{soft}") as server:
        names = [
            httpx.post(f"{server.url}/classify{query}", content=image).json()["store"]["name"]
            for query in ("", "?store=soft", "?store=digits")
        ]
        assert names == ["digits", "soft", "digits"]


def _flip_a_byte(store: Path) -> str:
    bank = next(store.glob("*/bank-0.onnx"))
    content = bytearray(bank.read_bytes())
    content[100] ^= 1
    bank.write_bytes(content)
    return f"{bank} is damaged"


def _make_newer(store: Path) -> str:
    manifest = next(store.glob("*/manifest.json"))
    newer = json.loads(manifest.read_text()) | {"schema_version": SCHEMA_VERSION + 1}
    manifest.write_text(json.dumps(newer))
    versions = f"schema version {SCHEMA_VERSION + 1}, this release reads {SCHEMA_VERSION}"
    return f"{manifest} has {versions}; update mutant-guard"


def _leave_unfinished(store: Path) -> str:
    (store / "CURRENT").unlink()
    return f"{store}: no version is published"


@pytest.mark.parametrize("damage", [_flip_a_byte, _make_newer, _leave_unfinished])
def test_a_store_that_cannot_be_served_ends_the_start_with_one_line(
    damage: Callable[[Path], str], digits_store: Path, tmp_path: Path
) -> None:
    store = tmp_path / "digits"
    shutil.copytree(digits_store, store)
    message = damage(store)
    done = subprocess.run(
        [COMMAND, "serve", "--store", str(store), "--port", str(free_port())],
        env=environment(),
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {message}")
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""
