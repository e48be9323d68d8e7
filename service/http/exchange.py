"""One request and its answer, as metrics, logs and traces are told of them."""

import time
import uuid

import structlog
from fastapi import Request

from service.answer import Answer
from service.errors import RequestError
from service.guard import Guard
from service.http.access import Caller
from service.http.problems import ProblemError, status_of


class Exchange:
    """Who asks, under which ids, and what became of it.

    Attributes:
        request_id: the caller's, or a new one.
        caller: who asks, once that is known.
    """

    def __init__(self, request: Request, name: str) -> None:
        """Args: the request, and what its kind is called."""
        self.request_id = request.headers.get("x-request-id", "")[:128] or uuid.uuid4().hex
        self.caller: Caller | None = None
        self._name = name
        self._started = time.time_ns()
        self._log = structlog.get_logger()

    def answered(self, guard: Guard, answer: Answer, elapsed: float) -> None:
        """Count, log and trace an answer that took ``elapsed`` seconds."""
        guard.metrics.answered(answer, elapsed)
        judgement = answer.judgement
        self._log.info(
            "classified",
            request_id=self.request_id,
            label=judgement.label,
            verdict=judgement.verdict.value if answer.guarded else None,
            undecided_because=judgement.undecided_because and judgement.undecided_because.value,
            mutants=judgement.mutants,
            decided_by=judgement.decided_by,
            cached=answer.cached,
            elapsed_ms=round(elapsed * 1000, 3),
        )

    def refused(self, guard: Guard, error: RequestError | ProblemError) -> None:
        """Count, log and trace a request that got no answer."""
        guard.metrics.requests_rejected.labels(error.code).inc()
        status = error.status if isinstance(error, ProblemError) else status_of(error)
        self._log.info(
            "refused", request_id=self.request_id, reason=error.code, detail=str(error), status=status
        )
