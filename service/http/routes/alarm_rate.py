"""Route of the recent alarm rate, beside the rate on clean images."""

from fastapi import APIRouter, Request

from mutant_guard.wire.review import AlarmRates
from service.http.access import may_review
from service.http.current import service_of
from service.http.problems import ProblemError, documented
from service.processes.peers import PeersError

router = APIRouter()


@router.get("/alarm-rate", summary="Alarms of the last hour", responses=documented(401, 403, 429, 503))
async def alarm_rate(request: Request) -> AlarmRates:
    """Return the alarms of every store in the last hour, minute by minute.

    They are counted over all replicas that share a Redis, else over the server's processes. Answers
    from the cache are left out. They tell what all callers send together: where there are keys,
    this takes a reviewer's or an admin's.
    """
    await may_review(request)
    guard = service_of(request)
    undecided = guard.settings.alarm_on_undecided
    try:
        stores = [await guard.state.alarms.of(model, undecided=undecided) for model in guard.models]
    except PeersError as error:
        raise ProblemError(503, "not-ready", str(error)) from error
    return AlarmRates(stores=stores)
