"""Answers that break the OpenAPI document: each kind is found."""

import logging
from collections.abc import Iterator

import pytest
import schemathesis
from fastapi import FastAPI
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel

from benchmarks.fuzz.conformance import Conformance, check, configured


class Answer(BaseModel):
    number: int


def application() -> FastAPI:
    """Return an application in which every operation but the first breaks its document."""
    app = FastAPI()

    @app.get("/right/{name}")
    async def right(name: str) -> Answer:
        return Answer(number=len(name))

    @app.get("/status/{name}")
    async def status(name: str) -> Answer:
        return JSONResponse({"number": 1}, 418)  # type: ignore[return-value]

    @app.get("/error/{name}", responses={500: {}})
    async def error(name: str) -> Answer:
        return JSONResponse({}, 500)  # type: ignore[return-value]

    @app.get("/kind/{name}")
    async def kind(name: str) -> Answer:
        return PlainTextResponse("1")  # type: ignore[return-value]

    @app.get("/body/{name}")
    async def body(name: str) -> Answer:
        return JSONResponse({"number": "one"})  # type: ignore[return-value]

    return app


@pytest.fixture
def _silent() -> Iterator[None]:
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.usefixtures("_silent")
def test_every_kind_of_fault_is_found_and_right_answers_are_none() -> None:
    config = configured(5, names={"name": "abc"}, phases=("fuzzing",))
    found = check(schemathesis.openapi.from_asgi("/openapi.json", application(), config=config))
    faulty = {fault.split("/{name}")[0] for fault in found.faults}
    assert faulty == {"GET /status", "GET /error", "GET /kind", "GET /body"}
    assert all("abc" in sample for sample in found.faults.values())
    assert found.server_errors == found.statuses["GET /error/{name} 500"] > 0
    assert found.statuses["GET /right/{name} 200"] > 0


def test_together_they_are_the_sum() -> None:
    one, other = (
        Conformance(server_errors=1, faults={"a": "x"}),
        Conformance(server_errors=2, faults={"b": "y"}),
    )
    one.statuses["GET / 200"] = other.statuses["GET / 200"] = 3
    both = one + other
    assert (both.statuses["GET / 200"], both.server_errors, both.faults) == (6, 3, {"a": "x", "b": "y"})
