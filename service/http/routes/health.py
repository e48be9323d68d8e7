"""Routes of liveness, readiness and metrics."""

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from service.http.current import service_of
from service.http.problems import documented, response
from service.processes.peers import PeersError

router = APIRouter()


@router.head("/livez", include_in_schema=False)
@router.get("/livez", summary="Whether the process is alive", responses=documented(503))
async def livez(request: Request) -> Response:
    """Answer 503 once an inference loop has failed or hangs: only a restart helps then."""
    if service_of(request).failed:
        return response(503, "not-ready", "an inference loop has failed; the process needs a restart")
    return Response('{"status":"alive"}', media_type="application/json")


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", summary="Whether requests are taken", responses=documented(503))
async def readyz(request: Request) -> Response:
    """Answer 503 while the stores load, while draining, after an inference loop failed, and without keys."""
    guard = service_of(request)
    if not guard.ready:
        why = "the inference loop is not running"
        if guard.draining:
            why = "the server is about to stop"
        elif guard.keys.stale:
            why = "the file of API keys cannot be read"
        return response(503, "not-ready", why)
    return Response('{"status":"ready"}', media_type="application/json")


@router.head("/metrics", include_in_schema=False)
@router.get("/metrics", summary="Prometheus metrics", response_class=Response, responses=documented(503))
async def metrics(request: Request) -> Response:
    """Return the metrics of all processes in the Prometheus text exposition format."""
    try:
        text = await service_of(request).exposition()
    except PeersError as error:  # a part of the counts would look as if they had started anew
        return response(503, "not-ready", str(error))
    return Response(text, media_type=CONTENT_TYPE_LATEST)
