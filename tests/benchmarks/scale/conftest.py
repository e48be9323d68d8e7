import pytest

from benchmarks.scale.measured import Measured
from benchmarks.scale.model.engine import RunLimits, RunTimes
from benchmarks.scale.redis_cost import REVIEW, USES, RedisCost
from benchmarks.scale.service_times import ServiceTimes, Work

TIMES = ServiceTimes(
    name="made-up",
    client=Work(1e-4, 1e-5),
    proxy=Work(5e-5, 1e-5),
    http=Work(3e-4, 5e-5),
    decode=0.0,
    hop=2e-5,
    takes_turns=True,
    run=RunTimes(2e-4, 2e-5, 1e-5, 2e-6),
    limits=RunLimits(256, 32, 64, 50),
    paths=[[13] * 13, [13] * 13 + [5] * 30],
)


@pytest.fixture
def measured() -> Measured:
    """Return what was measured of a store that there is not."""
    costs = [RedisCost(use.name, use.before, use.after, 2e-5, 8e-4, 500.0, 1200.0) for use in USES]
    return Measured(
        times=TIMES,
        replica=4e-4,
        proxy=6e-5,
        request_bytes=400.0,
        answer_bytes=1100.0,
        alarms=0.04,
        redis=[cost for cost in costs if cost.name != REVIEW.name]
        + [RedisCost(REVIEW.name, 0, 0, 1e-4, 5e-4, 6000.0, 2000.0)],
    )
