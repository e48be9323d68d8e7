"""Refusals of requests that ask for no verdict, reported to logs and metrics as well."""

from fastapi import Request, Response

from service.http import problems
from service.http.current import service_of
from service.http.problems import REQUEST_ID, ProblemError
from service.telemetry.access_log import log_refusal, sender_of
from service.telemetry.trace_context import request_id, trace_context


async def on_problem(request: Request, error: Exception) -> Response:
    """Log a refusal and answer with ``problems.on_problem``.

    A request that has an id is an exchange, which reports itself. Every other refusal is logged,
    but only callers who may not do what they ask for are counted: an alert on the rest would be one
    on people who look for what is not there.
    """
    if isinstance(error, ProblemError) and REQUEST_ID not in request.scope:
        trace = trace_context(request.headers)
        request.scope[REQUEST_ID] = name = request_id(request.headers, trace)
        if error.code in problems.CALLER_REASONS:
            service_of(request).metrics.requests_rejected.labels(error.code).inc()
        log_refusal(
            trace,
            request_id=name,
            sender=sender_of(request.scope),
            reason=error.code,
            detail=error.detail,
            elapsed=None,
            body_sha256=None,
            status=error.status,
        )
    return await problems.on_problem(request, error)
