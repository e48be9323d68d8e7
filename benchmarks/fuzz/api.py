"""Every operation of a real server's OpenAPI document, asked many times.

The callers are anybody, a client and an admin.
"""

import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from functools import reduce
from pathlib import Path

import schemathesis

from benchmarks.figures import Figure
from benchmarks.fuzz.conformance import Conformance, check, configured
from evaluation.server import serving
from mutant_guard.store.reader import load_store
from service.keys import key_file
from service.keys.api_keys import ApiKey, Role, make_key

_POLICY = "calibrated"


def ask(store: Path, examples: int, say: Callable[[str], None]) -> Conformance:
    """Ask a server of a store without keys and with them, with drawn names and with existing ones.

    Args:
        store: directory of the store.
        examples: most drawn requests of an operation.
        say: callback that is told what is going on.
    """
    names: list[dict[str, str]] = [{}, {"name": store.name, "version": load_store(store).version}]
    found = []
    with serving(store, policy=_POLICY) as server:
        for known in names:
            say(f"anybody may ask, names {known or 'drawn'}")
            found.append(_asked(server.url, examples, None, known))
    with tempfile.TemporaryDirectory() as folder:
        keys = Path(folder) / "keys.json"
        secrets = {role: _key(keys, role) for role in Role}
        with serving(store, policy=_POLICY, api_keys_file=str(keys)) as server:
            for who, secret in [("none", None), *secrets.items()]:
                say(f"keys are asked for, key {who}")
                found.append(_asked(server.url, examples, secret, names[-1]))
    return reduce(Conformance.__add__, found)


def figures(found: Conformance) -> list[Figure]:
    """Return the figures that are held to a target, and the number of requests."""
    return [
        Figure("api_requests", found.statuses.total(), ""),
        Figure("api_5xx", found.server_errors, "", 0, at_most=True),
        Figure("api_faults", len(found.faults), "", 0, at_most=True),
    ]


def _asked(url: str, examples: int, secret: str | None, names: dict[str, str]) -> Conformance:
    headers = {} if secret is None else {"X-API-Key": secret}
    config = configured(examples, headers=headers, names=names)
    return check(schemathesis.openapi.from_url(f"{url}/openapi.json", config=config))


def _key(path: Path, role: Role) -> str:
    secret, digest = make_key()
    key_file.add(path, ApiKey(name=role.value, sha256=digest, role=role, created=datetime.now(UTC)))
    return secret
