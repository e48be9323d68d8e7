"""Answer over HTTP, and the error that it stands for."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus

from mutant_guard.client.errors import RefusedError, UnexpectedAnswerError, kind_of
from mutant_guard.client.retries import retry_after

_PROBLEM = "application/problem+json"
_CODE = "urn:mutant-guard:problem:"
_TITLE = re.compile(rb"<title[^>]*>([^<]{1,200})</title>", re.IGNORECASE)
_MOST_TEXT = 300


@dataclass(frozen=True)
class Reply:
    """Complete answer of a server."""

    status: int
    headers: Mapping[str, str]
    """Headers by name, in any case."""
    content: bytes

    @property
    def media_type(self) -> str:
        """Media type in lower case, without parameters; empty where the answer gives none."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def retry_after(self) -> float | None:
        """Seconds that Retry-After asks to wait; None without a valid header."""
        return retry_after(self.headers.get("retry-after"), datetime.now(UTC))

    def refusal(self, attempts: int) -> RefusedError:
        """Make the error for this answer, after this many attempts."""
        problem = self._problem()
        code, detail = (None, self._foreign()) if problem is None else problem
        return kind_of(self.status)(
            status=self.status,
            code=code,
            detail=detail,
            request_id=self.headers.get("x-request-id"),
            retry_after=self.retry_after,
            attempts=attempts,
        )

    def unexpected(self, what: str) -> UnexpectedAnswerError:
        """Make the error for this answer where ``what`` was expected."""
        return UnexpectedAnswerError(
            f"the answer is not {what}: {self.status} {self._said()}; is this the URL of a mutant-guard server?"
        )

    def _problem(self) -> tuple[str | None, str] | None:
        """Return code and detail of problem+json, or None for any other answer."""
        if self.media_type != _PROBLEM:
            return None
        try:
            body = json.loads(self.content)
        except (ValueError, RecursionError):
            return None
        if not isinstance(body, dict):
            return None
        kind, detail = body.get("type"), body.get("detail") or body.get("title")
        code = kind.removeprefix(_CODE) if isinstance(kind, str) and kind.startswith(_CODE) else None
        return code, detail if isinstance(detail, str) else _phrase(self.status)

    def _foreign(self) -> str:
        return (
            f"{_phrase(self.status)}; the answer is not mutant-guard's own but that of a proxy or another server: "
            f"{self._said()}"
        )

    def _said(self) -> str:
        """Describe the body in brief."""
        if where := self.headers.get("location"):
            return f"it leads to {_brief(where)}, which is not followed with an API key"
        if not self.content:
            return "an empty body"
        title = _TITLE.search(self.content[:10_000]) if "html" in self.media_type else None
        text = (title.group(1) if title else self.content[: 4 * _MOST_TEXT]).decode("utf-8", "replace")
        return f"{self.media_type or 'untyped'} {_brief(text)}"


def _brief(text: str) -> str:
    """Return the text as one quoted line without control characters, cut to its limit."""
    line = "".join(letter if letter.isprintable() else " " for letter in text)
    line = " ".join(line.split())
    return repr(line if len(line) <= _MOST_TEXT else f"{line[:_MOST_TEXT]}…")


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"status {status}"
