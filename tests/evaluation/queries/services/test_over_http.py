"""Campaigns against the real server end as those in process do."""

from dataclasses import asdict
from functools import partial
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


def test_the_server_answers_as_the_guard_in_process(
    guarded: bool, demo_store: Path, right: ImageData
) -> None:
    attack = Square(name="square", method="square", steps=60)
    source, start = right.images[:2]
    judge = StoreJudge(demo_store)
    try:
        with OverHttp(demo_store, guarded=True, settings={}) as server:
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
                for service in (InProcess(partial(judge.judge, guarded=True)), server)
            )
    finally:
        judge.close()
    assert here[0].queries > 20
    assert str((asdict(here[0]), here[1])) == str((asdict(there[0]), there[1]))
