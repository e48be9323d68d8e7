"""Several processes that serve on one port as one server."""

import json
import os
import signal
import subprocess
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from tests.service.processes.conftest import PROCESSES, processes_of, shared, sockets_of
from tests.support.api_keys import add_key
from tests.support.process import COMMAND, Server, environment
from tests.support.service import digits, encode, samples
from tests.support.versions import add_version, copy_of, damage

pytestmark = pytest.mark.slow

IMAGES = [encode(image) for noise in (0.0, 0.4, 0.6) for image in digits(10, noise=noise)]


@contextmanager
def kept(
    server: Server, connections: int = 8, headers: dict[str, str] | None = None
) -> Iterator[list[httpx.Client]]:
    """Yield clients that keep one connection each, which the processes have shared out."""
    with ExitStack() as stack:
        clients = [
            stack.enter_context(httpx.Client(base_url=server.url, headers=headers, trust_env=False))
            for _ in range(connections)
        ]
        for client in clients:
            assert client.get("/livez").status_code == 200
        yield clients


def metrics(server: Server) -> defaultdict[str, float]:
    """Return the sums of the samples of each name."""
    found: defaultdict[str, float] = defaultdict(float)
    for (name, _), value in samples(httpx.get(f"{server.url}/metrics").text).items():
        found[name] += value
    return found


def until(condition: Callable[[], bool], *, within: float = 30.0) -> None:
    give_up = time.monotonic() + within
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.05)


def test_each_process_takes_its_share_of_connections_that_are_kept(server: Server) -> None:
    before = {pid: sockets_of(pid) for pid in processes_of(server)}
    assert len(before) == PROCESSES
    with kept(server, 12):
        taken = [sockets_of(pid) - count for pid, count in before.items()]
    assert 11 <= sum(taken) <= 12  # one of before may have ended
    assert min(taken) >= 3


def test_every_process_orders_the_mutants_alike(server: Server) -> None:
    said = ("label", "verdict", "mutants", "label_changes", "decided_by")
    with kept(server) as clients:
        answers = [[client.post("/classify", content=image).json() for client in clients] for image in IMAGES]
    assert len({answer["mutants"] for row in answers for answer in row}) > 1
    for row in answers:
        assert len({tuple(answer[name] for name in said) for answer in row}) == 1


def test_the_key_that_could_not_be_kept_is_drawn_and_reported_once(server: Server) -> None:
    events = [event["event"] for event in server.events()]
    assert events.count("order key is for this process only") == 1
    assert events.count("serving") == 1
    found = samples(httpx.get(f"{server.url}/metrics").text)
    assert sum(name == "guard_order_key_info" for name, _ in found) == 1


def test_metrics_and_alarms_are_those_of_all_processes(server: Server) -> None:
    before = metrics(server)
    tested = httpx.get(f"{server.url}/alarm-rate").json()["stores"][0]["tested"]
    with kept(server) as clients:
        for number, client in enumerate(clients * 3):
            assert client.post("/classify", content=IMAGES[number]).status_code == 200
        texts = {client.get("/metrics").text for client in clients}
        rates = [client.get("/alarm-rate").json()["stores"][0]["tested"] for client in clients]
    sent = 3 * len(clients)
    assert rates == [tested + sent] * len(clients)
    after = metrics(server)
    for name in ("guard_verdicts_total", "guard_labels_total", "guard_request_duration_seconds_count"):
        assert after[name] - before[name] == sent, name
    assert after["guard_mutants_evaluated_bucket"] > before["guard_mutants_evaluated_bucket"]
    assert (after["guard_store_info"], after["guard_store_mutants"]) == (1, 60)
    assert after["guard_processes"] == PROCESSES
    assert len(texts) == 1


def test_the_rate_of_a_key_holds_over_all_processes(digits_store: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    secret = add_key(keys, requests_per_second=0.01, burst=5)
    with (
        shared(digits_store, tmp_path / "log", GUARD_API_KEYS_FILE=str(keys)) as server,
        kept(server, headers={"X-API-Key": secret}) as clients,
    ):
        statuses = Counter(client.post("/classify", content=IMAGES[0]).status_code for client in clients * 2)
    assert statuses == {200: 5, 429: 11}


def test_all_processes_load_a_version_and_so_do_those_that_are_started_later(
    digits_store: Path, tmp_path: Path
) -> None:
    store, keys = copy_of(digits_store, tmp_path), tmp_path / "keys.json"
    admin = {"X-API-Key": add_key(keys, "ops", role="admin")}
    client = {"X-API-Key": add_key(keys, "shop")}
    with shared(store, tmp_path / "log", GUARD_API_KEYS_FILE=str(keys)) as server:
        load = f"{server.url}/v2/repository/models/{store.name}/load"
        version = add_version(store, seed=7)
        with kept(server, headers=client) as clients:
            loaded = httpx.post(load, headers=admin, timeout=30)
            assert loaded.status_code == 200, loaded.text
            assert loaded.json()["version"] == version
            assert _versions(clients) == {version}
            # a version that is published and not loaded is none that a replaced process serves
            unloaded = add_version(store, seed=8)
            damage(store / unloaded / "weights.bin")
            refused = httpx.post(load, headers=admin, timeout=30)
            assert (refused.status_code, refused.json()["type"]) == (
                409,
                "urn:mutant-guard:problem:not-loaded",
            )
            assert "weights.bin" in refused.json()["detail"]
            assert _versions(clients) == {version}
        (first, *_) = processes_of(server)
        os.kill(first, signal.SIGKILL)
        until(
            lambda: len(processes_of(server)) == PROCESSES and metrics(server)["guard_processes"] == PROCESSES
        )
        assert first not in processes_of(server)
        with kept(server, headers=client) as clients:
            assert _versions(clients) == {version}
        found = samples(httpx.get(f"{server.url}/metrics").text)
        assert sum(name == "guard_store_info" for name, _ in found) == 1


def _versions(clients: list[httpx.Client]) -> set[str]:
    answers = [client.post("/classify", content=IMAGES[0]) for client in clients]
    assert {answer.status_code for answer in answers} == {200}
    return {answer.json()["store"]["version"] for answer in answers}


def test_a_process_that_is_killed_is_replaced_and_its_counts_stay(digits_store: Path, tmp_path: Path) -> None:
    with shared(digits_store, tmp_path / "log") as server:
        with kept(server) as clients:
            answers = [client.post("/classify", content=IMAGES[-1]).json() for client in clients]
        counted = metrics(server)["guard_verdicts_total"]
        victim, other = processes_of(server)
        os.kill(victim, signal.SIGKILL)
        until(lambda: metrics(server)["guard_processes_ended_total"] == 1)
        for _ in range(8):  # nobody who connects now meets the one that is gone
            assert httpx.get(f"{server.url}/readyz").status_code == 200
        assert metrics(server)["guard_verdicts_total"] == counted
        until(lambda: metrics(server)["guard_processes"] == PROCESSES)
        assert other in processes_of(server)
        with kept(server) as clients:
            again = [client.post("/classify", content=IMAGES[-1]).json() for client in clients]
        assert {answer["mutants"] for answer in again} == {answer["mutants"] for answer in answers}
        assert metrics(server)["guard_verdicts_total"] == counted + len(again)
        (line,) = [
            event for event in server.events() if event["event"] == "a process has ended and is replaced"
        ]
        assert (line["pid"], line["status"]) == (victim, -signal.SIGKILL)


def test_processes_that_end_again_and_again_end_the_server(digits_store: Path, tmp_path: Path) -> None:
    with shared(digits_store, tmp_path / "log", GUARD_DRAIN_SECONDS="0") as server:
        killed: set[int] = set()
        while server.process.poll() is None:
            for pid in {*_processes_or_none(server)} - killed:
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
            time.sleep(0.05)
            assert len(killed) < 20
        assert server.process.returncode == 70
        said = [event["event"] for event in server.events() if event["level"] == "error"]
        assert said == ["processes end soon after their start, again and again; the server ends"]
        assert "Traceback" not in server.log.read_text()


def _processes_or_none(server: Server) -> list[int]:
    try:
        return processes_of(server)
    except FileNotFoundError:  # it has ended meanwhile
        return []


def test_no_process_outlives_a_supervisor_that_is_killed(digits_store: Path, tmp_path: Path) -> None:
    with shared(digits_store, tmp_path / "log") as server:
        left = processes_of(server)
        server.process.kill()
        server.process.wait()
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in left), within=5)


def test_sigterm_under_load_loses_nothing(digits_store: Path, tmp_path: Path) -> None:
    """Service managers send it to every process, beside what the supervisor passes on."""
    with shared(digits_store, tmp_path / "log", GUARD_DRAIN_SECONDS="4") as server:
        outcomes: list[str | int] = []
        threads = [threading.Thread(target=_ask, args=(server.url, outcomes)) for _ in range(4)]
        for thread in threads:
            thread.start()
        until(lambda: len(outcomes) > 20)
        signalled = time.monotonic()
        for pid in [*processes_of(server), server.process.pid]:
            os.kill(pid, signal.SIGTERM)
        assert server.process.wait(timeout=20) == 0
        assert time.monotonic() - signalled >= 4
        for thread in threads:
            thread.join()
    assert set(outcomes) == {200}
    assert "rror" not in server.log.read_text()
    assert server.events()[-1]["event"] == "stopped"


def _ask(url: str, outcomes: list[str | int]) -> None:
    """Ask until the server says that it is about to stop, as behind a load balancer."""
    with httpx.Client(base_url=url, trust_env=False) as client:
        while _is_ready(url):
            try:
                outcomes.append(client.post("/classify", content=IMAGES[0]).status_code)
            except httpx.TransportError as error:
                outcomes.append(repr(error))


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").status_code == 200
    except httpx.ConnectError:
        return False


def test_the_probe_port_is_one_of_all_processes(server: Server, probe_port: int) -> None:
    for path in ("/livez", "/readyz"):
        assert httpx.get(f"http://127.0.0.1:{probe_port}{path}").status_code == 200
    found = samples(httpx.get(f"http://127.0.0.1:{probe_port}/metrics").text)
    assert found["guard_processes", frozenset()] == PROCESSES


@pytest.mark.parametrize("case", ["store", "memory", "port"])
def test_a_bad_start_is_one_line(case: str, digits_store: Path, tmp_path: Path, server: Server) -> None:
    store = copy_of(digits_store, tmp_path)
    if case == "store":
        damage(next(store.glob("*/weights.bin")))
    variables = {"GUARD_QUERY_MEMORY": "observe"} if case == "memory" else {}
    port = server.port if case == "port" else 0
    done = subprocess.run(
        [COMMAND, "serve", "--store", str(store), "--port", f"{port}", "--processes", "2"],
        env=environment(GUARD_LOG_FORMAT="json", **variables),
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
    )
    status, said = {"store": (1, "weights.bin"), "memory": (1, "GUARD_REDIS_URL"), "port": (3, "in use")}[
        case
    ]
    assert done.returncode == status
    (line,) = done.stderr.splitlines()
    assert said in (json.loads(line)["event"] if case == "port" else line)


def test_without_a_redis_there_is_no_review_queue(server: Server) -> None:
    refused = httpx.get(f"{server.url}/review")
    assert refused.status_code == 404
    assert "GUARD_REDIS_URL" in refused.json()["detail"]
