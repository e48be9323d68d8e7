"""Check that a node of a cluster has the software of the machine that gives it work."""

import socket
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

from mutant_guard.errors import GuardError
from mutant_store.versions import built_with


def software() -> dict[str, str]:
    """Return name → version of all that results depend on.

    What follows a plus sign is left out: torch names the kind of device there that it was built for.
    """
    found = built_with()
    with suppress(PackageNotFoundError):  # operators that train nothing do without it
        found["torch"] = version("torch")
    return {name: text.partition("+")[0] for name, text in found.items()}


def check_software(expected: dict[str, str]) -> None:
    """Check that this machine has the software that ``software`` found on another.

    Raises:
        GuardError: a version differs; the message names this machine and what differs.
    """
    own = software()
    differing = [
        f"{name} {own.get(name, 'missing')}, not {expected.get(name, 'missing')}"
        for name in sorted(expected.keys() | own.keys())
        if own.get(name) != expected.get(name)
    ]
    if differing:
        raise GuardError(
            f"node {socket.gethostname()} of the cluster has {'; '.join(differing)}: install the same mutant-guard and "
            "packages on every node"
        )
