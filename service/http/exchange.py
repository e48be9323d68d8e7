"""Request and answer as they are reported to metrics, logs and traces."""

import time

from fastapi import Request

from mutant_guard.errors import RequestError
from mutant_guard.runtime.answer import Answer
from service.guard_service import GuardService
from service.http.access import Caller
from service.http.problems import REQUEST_ID, ProblemError, status_of
from service.probing.query import Query
from service.telemetry.access_log import Sender, log_answer, log_refusal, sender_of
from service.telemetry.spans import RequestSpan, Stage, stages_until
from service.telemetry.trace_context import request_id, trace_context

_FAILURES = 500
"""Least HTTP status that is the server's fault."""


class Exchange:
    """Request with its ids, its caller and its outcome.

    Attributes:
        request_id: id of the request; the caller's, or the trace id.
        caller: sender of the request, None until known.
    """

    def __init__(self, request: Request, name: str) -> None:
        """Start the exchange when its request arrives.

        Args:
            request: the request.
            name: method and route, as the span is named.
        """
        self._started = time.perf_counter()
        self._trace = trace_context(request.headers)
        self.request_id = request_id(request.headers, self._trace)
        self.caller: Caller | None = None
        self._name = name
        self._scope = request.scope
        self._sender: Sender | None = None
        self._scope[REQUEST_ID] = self.request_id  # read by the response to a refusal

    @property
    def elapsed(self) -> float:
        """Seconds since the request arrived."""
        return time.perf_counter() - self._started

    def query(self, guard: GuardService) -> Query | None:
        """Return a record of a query for an image of the request, None where none is remembered."""
        watch = guard.state.queries
        if watch is None:
            return None
        self._sender = self._sender or sender_of(self._scope)
        return Query(watch.policy, self.request_id, self._sender)

    def answered(self, guard: GuardService, *answers: tuple[Answer, Query | None]) -> float:
        """Count, log and trace the answers to a request.

        Args:
            guard: guard that answered.
            answers: answers to the images of the request, at least one, each with what is known of
                the query.

        Returns:
            Seconds from the request's arrival to its answer.
        """
        elapsed = self.elapsed
        guard.metrics.request_duration.observe(elapsed)
        sender = self._sender or sender_of(self._scope)
        for answer, query in answers:
            guard.answered(answer, self.request_id, query)
            log_answer(
                answer,
                self._trace,
                request_id=self.request_id,
                sender=sender,
                elapsed=elapsed,
                related=None if query is None else query.related,
                probing=None if query is None else query.probing,
            )
        if guard.settings.tracing:
            given = tuple(answer for answer, _ in answers)
            self._record(guard, elapsed, 200, _attributes(given), _stages(given))
        return elapsed

    def refused(self, guard: GuardService, error: RequestError | ProblemError) -> None:
        """Count, log and trace a request that got no answer."""
        elapsed = self.elapsed
        status = error.status if isinstance(error, ProblemError) else status_of(error)
        guard.metrics.requests_rejected.labels(error.code).inc()
        log_refusal(
            self._trace,
            request_id=self.request_id,
            sender=sender_of(self._scope),
            reason=error.code,
            detail=str(error),
            elapsed=elapsed,
            body_sha256=error.body_sha256 if isinstance(error, RequestError) else None,
            status=status,
        )
        if guard.settings.tracing:
            self._record(guard, elapsed, status, {"error.type": error.code}, ())

    def _record(
        self,
        guard: GuardService,
        elapsed: float,
        status: int,
        attributes: dict[str, str | int],
        stages: tuple[Stage, ...],
    ) -> None:
        ended = time.time_ns()
        guard.tracing.record(
            RequestSpan(
                name=self._name,
                context=self._trace,
                started_ns=ended - round(elapsed * 1e9),
                ended_ns=ended,
                stages=stages,
                attributes={
                    "http.response.status_code": status,
                    "guard.request_id": self.request_id,
                    **attributes,
                },
                error=str(attributes["error.type"]) if status >= _FAILURES else None,
            )
        )


def id_of(request: Request) -> str:
    """Return the id of a request that is no exchange, for its line in the log."""
    return request_id(request.headers, trace_context(request.headers))


def _attributes(answers: tuple[Answer, ...]) -> dict[str, str | int]:
    """Return a span's facts: the verdict of a single answer, else the number of answers."""
    first = answers[0]
    found: dict[str, str | int] = {
        "guard.store": first.model.name,
        "guard.mutants": sum(answer.judgement.mutants for answer in answers),
    }
    if len(answers) > 1:
        found["guard.images"] = len(answers)
    elif first.guarded:
        found["guard.verdict"] = first.judgement.verdict.value
    return found


def _stages(answers: tuple[Answer, ...]) -> tuple[Stage, ...]:
    """Return the stages of a single answer, none for several, whose stages overlap."""
    return stages_until(time.time_ns(), answers[0].timings) if len(answers) == 1 else ()
