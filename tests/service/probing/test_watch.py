"""Watch over queries: versions of a store, another order key, answers that are not normal."""

import gc
import weakref
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from mutant_guard.wire.verdict import UndecidedBecause, Verdict
from service.guard_service import GuardService
from service.probing.policy import QueryPolicy
from service.probing.query import Query
from service.telemetry.access_log import Sender
from tests.support.service import digits, encode, running, settings_for, until
from tests.support.versions import add_version, copy_of

pytestmark = pytest.mark.anyio

SOURCE = digits(80, noise=0.6)[49]


def variants(count: int, seed: int = 1) -> list[bytes]:
    noise = np.random.default_rng(seed).integers(-6, 7, (count, *SOURCE.shape))
    return [encode(np.clip(SOURCE + each, 0, 255).astype(np.uint8)) for each in noise]


async def related(guard: GuardService, files: list[bytes]) -> list[int]:
    found = []
    for file in files:
        query = Query()
        await guard.judge(file, query=query)
        found.append(query.related)
    return found


async def test_a_new_version_of_a_store_begins_with_an_empty_memory(
    digits_store: Path, tmp_path: Path
) -> None:
    store = copy_of(digits_store, tmp_path)
    async with running(settings_for(store, query_memory="observe", query_entries=64)) as guard:
        assert await related(guard, variants(3)) == [0, 1, 2]
        before = weakref.ref(next(iter(guard.models)))
        add_version(store)
        await guard.load("digits")
        assert await related(guard, variants(2, seed=2)) == [0, 1]
        assert guard.metrics.registry.get_sample_value("guard_query_entries", {"store": "digits"}) == 2
        await until(lambda: not guard.models._closing)
        gc.collect()
        assert before() is None  # nor does the memory of a version outlive it


async def test_the_memory_goes_on_under_the_order_key_of_other_replicas(digits_store: Path) -> None:
    async with running(settings_for(digits_store, query_memory="observe", query_entries=64)) as guard:
        assert await related(guard, variants(3)) == [0, 1, 2]
        guard.state.key.value = b"the key of the other replicas..."
        assert await related(guard, variants(3, seed=2)) == [0, 1, 2]
        assert guard.metrics.registry.get_sample_value("guard_query_entries", {"store": "digits"}) == 6


async def test_a_first_answer_that_is_undecided_is_flattened_to_an_alarm(digits_store: Path) -> None:
    limits = {"max_mutants": 1, "query_memory": "flat", "query_entries": 64, "query_frames": 5}
    async with running(settings_for(digits_store, **limits)) as guard:
        answers = [await guard.judge(file) for file in variants(12)]
    assert answers[0].undecided_because == UndecidedBecause.MAX_MUTANTS
    assert not answers[0].adversarial
    for answer in answers[5:]:
        assert (answer.label, answer.verdict, answer.adversarial) == (
            answers[0].label,
            Verdict.ADVERSARIAL,
            True,
        )
        assert answer.cached  # as far as metrics and the alarm rate are concerned


async def test_who_asks_is_named_by_key_else_by_address(digits_store: Path) -> None:
    senders = [
        Sender("shop", "10.0.0.1", "1.2.3.4"),
        Sender(None, "10.0.0.1", "1.2.3.4"),
        Sender(None, "10.0.0.1", None),
    ]
    named = [Query(sender=sender).caller for sender in senders]
    assert named == ["shop", "1.2.3.4", "10.0.0.1"]
    assert Query().caller == "unknown"
    changes = {"query_memory": "observe", "query_entries": 64, "query_frames": 4}
    with capture_logs() as lines:
        async with running(settings_for(digits_store, **changes)) as guard:
            for number, file in enumerate(variants(8)):
                sender = senders[number % 3]
                await guard.judge(file, query=Query(QueryPolicy.OBSERVE, f"r{number}", sender))
    told = [line for line in lines if line["event"] == "campaign"]
    assert [line["queries"] for line in told] == [5]
    assert told[0]["callers"] == {"1.2.3.4": 2, "10.0.0.1": 1, "shop": 1}
    assert (told[0]["first_request_id"], told[0]["request_id"]) == ("r0", "r4")
    assert (told[0]["key"], told[0]["forwarded_for"]) == (None, "1.2.3.4")
