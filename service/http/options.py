"""Options of a request besides its body: query parameters and the deadline."""

from collections import Counter
from collections.abc import Collection
from difflib import get_close_matches
from typing import Annotated, Any, Literal

from fastapi import Header, Request
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.http.problems import ProblemError

TIMEOUT_HEADER = "X-Request-Timeout-Ms"
_TIMEOUT = (
    "Milliseconds the answer may take, within the server's limits. Past them the answer is 504, or undecided where "
    "that counts as an alarm."
)

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
_LONGEST = 64
"""Most characters of a name that are compared and shown."""


def read_options(request: Request) -> Options:
    """Read the options of a request.

    FastAPI would read them one by one, which takes as long as all else it does.

    Raises:
        ProblemError: 400, a query parameter is unknown or repeated; 422, an option does not parse.
    """
    timeout = request.headers.get(TIMEOUT_HEADER)
    if timeout is None and not request.scope["query_string"]:
        return _NONE
    check_query(request, _QUERY)
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


async def known_parameters(request: Request) -> None:
    """Check that a request has no query parameter but those of its route, as a dependency.

    Raises:
        ProblemError: 400, a query parameter is unknown or repeated.
    """
    if request.scope["query_string"]:
        route = request.scope["route"]
        known = route.dependant.query_params if isinstance(route, APIRoute) else []
        check_query(request, [field.alias for field in known])


def check_query(request: Request, known: Collection[str]) -> None:
    """Check that a request has no query parameter but the known ones, and each of them once.

    A misspelt parameter would be ignored, and the request answered as if it were not there.

    Args:
        request: the request.
        known: names of the parameters that it may have.

    Raises:
        ProblemError: 400, a query parameter is unknown or repeated.
    """
    for name, times in Counter(name for name, _ in request.query_params.multi_items()).items():
        if name not in known:
            near = get_close_matches(name[:_LONGEST].lower(), known, n=1)
            takes = ", ".join(sorted(known))
            remedy = f"did you mean '{near[0]}'?" if near else f"this route takes {takes or 'none'}"
            raise ProblemError(
                400, "unknown-parameter", f"query {name[:_LONGEST]}: there is no such parameter; {remedy}"
            )
        if times > 1:
            raise ProblemError(400, "bad-parameter", f"query {name}: it is there {times} times; give it once")


def refuse_options(fields: Collection[str]) -> None:
    """Refuse fields of a form that are meant as options, which are read from the query alone.

    Args:
        fields: names of the fields that hold text.

    Raises:
        ProblemError: 422, a field has the name of an option, or nearly so.
    """
    for name in fields:
        if near := get_close_matches(name[:_LONGEST].lower(), _QUERY, n=1):
            raise ProblemError(
                422,
                "bad-form",
                f"the multipart form has a field '{name[:_LONGEST]}', which is not read; options are query parameters "
                f"(?{near[0]}=…)",
            )


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
