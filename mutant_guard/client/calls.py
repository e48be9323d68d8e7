"""Routes of a server: the request for each, and the reader of its answer."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from mutant_guard.client.reply import Reply
from mutant_guard.wire.inference import ModelState
from mutant_guard.wire.review import AlarmRates, Decision, ReviewDetails, ReviewEntry, ReviewPage
from mutant_guard.wire.verdict import BareClassification, Classification

TIMEOUT_HEADER = "X-Request-Timeout-Ms"

State = Literal["open", "confirmed", "dismissed", "all"]

_T_co = TypeVar("_T_co", covariant=True)
_M = TypeVar("_M", bound=BaseModel)

_IDENTIFIER = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PAGE = "200"
_MODELS = TypeAdapter(list[ModelState])


@dataclass(frozen=True)
class Call(Generic[_T_co]):
    """Request, with the function that reads its answer."""

    method: Literal["GET", "POST", "DELETE"]
    path: str
    read: Callable[[Reply], _T_co]
    """Reader of a successful answer; raises UnexpectedAnswerError for one that it cannot read."""
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None
    timeout: float | None = None
    """Seconds, where the caller gives a timeout for this call."""
    tells_timeout: bool = False
    """Whether the server is told of the timeout."""


@dataclass(frozen=True)
class Trace:
    """Request id and trace of a request, for the server's log and spans."""

    request_id: str | None = None
    traceparent: str | None = None

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: a value does not fit into a header; HTTP fails on it as on a broken
                connection.
        """
        for name, value in (("request_id", self.request_id), ("traceparent", self.traceparent)):
            if value is not None and not (value.isascii() and value.isprintable() and value == value.strip()):
                raise ValueError(f"{name} is {value!r}; give printable ASCII, with no space at either end")

    def headers(self) -> dict[str, str]:
        """Return the HTTP headers of the trace."""
        return _given(**{"X-Request-Id": self.request_id, "traceparent": self.traceparent})


_NO_TRACE = Trace()


def classify(
    content: bytes, *, store: str | None, explain: bool, timeout: float | None, trace: Trace = _NO_TRACE
) -> Call[Classification]:
    """Make the call for the verdict on an image file."""
    params = _given(store=store, explain="true" if explain else None)
    return _image(content, params, timeout, trace, _model(Classification))


def classify_unguarded(
    content: bytes, *, store: str | None, timeout: float | None, trace: Trace = _NO_TRACE
) -> Call[BareClassification]:
    """Make the call for the label alone of an image file."""
    return _image(content, _given(store=store, guard="off"), timeout, trace, _model(BareClassification))


def probe(path: Literal["/livez", "/readyz"]) -> Call[None]:
    """Make the call that asks whether the server is alive, or takes requests."""
    return Call("GET", path, lambda _: None)


def models() -> Call[list[ModelState]]:
    """Make the call for the stores that are served, the default first."""
    return Call("GET", "/v2/models", _models)


def alarm_rate() -> Call[AlarmRates]:
    """Make the call for the alarms of the last hour."""
    return Call("GET", "/alarm-rate", _model(AlarmRates))


def reviews(state: State, store: str | None, before: str | None) -> Call[ReviewPage]:
    """Make the call for a page of the review queue."""
    params = {"limit": _PAGE, **_given(state=state, store=store, before=before)}
    return Call("GET", "/review", _model(ReviewPage), params)


def review(identifier: str) -> Call[ReviewDetails]:
    """Make the call for an entry of the review queue.

    Raises:
        ValueError: the identifier is not the id of an entry.
    """
    return Call("GET", f"/review/{_checked(identifier)}", _model(ReviewDetails))


def review_image(identifier: str) -> Call[bytes]:
    """Make the call for the image of an entry, a PNG file.

    Raises:
        ValueError: the identifier is not the id of an entry.
    """
    return Call("GET", f"/review/{_checked(identifier)}/image", _file("an image", b"\x89PNG\r\n\x1a\n"))


def decide(identifier: str, decision: Literal["confirm", "dismiss"], label: int | None) -> Call[ReviewEntry]:
    """Make the call that decides about an entry.

    Raises:
        ValueError: the identifier is not the id of an entry, or the decision is not valid.
    """
    body = Decision(decision=decision, label=label).model_dump_json(exclude_none=True).encode()
    headers = {"Content-Type": "application/json"}
    return Call("POST", f"/review/{_checked(identifier)}", _model(ReviewEntry), headers=headers, content=body)


def delete_review(identifier: str) -> Call[None]:
    """Make the call that deletes an entry.

    Raises:
        ValueError: the identifier is not the id of an entry.
    """
    return Call("DELETE", f"/review/{_checked(identifier)}", lambda _: None)


def export_reviews(store: str | None, sampled: bool) -> Call[bytes]:
    """Make the call for the decided entries, as an .npz file."""
    params = _given(store=store, sampled="true" if sampled else None)
    return Call("GET", "/review/export", _file("an .npz archive", b"PK\x03\x04"), params)


def _given(**params: str | None) -> dict[str, str]:
    return {name: value for name, value in params.items() if value is not None}


def _image(
    content: bytes,
    params: Mapping[str, str],
    timeout: float | None,
    trace: Trace,
    read: Callable[[Reply], _T_co],
) -> Call[_T_co]:
    # The server looks at the bytes, and ignores the media type.
    headers = {"Content-Type": "application/octet-stream", **trace.headers()}
    return Call("POST", "/classify", read, params, headers, content, timeout, tells_timeout=True)


def _checked(identifier: str) -> str:
    """Return the identifier if it is valid, so that none changes the path of the request."""
    if not _IDENTIFIER.fullmatch(identifier):
        raise ValueError(f"{identifier!r} is no id of an entry; they look like 1764058800123-0")
    return identifier


def _model(kind: type[_M]) -> Callable[[Reply], _M]:
    def read(reply: Reply) -> _M:
        try:
            return kind.model_validate_json(reply.content)
        except ValidationError as error:
            raise reply.unexpected(f"a {kind.__name__} ({_fault(error)})") from error

    return read


def _models(reply: Reply) -> list[ModelState]:
    try:
        return _MODELS.validate_json(reply.content)
    except ValidationError as error:
        raise reply.unexpected(f"a list of models ({_fault(error)})") from error


def _file(what: str, magic: bytes) -> Callable[[Reply], bytes]:
    def read(reply: Reply) -> bytes:
        if not reply.content.startswith(magic):
            raise reply.unexpected(what)
        return reply.content

    return read


def _fault(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {first['msg']}" if where else first["msg"]
