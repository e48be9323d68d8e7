"""Memory of queries that replicas share, with a real Redis."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Counter, Gauge
from redis import Redis
from structlog.testing import capture_logs

from benchmarks.serving.redis_server import RedisServer
from service.probing.errors import ProbingError
from service.probing.fingerprint import Fingerprint
from service.probing.memory import QueryMemory, Seen
from service.probing.queries import OwnQueries
from service.probing.sequence import Thresholds
from service.redis.link import RedisLink
from service.redis.queries import SharedQueries, SharedSeen
from tests.support.service import digits, encode, running, settings_for

pytestmark = pytest.mark.anyio

SHAPE = (28, 28, 1)
MADE = Fingerprint(b"a key of these tests, 32 letters", *SHAPE)


def picture(seed: int) -> NDArray[np.uint8]:
    """Return an image of large patches, far from those of other seeds."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 1)).astype(np.uint8)
    return np.kron(coarse[..., 0], np.ones((7, 7), np.uint8))[..., None]


def near(image: NDArray[np.uint8], seed: int = 0) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).integers(-5, 6, image.shape)
    changed: NDArray[np.uint8] = np.clip(image + noise, 0, 255).astype(np.uint8)
    return changed


class Replica:
    """Replica with a link of its own."""

    def __init__(self, url: str, *, entries: int = 64, seconds: float = 60.0) -> None:
        registry = CollectorRegistry()
        self.refused = Counter("refused", "refused", registry=registry)
        up = Gauge("up", "up", registry=registry)
        self.link = RedisLink(url, seconds=1.0, up=up, refused=self.refused)
        self.link.first(lambda redis: redis.ping())
        thresholds = Thresholds()
        own = OwnQueries(QueryMemory(entries, seconds, radius=MADE.radius, thresholds=thresholds))
        self.queries = SharedQueries(
            self.link,
            own,
            name="digits:v1",
            entries=entries,
            seconds=seconds,
            radius=MADE.radius,
            thresholds=thresholds,
        )

    async def ask(
        self, image: NDArray[np.uint8], *, label: int = 3, alarm: bool = False, confidence: float = 0.9
    ) -> Seen:
        made = MADE.of(image)
        digest = hashlib.sha256(image.tobytes()).digest()
        seen = await self.queries.seen(made, digest, "alice", f"r{label}")
        self.queries.answered(seen, label, alarm, confidence)
        return seen


@asynccontextmanager
async def replicas(url: str, count: int = 2, **options: float) -> AsyncIterator[list[Replica]]:
    found = [Replica(url, **options) for _ in range(count)]  # type: ignore[arg-type]
    try:
        yield found
    finally:
        for replica in found:
            assert replica.refused._value.get() == 0
            await replica.link.close()


async def test_replicas_agree_on_relatives_repeats_and_answers(running_redis: RedisServer) -> None:
    image, other = picture(1), picture(2)
    async with replicas(running_redis.url) as (one, two):
        first = await one.ask(image, label=3, confidence=0.9)
        assert isinstance(first, SharedSeen)
        assert (first.repeat, first.sequence.related, first.sequence.number) == (False, 0, first.number)
        again = await two.ask(image)
        assert (again.repeat, again.number, again.sequence.related) == (True, first.number, 0)
        assert (await two.ask(other)).sequence.related == 0
        await one.queries.send()
        second = await two.ask(near(image), label=5, alarm=True, confidence=0.6)
        assert second.sequence.number == first.number
        assert (second.sequence.related, second.sequence.first_label) == (1, 3)
        assert not second.sequence.first_alarm
        assert two.queries.first_request(second) == "r3"
        await two.queries.send()
        third = await one.ask(near(image, 1), label=3, confidence=0.4)
        sequence = third.sequence
        assert (sequence.related, sequence.disagreeing, sequence.alarms) == (2, 1, 1)
        assert sequence.spread == pytest.approx(0.5)
        assert sequence.callers == {"alice": 2}
        assert sequence.first <= sequence.last
        one.queries.told(third)
        fourth = await one.ask(near(image, 2))
        assert fourth.sequence.told == 2
        assert (await two.ask(image)).repeat
        assert one.queries.entries == 5


async def test_a_campaign_over_replicas_is_seen_as_in_one_process(running_redis: RedisServer) -> None:
    image = picture(3)
    variants = [image, *(near(image, seed) for seed in range(20))]
    own = OwnQueries(QueryMemory(64, 60.0, radius=MADE.radius))
    alone, together = [], []
    async with replicas(running_redis.url, 3) as found:
        for number, variant in enumerate(variants):
            made = MADE.of(variant)
            seen = own.seen(made, number.to_bytes(8, "little") * 2, "alice", "r")
            own.answered(seen, number % 2, number % 2 == 1, 0.5)
            alone.append((seen.sequence.related, seen.sequence.probing))
            replica = found[number % 3]
            asked = await replica.queries.seen(made, number.to_bytes(8, "little") * 2, "alice", "r")
            replica.queries.answered(asked, number % 2, number % 2 == 1, 0.5)
            together.append((asked.sequence.related, asked.sequence.probing))
            for each in found:
                await each.queries.send()
    assert together == alone
    assert alone[-1] == (20, True)
    assert [probing for _, probing in alone].index(True) < 10


async def test_a_search_over_replicas_is_seen_as_in_one_process(running_redis: RedisServer) -> None:
    """Halved steps between two images count for all replicas, and need answers that differ."""
    first, other = near(picture(3), 1).astype(np.float64), near(picture(4), 2).astype(np.float64)
    low, high, asked = 0.0, 0.2, []
    for step in range(7):
        middle = (low + high) / 2
        asked.append(np.rint(first + middle * (other - first)).astype(np.uint8))
        low, high = (low, middle) if step % 2 else (middle, high)
    own = OwnQueries(QueryMemory(64, 60.0, radius=MADE.radius))
    alone, together = [], []
    async with replicas(running_redis.url, 2) as found:
        for number, image in enumerate(asked):
            made, digest = MADE.of(image), number.to_bytes(8, "little") * 2
            seen = own.seen(made, digest, "alice", "r")
            own.answered(seen, number % 2, False, 0.5)
            alone.append((seen.sequence.halvings, seen.sequence.sampled, seen.sequence.probing))
            queries = found[number % 2].queries
            shared = await queries.seen(made, digest, "alice", "r")
            queries.answered(shared, number % 2, False, 0.5)
            together.append((shared.sequence.halvings, shared.sequence.sampled, shared.sequence.probing))
            for each in found:
                await each.queries.send()
    assert together == alone
    assert alone[-1][0] >= 2
    assert alone[-1][2]


@pytest.mark.parametrize("side", [28, 112])
async def test_samples_around_an_image_are_seen_over_replicas_as_in_one_process(
    running_redis: RedisServer, side: int
) -> None:
    """Images of 112×112×3 have details that are no sketches."""
    random = np.random.default_rng(0)
    shape = (side, side, 3)
    made = Fingerprint(b"a key of these tests, 32 letters", *shape)
    centre = np.full(shape, 120) + random.integers(-20, 21, shape)
    asked = [centre, *(centre + random.normal(0, 6, shape) for _ in range(8))]
    own = OwnQueries(QueryMemory(64, 60.0, radius=made.radius))
    alone, together = [], []
    async with replicas(running_redis.url, 2) as found:
        for number, image in enumerate(asked):
            print_, digest = made.of(np.rint(image).astype(np.uint8)), number.to_bytes(8, "little") * 2
            seen = own.seen(print_, digest, "alice", "r")
            alone.append((seen.sequence.related, seen.sequence.sampled))
            shared = await found[number % 2].queries.seen(print_, digest, "alice", "r")
            together.append((shared.sequence.related, shared.sequence.sampled))
            for each in found:
                await each.queries.send()
    assert together == alone
    assert alone[-1][0] == 8
    assert alone[-1][1] > 1


async def test_images_with_a_part_replaced_are_counted_as_such(running_redis: RedisServer) -> None:
    image = near(picture(5))
    async with replicas(running_redis.url, 1) as (one,):
        await one.ask(image)
        for number in range(1, 4):
            changed = image.copy()
            changed[7 * number : 7 * number + 6, 2:9] = 255 - changed[7 * number : 7 * number + 6, 2:9]
            seen = await one.ask(changed)
            assert (seen.sequence.related, seen.sequence.edited) == (number, number)
        assert seen.sequence.probing


async def test_the_memory_is_bounded_and_expires(running_redis: RedisServer) -> None:
    async with replicas(running_redis.url, 1, entries=16, seconds=0.5) as (one,):
        image = picture(100)
        await one.ask(image)
        for seed in range(16):
            await one.ask(picture(200 + seed))
        assert not (await one.ask(image)).repeat  # the ring has gone round
        assert (await one.ask(image)).repeat
        with Redis.from_url(running_redis.url) as redis:
            keys = list(redis.scan_iter("guard:{queries}:*"))
            assert keys
            assert all(0 < redis.pttl(key) <= 1000 for key in keys)
            await asyncio.sleep(1.2)
            assert not list(redis.scan_iter("guard:{queries}:*"))
        assert not (await one.ask(image)).repeat


async def test_without_redis_each_process_remembers_its_own(redis_server: RedisServer) -> None:
    redis_server.start()
    image = picture(7)
    async with replicas(redis_server.url, 2) as (one, two):
        assert isinstance(await one.ask(image), SharedSeen)
        redis_server.kill()
        for number in range(30):
            seen = await one.ask(near(image, number))
            assert not isinstance(seen, SharedSeen)
            assert seen.sequence.related == number
        assert one.queries.first_request(seen) == "r3"
        assert (await two.ask(near(image))).sequence.related == 0


async def test_what_another_hand_wrote_fails_no_query(running_redis: RedisServer) -> None:
    image = picture(8)
    async with replicas(running_redis.url, 1) as (one,):
        for number in range(2):
            assert isinstance(await one.ask(near(image, number)), SharedSeen)
        with Redis.from_url(running_redis.url) as redis:
            (sequence,) = redis.scan_iter("guard:{queries}:*:s[0-9]*")
            redis.hset(sequence, mapping={"first": "long ago"})
        with capture_logs() as logs:
            seen = await one.ask(near(image, 2))
        assert not isinstance(seen, SharedSeen)
        assert [line["event"] for line in logs] == ["remembered query contradicts itself"]


async def test_servers_refuse_a_campaign_together_and_report_it_once(
    running_redis: RedisServer, digits_store: Path, quick_looks: None
) -> None:
    changes = {"query_memory": "refuse", "query_entries": 64, "redis_url": running_redis.url}
    settings = settings_for(digits_store, redis_timeout_ms=1000.0, **changes)
    source = digits(80, noise=0.6)[49]  # its variants are given different labels
    noise = np.random.default_rng(1).integers(-6, 7, (40, *source.shape))
    noise[0] = 0
    answers: list[bool] = []
    with capture_logs() as lines:
        async with running(settings) as one, running(settings) as two:
            async with asyncio.timeout(10):
                while not all(g.metrics.registry.get_sample_value("guard_redis_up") for g in (one, two)):
                    await asyncio.sleep(0.01)
            for number, each in enumerate(noise):
                guard, file = (one, two)[number % 2], encode(np.clip(source + each, 0, 255).astype(np.uint8))
                try:
                    await guard.judge(file)
                except ProbingError:
                    answers.append(False)
                else:
                    answers.append(True)
                assert guard.state.queries is not None
                await guard.state.queries.send()
            refused = [g.metrics.registry.get_sample_value("guard_redis_refused_total") for g in (one, two)]
    assert refused == [0, 0]
    begins = answers.index(False)
    assert begins <= Thresholds().unsettled + 1
    assert not any(answers[begins:])
    told = [line["queries"] for line in lines if line["event"] == "campaign"]
    assert told[0] == begins + 1
    assert told[1:] == [1 + (told[0] - 1) * 2**power for power in range(1, len(told))]
    assert len(told) > 1
