"""The proxy in front of the replicas, with its deployed configuration: the real haproxy, guards and a DNS server."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.support.dns import Names, resolving
from tests.support.process import COMMAND, environment
from tests.support.service import digits, encode, free_port

pytestmark = pytest.mark.slow

CONFIGURATION = Path(__file__).parents[2] / "deploy/proxy/haproxy.cfg"
IMAGE = {"Content-Type": "image/png"}
# Replicas are told apart by their addresses; all of them listen on the same two ports, as those of a service do.
ADDRESSES = ("127.0.0.11", "127.0.0.12", "127.0.0.13")
MAX_BODY, MAX_IN_FLIGHT = 20_000, 2


def until(holds: Callable[[], bool], what: str, seconds: float = 15) -> None:
    give_up = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < give_up, f"not within {seconds} s: {what}"
        time.sleep(0.05)


def status(url: str) -> int:
    """The status of a GET; 0 where nobody listens."""
    try:
        return httpx.get(url, timeout=5).status_code
    except httpx.TransportError:
        return 0


def assert_spread(asked: Counter[str], count: int, addresses: Sequence[str]) -> None:
    """Every request went to one of these replicas, and each had its part; on a busy machine one may miss a check."""
    assert {address for address, share in asked.items() if share} == set(addresses)
    assert asked.total() == count
    assert min(asked[address] for address in addresses) >= count / len(addresses) / 2


def is_ready(url: str) -> bool:
    return status(url) == 200


@pytest.fixture(scope="module")
def haproxy() -> str:
    binary = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")  # Debian keeps it there
    if binary is None:
        pytest.skip("haproxy is not installed (Debian: apt-get install haproxy)")
    return binary


def test_the_configuration_is_valid_without_a_warning(haproxy: str) -> None:
    done = subprocess.run(
        [haproxy, "-c", "-f", CONFIGURATION], capture_output=True, text=True, env={}, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr + done.stdout


@dataclass
class Cluster:
    """Guards on addresses of their own, and the proxy in front of them."""

    proxy_port: int
    port: int
    probe_port: int
    names: Names
    processes: dict[str, subprocess.Popen[bytes]]
    logs: Path

    @property
    def url(self) -> str:
        """Where the proxy listens."""
        return f"http://127.0.0.1:{self.proxy_port}"

    def seen(self, address: str) -> float:
        """Verdicts that a replica gave, by its own metrics."""
        text = httpx.get(f"http://{address}:{self.probe_port}/metrics").text
        return sum(map(float, re.findall(r"^guard_verdicts_total\{.*\} (\S+)$", text, re.MULTILINE)))

    def ask(self, count: int) -> Counter[str]:
        """Post images, each over a connection of its own; how many each of the replicas that live was given."""
        alive = [address for address, process in self.processes.items() if process.poll() is None]
        before = {address: self.seen(address) for address in alive}
        bodies = [encode(image) for image in digits(count)]
        for body in bodies:
            answer = httpx.post(f"{self.url}/classify", content=body, headers=IMAGE)
            assert answer.status_code == 200, answer.text
        return Counter({address: int(self.seen(address) - before[address]) for address in alive})


@contextmanager
def guard(
    store: Path, address: str, port: int, log: Path, **variables: str
) -> Iterator[subprocess.Popen[bytes]]:
    command = [COMMAND, "serve", "--store", str(store), "--host", address, "--port", str(port)]
    with log.open("wb") as stderr:
        process = subprocess.Popen(command, stderr=stderr, env=environment(**variables))
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def cluster(demo_store: Path, haproxy: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three replicas, of which DNS names the first two."""
    port, probe_port, proxy_port = free_port(), free_port(), free_port()
    settings = {
        "GUARD_PROBE_PORT": str(probe_port),
        "GUARD_MAX_BODY_BYTES": str(MAX_BODY),
        "GUARD_MAX_IN_FLIGHT": str(MAX_IN_FLIGHT),
        "GUARD_CACHE_SECONDS": "0",
        "GUARD_LOG_FORMAT": "json",
    }
    logs = tmp_path_factory.mktemp("replicas")
    with ExitStack() as stack:
        processes = {
            address: stack.enter_context(guard(demo_store, address, port, logs / address, **settings))
            for address in ADDRESSES
        }
        for address in ADDRESSES:
            ready = f"http://{address}:{probe_port}/readyz"
            until(partial(is_ready, ready), f"{address} is ready", 30)
        names = stack.enter_context(resolving("guard", ADDRESSES[:2]))
        told = {
            "PROXY_BIND": f"127.0.0.1:{proxy_port}",
            "GUARD_DNS": names.address,
            "GUARD_PORT": str(port),
            "GUARD_PROBE_PORT": str(probe_port),
        }
        output = stack.enter_context((logs / "proxy").open("wb"))
        proxy = subprocess.Popen(
            [haproxy, "-W", "-db", "-f", str(CONFIGURATION)], env={"PATH": os.environ["PATH"], **told},
            stdout=output, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            cluster = Cluster(proxy_port, port, probe_port, names, processes, logs)
            until(partial(is_ready, f"{cluster.url}/readyz"), "the proxy has found a replica")
            until(lambda: min(cluster.ask(2)[address] for address in ADDRESSES[:2]) > 0, "and the other one")
            yield cluster
        finally:
            proxy.terminate()
            proxy.wait(10)


def test_requests_are_spread_over_the_replicas_that_dns_names(cluster: Cluster) -> None:
    assert_spread(cluster.ask(20), 20, ADDRESSES[:2])


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (["ID"], True),
        ([], False),
        ([""], False),
        (["a b"], False),
        (["x" * 129], False),
        (["one", "ID"], True),
    ],
)
@pytest.mark.parametrize(
    "written", [{}, {"X-Forwarded-For": "6.6.6.6"}, {"X-Forwarded-For": "6.6.6.6, 7.7.7.7"}]
)
def test_both_logs_have_the_id_of_a_request_and_the_guards_the_callers_address(
    cluster: Cluster, given: list[str], kept: bool, written: dict[str, str]
) -> None:
    own = f"order-{os.urandom(4).hex()}"
    headers = [
        *IMAGE.items(),
        *written.items(),
        *(("X-Request-Id", own if one == "ID" else one) for one in given),
    ]
    answer = httpx.post(f"{cluster.url}/classify", content=encode(digits(1)[0]), headers=headers)
    told = answer.headers["X-Request-Id"]
    assert re.fullmatch(own if kept else "[0-9a-f-]{36}", told)

    def line() -> dict[str, object] | None:
        lines = [line for address in ADDRESSES for line in (cluster.logs / address).read_text().splitlines()]
        return next((one for one in map(json.loads, lines) if one.get("request_id") == told), None)

    until(lambda: line() is not None, "the guard has logged the id")
    found = line()
    assert found is not None
    # Whatever the caller wrote, the proxy's own is the last, and the peer is the proxy.
    assert (found["event"], found["peer"], found["forwarded_for"]) == ("classified", "127.0.0.1", "127.0.0.1")
    until(lambda: f"{{{told}}}" in (cluster.logs / "proxy").read_text(), "the proxy has logged the id")


def test_an_answer_of_the_proxy_itself_has_an_id_as_well(cluster: Cluster) -> None:
    answer = httpx.get(f"{cluster.url}/metrics", headers={"X-Request-Id": "mine"})
    assert (answer.status_code, answer.headers["X-Request-Id"]) == (404, "mine")


def test_what_the_guard_says_arrives_as_it_said_it(cluster: Cluster) -> None:
    body = encode(digits(1)[0])
    sent = {**IMAGE, "X-Request-Id": "seen-through"}
    through = httpx.post(f"{cluster.url}/classify?explain=true", content=body, headers=sent)
    direct = httpx.post(
        f"http://{ADDRESSES[0]}:{cluster.port}/classify?explain=true", content=body, headers=sent
    )
    assert through.headers["X-Request-Id"] == "seen-through"
    assert through.headers["Content-Security-Policy"] == direct.headers["Content-Security-Policy"]
    left_out = {"elapsed_ms"}
    assert {k: v for k, v in through.json().items() if k not in left_out} == {
        k: v for k, v in direct.json().items() if k not in left_out
    }


def problem(answer: httpx.Response) -> str:
    """The last part of a problem's type."""
    assert answer.headers["Content-Type"] == "application/problem+json"
    told = answer.json()
    assert told["status"] == answer.status_code
    return str(told["type"]).removeprefix("urn:mutant-guard:problem:")


def test_a_body_that_is_too_large_is_refused_by_the_guard_through_the_proxy(cluster: Cluster) -> None:
    for size in (MAX_BODY + 1, 5_000_000):
        answer = httpx.post(f"{cluster.url}/classify", content=bytes(size), headers=IMAGE)
        assert answer.status_code == 413
        assert problem(answer) == "body-too-large"


def test_a_full_queue_is_429_with_its_retry_after(cluster: Cluster) -> None:
    """A request of more images than there are places cannot but fill the queue."""
    image = base64.b64encode(encode(digits(1)[0])).decode()
    count = MAX_IN_FLIGHT + 1
    images = {"name": "image", "shape": [count], "datatype": "BYTES", "data": [image] * count}
    answer = httpx.post(f"{cluster.url}/v2/models/digits/infer", json={"inputs": [images]})
    assert answer.status_code == 429, answer.text
    assert int(answer.headers["Retry-After"]) >= 1
    assert problem(answer) == "queue-full"


@pytest.mark.parametrize(
    "path",
    ["/metrics", "//metrics", "/%6detrics", "/metrics?x=/classify", "/x", "/v2/../metrics", "/console"],
)
def test_what_is_not_named_is_not_public(cluster: Cluster, path: str) -> None:
    with socket.create_connection(("127.0.0.1", cluster.proxy_port)) as client:  # which changes no path
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"guard_verdicts_total" not in answer
    if "/v2/" not in path:
        assert b"not-public" in answer


def test_every_other_route_of_the_server_is_public(cluster: Cluster) -> None:
    documented = httpx.get(f"{cluster.url}/openapi.json").json()["paths"]
    filled = {re.sub(r"\{.*?\}", "1", path) for path in documented} - {"/metrics"}
    loads = {path for path in filled if path.startswith("/v2/repository/models/")}
    assert {"/classify", "/readyz", "/review/1/image", "/v2/models/1/infer"} <= filled
    assert loads
    for path in sorted(filled | {"/", "/console/classes", "/console/console.css"}):
        answer = httpx.get(f"{cluster.url}{path}")
        assert ("not-public" in answer.text) is False, path
        assert ("not-through-proxy" in answer.text) == (path in loads), path


def test_a_new_version_is_not_loaded_by_whichever_replica_comes_first(cluster: Cluster) -> None:
    for path in ("/v2/repository/models/digits/load", "/v2/repositor%79/models/digits/load"):
        answer = httpx.post(f"{cluster.url}{path}")
        assert answer.status_code == 403
        assert problem(answer) == "not-through-proxy"


def test_the_proxy_speaks_for_itself(cluster: Cluster) -> None:
    assert httpx.get(f"{cluster.url}/livez").text == "ok"
    assert httpx.get(f"{cluster.url}/readyz").text == "ready"


def test_a_replica_that_dns_names_later_is_asked_too(cluster: Cluster) -> None:
    cluster.names.addresses = list(ADDRESSES)
    until(lambda: cluster.ask(3)[ADDRESSES[2]] > 0, "the third replica is asked")
    assert_spread(cluster.ask(30), 30, ADDRESSES)


def test_a_replica_that_hangs_is_left_out_until_it_goes_on(cluster: Cluster) -> None:
    first = cluster.processes[ADDRESSES[0]]
    first.send_signal(signal.SIGSTOP)
    try:
        time.sleep(2 * (0.5 + 2) + 1)  # two checks of two seconds each
        others = {address: cluster.processes[address] for address in ADDRESSES[1:]}
        alive = replace(cluster, processes=others)
        assert_spread(alive.ask(10), 10, ADDRESSES[1:])
    finally:
        first.send_signal(signal.SIGCONT)
    until(lambda: cluster.ask(3)[ADDRESSES[0]] > 0, "the first replica is asked again")


def test_a_replica_leaves_without_a_lost_request(cluster: Cluster) -> None:
    """What compose does when it scales down: SIGTERM, while requests go on. The proxy is told by /readyz alone."""
    leaving = cluster.processes[ADDRESSES[2]]
    leaving.send_signal(signal.SIGTERM)
    body = encode(digits(1)[0])
    asked = 0
    while leaving.poll() is None or asked < 50:
        assert httpx.post(f"{cluster.url}/classify", content=body, headers=IMAGE).status_code == 200
        asked += 1
    assert leaving.returncode == 0
    assert sum(cluster.ask(10).values()) == 10


def test_without_a_replica_the_proxy_says_so(cluster: Cluster) -> None:
    """The last test: nobody is left."""
    for process in cluster.processes.values():
        process.kill()
    until(lambda: status(f"{cluster.url}/readyz") == 503, "the proxy is not ready")
    assert status(f"{cluster.url}/livez") == 200
    refused = httpx.post(f"{cluster.url}/classify", content=b"x", headers=IMAGE)
    assert (refused.status_code, problem(refused)) == (503, "not-ready")
    assert refused.headers["retry-after"] == "2"
