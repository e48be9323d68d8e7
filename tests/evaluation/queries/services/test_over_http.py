"""Campaigns against the real server end as those in process do."""

from dataclasses import asdict
from pathlib import Path

import pytest

from evaluation.queries.campaign import campaign
from evaluation.queries.oracle import Limit, Rules
from evaluation.queries.services.in_process import InProcess
from evaluation.queries.services.judge import StoreJudge
from evaluation.queries.services.over_http import OverHttp
from evaluation.queries.settings import Square
from mutant_store.datasets import ImageData

pytestmark = pytest.mark.slow


def test_the_server_answers_as_the_guard_in_process(demo_store: Path, right: ImageData) -> None:
    attack = Square(name="square", method="square", steps=60)
    source, start = right.images[:2]
    judge = StoreJudge(demo_store)
    settings = {"query_memory": "refuse", "query_frames": 4}
    try:
        with OverHttp(demo_store, judge, guarded=True, settings=settings) as server:
            here, there = (
                campaign(
                    service,
                    attack,
                    source,
                    start,
                    int(right.labels[0]),
                    10,
                    Limit("linf", 0.06),
                    Rules(60, 5),
                    1,
                )
                for service in (InProcess(judge, guarded=True, settings=settings), server)
            )
    finally:
        judge.close()
    assert here[0].seen > 0
    assert here[0].refusals > 0
    assert str((asdict(here[0]), here[1])) == str((asdict(there[0]), there[1]))
