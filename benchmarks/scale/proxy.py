"""The real haproxy with the deployed configuration, in front of replicas on the loopback."""

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from evaluation.server import Server, free_port, started
from mutant_guard.errors import GuardError

CONFIGURATION = Path(__file__).parents[2] / "deploy" / "proxy" / "haproxy.cfg"

_FOUND_BY_NAME = re.compile(r"(?m)^    server-template .*$")
_NOWHERE = "127.0.0.1:1"


class ProxyError(GuardError):
    """Error for a haproxy that is not there, or a configuration that is not as expected."""


@dataclass(frozen=True)
class Deployed:
    """What the deployed configuration says.

    Attributes:
        balance: how a replica is chosen.
        threads: threads of the proxy.
        replicas: most replicas.
    """

    balance: str
    threads: int
    replicas: int

    @classmethod
    def read(cls, path: Path = CONFIGURATION) -> "Deployed":
        """Read a configuration.

        Raises:
            ProxyError: it does not say one of these.
        """
        text = path.read_text(encoding="utf-8")
        return cls(
            _said(text, r"balance (\w+)", path),
            int(_said(text, r"nbthread (\d+)", path)),
            int(_said(text, r"server-template \S+ (\d+)", path)),
        )


def configuration(text: str, replicas: Sequence[tuple[int, int]]) -> str:
    """Return a configuration with named replicas in place of those that DNS names.

    Args:
        text: the deployed configuration.
        replicas: port and probe port of each replica, on the loopback.

    Raises:
        ProxyError: the configuration finds replicas in another way.
    """
    servers = "\n".join(
        f"    server replica-{number} 127.0.0.1:{port} check port {probe_port}"
        for number, (port, probe_port) in enumerate(replicas, 1)
    )
    text, count = _FOUND_BY_NAME.subn(servers, text)
    if count != 1:
        raise ProxyError(f"{CONFIGURATION} has {count} lines 'server-template', and one is expected")
    return text


@contextmanager
def proxy(replicas: Sequence[tuple[int, int]]) -> Iterator[Server]:
    """Run haproxy in front of replicas for the length of a block.

    Args:
        replicas: port and probe port of each replica.

    Raises:
        ProxyError: there is no haproxy.
        ServerError: it did not become ready.
    """
    program = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")  # Debian keeps it there
    if program is None:
        raise ProxyError(
            "haproxy is not installed, and the proxy is measured (Debian: apt-get install haproxy)"
        )
    port = free_port()
    with TemporaryDirectory() as folder:
        path = Path(folder) / "haproxy.cfg"
        path.write_text(configuration(CONFIGURATION.read_text(encoding="utf-8"), replicas), encoding="utf-8")
        variables = {"PROXY_BIND": f"127.0.0.1:{port}", "GUARD_DNS": _NOWHERE}
        with started([program, "-db", "-f", str(path)], port, environment=variables) as server:
            yield server


def _said(text: str, pattern: str, path: Path) -> str:
    found = re.search(rf"(?m)^\s*{pattern}", text)
    if found is None:
        raise ProxyError(f"{path} has no line like '{pattern}'")
    return found[1]
