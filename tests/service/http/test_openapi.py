"""The OpenAPI document describes the answers to right and wrong requests made from it.

``make fuzz-api`` sends many more to a real server.
"""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
import structlog

from benchmarks.fuzz.conformance import Conformance, check, configured
from mutant_guard.store.reader import load_store
from service.guard_service import GuardService
from service.http.app import create_app
from service.keys.api_keys import Role
from tests.support.api_keys import add_key
from tests.support.service import settings_for

pytestmark = pytest.mark.slow

LOAD = "POST /v2/repository/models/{name}/load"
# Operations on review entries, which find none, as none wait.
REVIEW = {
    "DELETE /review/{identifier}",
    "GET /review/export",
    "GET /review/{identifier}",
    "GET /review/{identifier}/image",
    "POST /review/{identifier}",
}


@pytest.fixture(autouse=True)
def _silent() -> Iterator[None]:
    structlog.configure(processors=[], logger_factory=structlog.ReturnLoggerFactory())
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


def conformance(
    store: Path,
    examples: int,
    *,
    key: str | None = None,
    keys: Path | None = None,
    names: dict[str, str] | None = None,
    phases: tuple[str, ...] = ("fuzzing",),
) -> Conformance:
    app = create_app(GuardService(settings_for(store, api_keys_file=keys, allowed_hosts=("*",))))
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    config = configured(examples, headers=headers, names=names, phases=phases)
    return check(schemathesis.openapi.from_asgi("/openapi.json", app, config=config))


def succeeded(found: Conformance) -> set[str]:
    """Return the operations that were answered 200 at least once."""
    return {name.removesuffix(" 200") for name in found.statuses if name.endswith(" 200")}


def test_every_answer_is_one_of_the_document(digits_store: Path) -> None:
    found = conformance(digits_store, 15, phases=("examples", "coverage", "fuzzing"))
    assert found.faults == {}
    assert found.server_errors == 0
    assert found.statuses.total() > 500
    assert len({name.rsplit(" ", 1)[0] for name in found.statuses}) == 23
    assert succeeded(found) >= {"POST /classify", "GET /v2", "GET /livez", "GET /metrics"}


def test_every_answer_about_a_model_is_one_of_the_document(digits_store: Path) -> None:
    names = {"name": digits_store.name, "version": load_store(digits_store).version}
    found = conformance(digits_store, 15, names=names, phases=("examples", "fuzzing"))
    assert found.faults == {}
    assert found.server_errors == 0
    everything = {name.rsplit(" ", 1)[0] for name in found.statuses}
    assert succeeded(found) == everything - {LOAD} - REVIEW


@pytest.mark.parametrize("role", [None, Role.CLIENT, Role.REVIEWER, Role.ADMIN])
def test_every_answer_is_one_of_the_document_where_keys_are_asked_for(
    role: Role | None, digits_store: Path, tmp_path: Path
) -> None:
    keys = tmp_path / "keys.json"
    secrets = {one: add_key(keys, one.value, role=one) for one in Role}
    key = None if role is None else secrets[role]
    found = conformance(digits_store, 6, key=key, keys=keys)
    assert found.faults == {}
    assert found.server_errors == 0
    open_to_all = {"GET /livez", "GET /readyz", "GET /metrics", "GET /v2/health/live", "GET /v2/health/ready"}
    assert succeeded(found) >= open_to_all
    assert ("GET /v2/models" in succeeded(found)) == (role is not None)
    assert (found.statuses[f"{LOAD} 403"] > 0) == (role in {Role.CLIENT, Role.REVIEWER})
    assert ("GET /review" in succeeded(found)) == (role in {Role.REVIEWER, Role.ADMIN})
    of_classify = {name for name in found.statuses if name.startswith("POST /classify")}
    assert (of_classify == {"POST /classify 403"}) == (role == Role.ADMIN)
