"""Recent alarms of each store, minute by minute."""

import time
from collections import Counter
from datetime import UTC, datetime
from math import sqrt
from typing import TYPE_CHECKING

from redis.asyncio import Redis

from mutant_guard.runtime.answer import Answer
from mutant_guard.wire.review import MinuteOfAlarms, StoreAlarms
from service.processes.peers import Peers
from service.redis.link import RedisDownError, RedisLink, RedisRefusedError

if TYPE_CHECKING:
    from mutant_guard.runtime.model import Model

MINUTES = 60
_KEPT_SECONDS = 2 * 60 * MINUTES
_SECONDS = 1.0

_Minute = tuple[str, str, int]
"""Store, version, and the minute since 1970."""


class AlarmHistory:
    """Verdicts of the last hour, without those from the cache.

    They are those of all replicas where Redis answers, else those of this server's processes.
    """

    def __init__(self, link: RedisLink | None, peers: Peers | None = None) -> None:
        """Start with no verdicts.

        Args:
            link: link to Redis, None without a Redis.
            peers: the other processes of the server, None where there are none.
        """
        self._link, self._peers = link, peers
        self._tested: Counter[_Minute] = Counter()
        self._alarms: Counter[_Minute] = Counter()
        self._unsent_tested: Counter[_Minute] = Counter()
        self._unsent_alarms: Counter[_Minute] = Counter()

    def count(self, answer: Answer, *, alarm: bool) -> None:
        """Count a verdict that was made now.

        Args:
            answer: the answer that holds the verdict.
            alarm: whether the verdict is an alarm.
        """
        minute = (answer.model.name, answer.model.version, _now())
        if minute not in self._tested:
            self._forget()
        for tested, alarms in (
            (self._tested, self._alarms),
            (self._unsent_tested, self._unsent_alarms),
        ):
            tested[minute] += 1
            alarms[minute] += alarm

    async def send(self) -> None:
        """Send to Redis what was counted since the last call.

        Raises:
            RedisRefusedError: Redis refuses the counts, which it then goes without.
            RedisDownError: Redis is down; the counts are sent with the next call.
        """
        link = self._link
        if link is None or not self._unsent_tested:
            return
        tested, alarms = self._unsent_tested, self._unsent_alarms
        self._unsent_tested, self._unsent_alarms = Counter(), Counter()
        try:
            named = [(_name(link, minute), count, alarms[minute]) for minute, count in tested.items()]
            await link.call(lambda redis: _add(redis, named), seconds=_SECONDS)
        except RedisRefusedError:  # sent again, what Redis did take of it would count twice
            raise
        except BaseException:  # cancellation too: they are sent with the next call
            self._unsent_tested.update(tested)
            self._unsent_alarms.update(alarms)
            self._forget()
            raise

    async def of(self, model: "Model", *, undecided: bool) -> StoreAlarms:
        """Return the alarms of a model in the last hour.

        Args:
            model: the model.
            undecided: whether an undecided verdict counts as an alarm.

        Raises:
            PeersError: the other processes do not answer.
        """
        last = _now()
        minutes = [(model.name, model.version, minute) for minute in range(last - MINUTES + 1, last + 1)]
        counted = await self._shared(minutes)
        if counted is None:
            counted = self.own(minutes) if self._peers is None else await self._peers.alarms(minutes)
        return _summary(model, minutes, counted, undecided=undecided)

    def own(self, minutes: list[_Minute]) -> list[tuple[int, int]]:
        """Return verdicts and alarms of this process in minutes; may be called from any thread."""
        return [(self._tested[minute], self._alarms[minute]) for minute in minutes]

    async def _shared(self, minutes: list[_Minute]) -> list[tuple[int, int]] | None:
        """Return verdicts and alarms of all replicas in minutes, None where Redis does not tell."""
        if self._link is None:
            return None
        names = [_name(self._link, minute) for minute in minutes]
        try:
            shared = await self._link.call(lambda redis: _read(redis, names), seconds=_SECONDS)
        except RedisDownError:
            return None
        return [
            (tested + self._unsent_tested[minute], alarms + self._unsent_alarms[minute])
            for minute, (tested, alarms) in zip(minutes, shared, strict=True)
        ]

    def _forget(self) -> None:
        now = _now()
        for counter in (self._tested, self._alarms, self._unsent_tested, self._unsent_alarms):
            # A minute to come is one of a clock that has been set back since.
            for minute in [minute for minute in counter if abs(now - minute[2]) >= MINUTES]:
                del counter[minute]


def _now() -> int:
    return int(time.time()) // 60


def _name(link: RedisLink, minute: _Minute) -> str:
    return link.key("alarms", *minute)


async def _add(redis: Redis, counts: list[tuple[str, int, int]]) -> None:
    async with redis.pipeline(transaction=True) as pipe:
        for name, tested, alarms in counts:
            pipe.hincrby(name, "tested", tested)
            pipe.hincrby(name, "alarms", alarms)
            pipe.expire(name, _KEPT_SECONDS)
        await pipe.execute()


async def _read(redis: Redis, names: list[str]) -> list[tuple[int, int]]:
    async with redis.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.hmget(name, ["tested", "alarms"])
        return [(int(tested or 0), int(alarms or 0)) for tested, alarms in await pipe.execute()]


def _summary(
    model: "Model", minutes: list[_Minute], counted: list[tuple[int, int]], *, undecided: bool
) -> StoreAlarms:
    record = model.store.calibration.policies[model.policy.name]
    baseline = record.baseline(undecided=undecided)
    tested, alarms = sum(one for one, _ in counted), sum(one for _, one in counted)
    comparable = model.policy.keeps_baseline(undecided=undecided)
    return StoreAlarms(
        store=model.name,
        version=model.version,
        minutes=MINUTES,
        tested=tested,
        alarms=alarms,
        rate=alarms / tested if tested else None,
        baseline=baseline.rate,
        calibration_images=baseline.trials,
        z=_z(alarms, tested, baseline.rate, baseline.trials) if comparable else None,
        series=[
            MinuteOfAlarms(minute=datetime.fromtimestamp(minute[2] * 60, UTC), tested=one, alarms=other)
            for minute, (one, other) in zip(minutes, counted, strict=True)
        ],
    )


def _z(alarms: int, tested: int, baseline: float, images: int) -> float | None:
    """Return z = (k/n − p) / √(p(1−p)(1/n + 1/m)); 1/m because the baseline is counted on m images.

    No alarm among m images does not mean that there are none, so p(1−p) is never taken as less than
    that of 1 in m + 1, as in the rules of Prometheus (``deploy/prometheus/rules``).
    """
    if not tested:
        return None
    variance = max(baseline * (1 - baseline), images / (images + 1) ** 2)
    return round((alarms / tested - baseline) / sqrt(variance * (1 / tested + 1 / images)), 3)
