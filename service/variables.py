"""Check of the names of environment variables: a misspelt setting must not be ignored."""

import re
from collections.abc import Collection, Mapping
from difflib import get_close_matches

PREFIX = "GUARD_"
"""Prefix of every setting."""

ELSEWHERE = frozenset(
    {
        "GUARD_CPUS",
        "GUARD_DATA_DIR",
        "GUARD_DNS",
        "GUARD_MNIST_PORT",
        "GUARD_NAME",
        "GUARD_PORT",
        "GUARD_REPLICAS",
    }
)
"""Variables that other programs of this repository read: compose, the proxy, and readers of data."""

_CLIENT_PREFIX = "MUTANT_"
# Variables that Kubernetes sets in every pod for a service whose name begins with guard.
_OF_A_SERVICE = re.compile(
    r"GUARD(_\w+)?(_SERVICE_HOST|_SERVICE_PORT(_\w+)?|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
_OF_A_SERVICE_PORT = re.compile(r"(tcp|udp|sctp)://")


def check_names(environment: Mapping[str, str], settings: Collection[str]) -> None:
    """Check that every variable with the prefix of settings, in any letter case, is one.

    Args:
        environment: environment variables.
        settings: names of the settings, without the prefix and in small letters.

    Raises:
        ValueError: a variable is no setting, or one setting is there twice; the message names it
            and the nearest setting.
    """
    known = [name.upper() for name in settings]
    faults: list[str] = []
    seen: dict[str, str] = {}
    for given, value in sorted(environment.items()):
        name = given.upper()
        if name.removeprefix(_CLIENT_PREFIX) != name:
            if name.removeprefix(_CLIENT_PREFIX + PREFIX) in known:
                faults.append(f"{given} is no setting; write {name.removeprefix(_CLIENT_PREFIX)}")
        elif name.startswith(PREFIX) and not _is_of_others(name, value):
            if name.removeprefix(PREFIX) not in known:
                faults.append(f"{given} is no setting; {_remedy(name.removeprefix(PREFIX), known)}")
            elif name in seen:
                faults.append(f"{seen[name]} and {given} are one setting; keep one of them")
            seen[name] = given
    if faults:
        raise ValueError(". ".join(faults))


def _is_of_others(name: str, value: str) -> bool:
    return (
        name in ELSEWHERE
        or _OF_A_SERVICE.fullmatch(name) is not None
        or (name.endswith("_PORT") and _OF_A_SERVICE_PORT.match(value) is not None)
    )


def _remedy(name: str, known: list[str]) -> str:
    near = get_close_matches(name, known, n=1)
    return (
        f"did you mean {PREFIX}{near[0]}?"
        if near
        else "leave it out, or see docs/serving.md for those there are"
    )
