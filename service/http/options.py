"""Options of a request for a verdict, besides the image."""

from typing import Annotated, Any, Literal

from fastapi import Header, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.http.problems import ProblemError

TIMEOUT_HEADER = "X-Request-Timeout-Ms"
_TIMEOUT = "Milliseconds the answer may take, at most as many as the server allows anyway."

TimeoutHeader = Annotated[
    float | None, Header(alias=TIMEOUT_HEADER, description=_TIMEOUT, gt=0, allow_inf_nan=False)
]
"""Deadline as a parameter of FastAPI, for endpoints that are called less often."""


class Options(BaseModel):
    """Query parameters, and the deadline in milliseconds, which is a header."""

    model_config = ConfigDict(frozen=True)

    explain: bool = Field(default=False, description="Add the path of the test, one entry a mutant.")
    store: str | None = Field(
        default=None,
        max_length=256,
        description="Name of the store that judges; by default the server's first.",
    )
    guard: Literal["on", "off"] = Field(
        default="on",
        description="off: the bare label, no mutant is asked; only where the server's operator allows it.",
    )
    timeout_ms: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description=_TIMEOUT,
    )

    @property
    def seconds(self) -> float | None:
        """Deadline in seconds, None without one."""
        return None if self.timeout_ms is None else self.timeout_ms / 1000


_NONE = Options()
_QUERY = ("explain", "store", "guard")


def read_options(request: Request) -> Options:
    """Read the options of a request.

    FastAPI would read them one by one, which takes as long as all else it does.

    Raises:
        ProblemError: 422, an option does not parse.
    """
    timeout = request.headers.get(TIMEOUT_HEADER)
    if timeout is None and not request.scope["query_string"]:
        return _NONE
    query = request.query_params
    given = {name: query[name] for name in _QUERY if name in query}
    if timeout is not None:
        given["timeout_ms"] = timeout
    try:
        return Options.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        where = f"header {TIMEOUT_HEADER}" if name == "timeout_ms" else f"query {name}"
        raise ProblemError(422, "bad-parameter", f"{where}: {first['msg']}") from error


def parameters() -> list[dict[str, Any]]:
    """Return the options as OpenAPI describes them."""
    found = []
    for name, schema in Options.model_json_schema()["properties"].items():
        described = dict(schema)
        where = (
            {"name": TIMEOUT_HEADER, "in": "header"}
            if name == "timeout_ms"
            else {"name": name, "in": "query"}
        )
        text = described.pop("description")
        for entry in ("title", "default"):
            described.pop(entry, None)
        kinds = [kind for kind in described.get("anyOf", [described]) if kind.get("type") != "null"]
        found.append({**where, "required": False, "description": text, "schema": kinds[0]})
    return found
