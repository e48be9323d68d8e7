"""Policies of the service in process, with the watch over queries that the server has."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from evaluation.queries.services.in_process import InProcess, remembered
from evaluation.queries.services.judge import StoreJudge
from evaluation.queries.services.response import REFUSAL, Pixels, Query, Response
from mutant_guard.runtime.answer import Answer
from mutant_store.datasets import ImageData

STEPS, FRAMES, SECONDS = 40, 6, 100.0


@pytest.fixture(scope="module")
def judge(demo_store: Path) -> Iterator[StoreJudge]:
    judge = StoreJudge(demo_store)
    yield judge
    judge.close()


@pytest.fixture(scope="module")
def path(right: ImageData) -> Pixels:
    """Return images on the way from one digit to another, each near the one before."""
    source, target = right.images[:2].astype(np.float64)
    shares = np.linspace(0, 1, STEPS)[:, None, None, None]
    return np.asarray(np.rint(source + shares * (target - source)), dtype=np.uint8)


def asked(
    judge: StoreJudge,
    path: Pixels,
    policy: str,
    *,
    guarded: bool = True,
    pause: float = 1,
    scores: bool = True,
) -> Sequence[Response]:
    settings = {
        "query_memory": policy,
        "query_entries": 1000,
        "query_seconds": SECONDS,
        "query_frames": FRAMES,
    }
    service = InProcess(judge, guarded=guarded, scores=scores, settings=settings)
    queries = [Query(f"account-{n}", n * pause) for n in range(len(path))]
    found = service.ask(path, queries)
    service.forget()
    assert not service.ask(path[:1], queries[:1])[0].related
    return found


@pytest.fixture(scope="module")
def observed(judge: StoreJudge, path: Pixels) -> Sequence[Response]:
    return asked(judge, path, "observe")


def first_seen(found: Sequence[Response]) -> int:
    return next(n for n, one in enumerate(found) if one.seen)


def test_observed_campaigns_are_told_and_answered(
    observed: Sequence[Response], judge: StoreJudge, path: Pixels
) -> None:
    first = first_seen(observed)
    assert 2 < first <= FRAMES
    assert all(one.seen and one.probing for one in observed[first:])
    assert [one.related for one in observed] == list(range(STEPS))
    assert (
        [one.label for one in observed] == [one.own_label for one in observed] == judge.labels(path).tolist()
    )
    assert [one.alarm for one in observed] == judge.alarms(path).tolist()
    assert {one.label for one in observed[:first]} != {one.label for one in observed}
    assert not any(one.confidence is None or one.doubt is None for one in observed)


def test_nothing_is_told_where_nothing_is_remembered(judge: StoreJudge, path: Pixels) -> None:
    found = InProcess(judge, guarded=False).ask(path, [Query("one", 0)] * STEPS)
    assert not any(one.seen or one.probing or one.related or one.alarm for one in found)
    assert not any(one.confidence is None for one in found)


def test_bare_labels_tell_nothing_of_the_memory(judge: StoreJudge, path: Pixels) -> None:
    found = asked(judge, path, "observe", guarded=False)
    assert first_seen(found) <= FRAMES
    assert not any(one.probing or one.related for one in found)


def test_scores_are_withheld_from_campaigns(
    observed: Sequence[Response], judge: StoreJudge, path: Pixels
) -> None:
    found, first = asked(judge, path, "no-scores"), first_seen(observed)
    told = [n >= first for n in range(STEPS)]
    assert [one.confidence is None for one in found] == [one.doubt is None for one in found] == told
    assert [one.probing for one in found] == [one.seen for one in found] == told
    assert [one.label for one in found] == [one.label for one in observed]
    assert not any(one.related for one in found)


def test_campaigns_are_refused(observed: Sequence[Response], judge: StoreJudge, path: Pixels) -> None:
    found, first = asked(judge, path, "refuse"), first_seen(observed)
    assert [one == REFUSAL for one in found] == [n >= first for n in range(STEPS)]
    assert not any(one.related for one in found)


def test_campaigns_get_label_and_verdict_of_their_first_query(
    observed: Sequence[Response], judge: StoreJudge, path: Pixels
) -> None:
    found, first = asked(judge, path, "flat"), first_seen(observed)
    assert {(one.label, one.alarm) for one in found[first:]} == {(observed[0].label, observed[0].alarm)}
    assert {(one.confidence, one.doubt, one.probing) for one in found[first:]} == {(None, None, True)}
    assert [one.own_label for one in found] == [one.label for one in observed]


def test_slow_queries_are_forgotten(judge: StoreJudge, path: Pixels) -> None:
    assert not any(one.related or one.seen for one in asked(judge, path, "observe", pause=SECONDS + 1))


def test_callers_who_see_the_verdict_alone_are_told_no_more(
    observed: Sequence[Response], judge: StoreJudge, path: Pixels
) -> None:
    found = asked(judge, path, "observe", scores=False)
    assert [one.seen for one in found] == [one.seen for one in observed]
    assert not any(one.probing or one.related or one.confidence or one.doubt for one in found)


def test_blocks_depend_on_the_fingerprint(judge: StoreJudge) -> None:
    found = remembered(judge.spec)
    assert found == remembered(judge.spec)
    assert found["print"] != remembered(judge.spec.model_copy(update={"width": 9}))["print"]
    assert {"settled", "unsettled", "edited", "radius"} <= set(found)


@pytest.mark.parametrize("policy", ["refuse", "flat"])
def test_nobody_is_judged_whose_answer_the_memory_has(
    observed: Sequence[Response],
    judge: StoreJudge,
    path: Pixels,
    policy: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    judged: dict[bool, int] = {False: 0, True: 0}
    answers = judge.answers

    async def counted(pixels: Pixels, *, guarded: bool) -> list[Answer]:
        judged[guarded] += len(pixels)
        return await answers(pixels, guarded=guarded)

    monkeypatch.setattr(judge, "answers", counted)
    service = InProcess(judge, guarded=True, settings={"query_memory": policy, "query_frames": FRAMES})
    service.ask(path, [Query("one", 0.0)] * STEPS)
    first = first_seen(observed)
    assert first < judged[True] <= 2 * first + 1 < STEPS
    assert judged[False] == (STEPS - first - 1 if policy == "flat" else 0)
