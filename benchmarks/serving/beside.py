"""The server beside that of other sources of this project, such as the commit before a change."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.rounds import Rounds, Spread, in_rounds, ratio
from benchmarks.sections import Section, Table
from benchmarks.serving import over_http
from benchmarks.serving.engine_alone import IN_FLIGHT
from benchmarks.subjects import POLICY, ServedStore
from evaluation.server import ORDER_KEY, Server, free_port, started

_ROUNDS, _SECONDS, _WARM_UP = 9, 3.0, 1.0
_QUICK_ROUNDS, _QUICK_SECONDS, _QUICK_WARM_UP = 2, 0.5, 0.3
_WAYS = (
    ("guarded", IN_FLIGHT, "/classify"),
    ("guard=off", IN_FLIGHT, "/classify?guard=off"),
    ("one client", 1, "/classify"),
)


def measure(subject: ServedStore, root: Path, quick: bool, say: Callable[[str], None]) -> Section:
    """Measure both servers in turn, each with many clients, without its guard, and with one client.

    Args:
        subject: store to serve.
        root: folder of the other sources.
        quick: whether rounds are few and short.
        say: callback that is told what is going on.

    Raises:
        NotServedError: a server failed under load.
    """
    with ExitStack() as stack:
        say(f"{subject.store.name}: starting both servers")
        servers = {"now": stack.enter_context(of_sources(subject, None))}
        servers["beside"] = stack.enter_context(of_sources(subject, root))
        contenders = {
            f"{way}, {name}": over_http.contender(server, subject.bodies, connections, path)
            for way, connections, path in _WAYS
            for name, server in servers.items()
        }
        say(f"{subject.store.name}: measuring them in turn")
        if quick:
            measured = in_rounds(contenders, _QUICK_ROUNDS, _QUICK_SECONDS, warm_up=_QUICK_WARM_UP)
        else:
            measured = in_rounds(contenders, _ROUNDS, _SECONDS, warm_up=_WARM_UP)
    return _section(subject, measured)


@contextmanager
def of_sources(
    subject: ServedStore, root: Path | None, files: int | None = None, **settings: str
) -> Iterator[Server]:
    """Run ``mutant-guard serve`` of these sources, or of others.

    Args:
        subject: store to serve.
        root: folder of other sources; None for these.
        files: most files the server may open; None for the system's own limit.
        settings: further GUARD_ settings by lower-case name.
    """
    fixed = {"order_key": ORDER_KEY, "cache_seconds": "0", "allow_guard_off": "true", "log_format": "json"}
    own = fixed | {"drain_seconds": "0", "grace_seconds": "1"} | settings
    environment = {f"GUARD_{name.upper()}": value for name, value in own.items()}
    if root is not None:
        environment["PYTHONPATH"] = str(root.resolve())
    port = free_port()
    program = str(Path(sys.executable).with_name("mutant-guard"))
    store = str(subject.path.resolve())
    command = [program, "serve", "--store", store, "--policy", POLICY, "--port", str(port)]
    if files is not None:
        command = ["bash", "-c", f'ulimit -n {files}; exec "$@"', "-", *command]
    with started(command, port, environment=environment, cwd=root) as server:
        yield server


def _section(subject: ServedStore, measured: Rounds) -> Section:
    rows, figures = [], []
    for way, connections, _ in _WAYS:
        now, beside = (
            Spread(tuple(m.rate for m in measured[f"{way}, {name}"])) for name in ("now", "beside")
        )
        found = ratio(now, beside)
        rows.append(
            [
                f"{way}, {connections} connections",
                f"{now.median:,.0f}/s",
                f"{beside.median:,.0f}/s",
                f"{found.median:.3f} ({min(found.values):.2f}–{max(found.values):.2f})",
            ]
        )
        name = way.replace("=", "_").replace(" ", "_")
        figures.append(Figure(f"beside_{subject.store.name}_{name}", found.median, "x"))
    title = f"{subject.store.name}: these sources and the others"
    return Section("Beside", [Table(title, ["", "now", "beside", "now ÷ beside"], rows)], figures)
