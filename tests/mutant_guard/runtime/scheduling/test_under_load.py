"""Answers under load: a thousand images get the same ones alone and at 64 at once.

Verdict and mutant count are compared. Runs are as large as measured, on all cores, as the server
runs by default.
"""

import asyncio
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mutant_guard.runtime.judgement import Judgement
from mutant_guard.wire.verdict import Verdict
from service.guard_service import GuardService
from tests.support.service import digits, running, settings_for

pytestmark = pytest.mark.anyio

AT_ONCE = 64
SHIPPED = {"batch_rows": None, "max_batch_rows": None, "threads": 0}


def thousand() -> NDArray[np.uint8]:
    """Return images uint8 [1000, 8, 8, 1]: clean, noisy, and barely readable; no two alike."""
    levels = [digits(250, noise=noise) for noise in (0.0, 0.2, 0.4, 0.6)]
    return np.concatenate(levels)[..., None]


async def alone(guard: GuardService, images: NDArray[np.uint8]) -> list[Judgement]:
    return [(await guard.judge(image)).judgement for image in images]


async def together(guard: GuardService, images: NDArray[np.uint8]) -> list[Judgement]:
    """Judge the images for 64 clients, each of which sends its next one right after an answer."""
    left = iter(enumerate(images))
    found: dict[int, Judgement] = {}

    async def ask(queue: Iterable[tuple[int, NDArray[np.uint8]]]) -> None:
        for number, image in queue:
            found[number] = (await guard.judge(image)).judgement

    await asyncio.gather(*(ask(left) for _ in range(AT_ONCE)))
    return [found[number] for number in range(len(images))]


def runs(guard: GuardService) -> float:
    return guard.metrics.registry.get_sample_value("guard_batch_rows_count") or 0


@pytest.mark.slow
@pytest.mark.parametrize("inline_ms", [0.0, 1000.0], ids=["threads", "turns"])
@pytest.mark.parametrize("name", ["digits_store", "retrained_store", "mixed_store"])
async def test_a_thousand_images_get_the_answers_they_get_alone(
    name: str, inline_ms: float, request: pytest.FixtureRequest
) -> None:
    store: Path = request.getfixturevalue(name)
    images = thousand()
    async with running(settings_for(store, inline_ms=inline_ms, **SHIPPED)) as guard:
        assert guard.models.default.takes_turns is (inline_ms > 0)
        expected = await alone(guard, images)
        before = runs(guard)
        found = await together(guard, images)
        shared = runs(guard) - before
    assert [(one.label, one.verdict, one.mutants) for one in found] == [
        (one.label, one.verdict, one.mutants) for one in expected
    ]
    assert [(one.labels, one.undecided_because) for one in found] == [
        (one.labels, one.undecided_because) for one in expected
    ]
    # The comparison would say little otherwise.
    assert shared < before / 2
    assert len({one.mutants for one in expected}) > 1
    assert {Verdict.NORMAL, Verdict.ADVERSARIAL} <= {one.verdict for one in expected}
    assert guard.models.default.scheduler.in_flight == 0
