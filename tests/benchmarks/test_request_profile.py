"""Shares of a request's stages, from sampled stacks."""

import pytest

from benchmarks.request_profile import STAGES, shares

LOOP = "MainThread;Runner.run (asyncio/runners.py:118)"


def test_a_sample_belongs_to_the_innermost_stage_that_is_known() -> None:
    stacks = [
        f"{LOOP};classify (a.py:1);Guard._aclassify (b.py:2);prepare (c.py:3);decode_whole (d.py:4);open (PIL.py:5) 6",
        f"{LOOP};classify (a.py:1);Guard._aclassify (b.py:2);prepare (c.py:3) 3",
        f"{LOOP};Scheduler._turn (e.py:1);Batches.run (f.py:2);Session.run (g.py:3) 1",
    ]
    assert shares(stacks) == {"decode": 0.6, "digest and order": 0.3, "onnxruntime": 0.1}


def test_threads_that_wait_are_left_out() -> None:
    assert shares([f"{LOOP} 2", "decode_0;_worker (thread.py:81) 50"]) == {"event loop": 1.0}


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_has_functions_of_its_own(stage: str) -> None:
    others = [name for other, names in STAGES.items() if other != stage for name in names]
    assert not set(STAGES[stage]) & set(others)
