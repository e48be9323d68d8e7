"""Verdicts of the plainly written test, compared with the server's."""

import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from httpx import ASGITransport, AsyncClient

from benchmarks.alternatives.__main__ import create_app
from benchmarks.alternatives.modules import one_module_each
from benchmarks.alternatives.one_by_one import OneByOne
from benchmarks.alternatives.sessions import one_session_each
from benchmarks.serving.same_verdicts import expected
from benchmarks.subjects import ServedStore
from evaluation.png import encode_png
from evaluation.server import ORDER_KEY
from mutant_guard.store.reader import load_store
from service.guard_service import GuardService
from tests.support.demo import build_digits_store
from tests.support.retraining import train_digits_net
from tests.support.service import settings_for

pytestmark = pytest.mark.slow

COUNT = 150


def judged(path: Path, subject: ServedStore, policy: str = "calibrated") -> list[tuple[int, str, int]]:
    """Return what the server's own code answers for the first images."""

    async def judge() -> list[tuple[int, str, int]]:
        guard = GuardService(settings_for(path, order_key=ORDER_KEY, policy=policy))
        guard.start()
        answers = await asyncio.gather(*(guard.judge(image) for image in subject.images[:COUNT]))
        await guard.close()
        found = [answer.judgement for answer in answers]
        return [(one.label, one.verdict.value, one.mutants) for one in found]

    return asyncio.run(judge())


def plainly(subject: ServedStore, policy: str = "calibrated") -> list[tuple[int, str, int]]:
    judge = OneByOne(
        subject.store.policy(policy),
        subject.order,
        subject.store.manifest,
        one_session_each(subject.store, 1),
    )
    found = [judge.test(*request) for request in subject.requests[:COUNT]]
    return [(one.label, one.verdict.value, one.mutants) for one in found]


@pytest.mark.parametrize("policy", ["calibrated", "paper"])
def test_label_changes_are_counted_alike(demo_store: Path, subject: ServedStore, policy: str) -> None:
    found = plainly(subject, policy)
    assert found == judged(demo_store, subject, policy)
    assert len({verdict for _, verdict, _ in found}) >= 2
    entries = expected(subject, policy, COUNT)
    assert found == [tuple(entry.values()) for entry in entries]


def test_doubts_are_added_up_alike(retrained_store: Path) -> None:
    subject = ServedStore.of(retrained_store, Path())
    found = plainly(subject)
    assert found == judged(retrained_store, subject)
    assert len({verdict for _, verdict, _ in found}) >= 2


def test_companions_are_compared_alike(companion_store: Path) -> None:
    subject = ServedStore.of(companion_store, Path())
    found = plainly(subject)
    assert found == judged(companion_store, subject)
    assert len({mutants for _, _, mutants in found}) >= 2


def test_eager_modules_are_the_mutants_of_the_store(tmp_path: Path) -> None:
    file = train_digits_net(tmp_path)
    build_digits_store(file.with_suffix(".onnx"), tmp_path / "store", mutants=5, operator="nai")
    store = load_store(tmp_path / "store")
    spec, rng = store.manifest.input, np.random.default_rng(1)
    inputs = spec.tensor(rng.integers(0, 256, (4, 8, 8, 1), dtype=np.uint8))
    modules, sessions = one_module_each(store, file, 1), one_session_each(store, 1)
    for number in range(6):
        np.testing.assert_allclose(modules(number, inputs), sessions(number, inputs), rtol=1e-3, atol=1e-3)


async def posted(subject: ServedStore, judge: OneByOne) -> tuple[int, dict[str, object]]:
    """Return the status of the probe, and the answer to the first image."""
    transport = ASGITransport(create_app(judge, subject.store.manifest.inputs))
    async with AsyncClient(transport=transport, base_url="http://a") as client:
        answer = await client.post("/classify", content=subject.bodies[0])
        return (await client.get("/readyz")).status_code, answer.json()


def test_the_application_answers_with_the_verdict(subject: ServedStore) -> None:
    judge = OneByOne(
        subject.store.policy("calibrated"),
        subject.order,
        subject.store.manifest,
        one_session_each(subject.store, 1),
    )
    said = judge.judge(subject.images[0])
    expected = {"label": said.label, "verdict": said.verdict.value, "mutants": said.mutants}
    assert asyncio.run(posted(subject, judge)) == (200, expected)


def test_the_application_resizes_what_the_store_resizes(companion_store: Path) -> None:
    store = load_store(companion_store)
    own, *views = [spec.model_copy(update={"resize": "crop:14"}) for spec in store.manifest.inputs]
    manifest = store.manifest.model_copy(update={"input": own, "views": views})
    photograph = np.random.default_rng(0).integers(0, 256, (24, 31, 1), dtype=np.uint8)
    subject = ServedStore(
        companion_store, replace(store, manifest=manifest), photograph[None, :8, :8], [encode_png(photograph)]
    )
    scores = one_session_each(store, 1)
    judge = OneByOne(store.policy("calibrated"), subject.order, manifest, scores)
    said = judge.test(*subject.requests[0])
    expected = {"label": said.label, "verdict": said.verdict.value, "mutants": said.mutants}
    assert asyncio.run(posted(subject, judge)) == (200, expected)
