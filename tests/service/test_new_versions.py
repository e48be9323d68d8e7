"""New versions that replace old ones while requests go on."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import anyio
import numpy as np
import pytest
from structlog.testing import capture_logs

from mutant_guard.bank.bank_session import BankSession
from mutant_guard.errors import NotReadyError, RunFailedError, StoreError
from mutant_guard.runtime.engine import load_engine
from mutant_guard.runtime.model import Model
from mutant_store.publishing.housekeeping import use_version
from service.guard_service import GuardService
from tests.support.service import HeldSession, digits, encode, running, said, settings_for, until
from tests.support.versions import add_version, copy_of, damage

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

BODY, OTHER, THIRD = (encode(image) for image in digits(3))


@pytest.fixture
def changing_store(digits_store: Path, tmp_path: Path) -> Path:
    """Return a store that tests add versions to."""
    return copy_of(digits_store, tmp_path)


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> list[BankSession]:
    """Return a list of sessions for the next guards to run on, in this order.

    Guards run on banks of their own once the list is used up.
    """
    queued: list[BankSession] = []
    monkeypatch.setattr("mutant_guard.guard.probe", lambda model: None)  # the test alone lets runs go
    monkeypatch.setattr(
        "mutant_guard.runtime.model.load_engine",
        lambda store, **given: queued.pop(0) if queued else load_engine(store, **given),
    )
    return queued


def alone(guard: GuardService, model: Model) -> Callable[[], bool]:
    """Return a check that ``model`` is the only one left, with all that it replaced closed."""
    return lambda: guard.models.everything == [model] and not guard.models._closing


async def test_a_new_version_answers_once_it_is_loaded(changing_store: Path) -> None:
    async with running(settings_for(changing_store, cache_seconds=60.0)) as guard:
        before = guard.models.default
        first = await guard.judge(BODY)
        added = add_version(changing_store, seed=7)
        assert (await guard.judge(BODY)).model is before  # the new version is not loaded yet
        with capture_logs() as logs:
            model = await guard.load("digits")
        assert model is guard.models.default is guard.models.get("digits")
        assert (model.version, guard.models.names) == (added, ["digits"])
        again = await guard.judge(BODY)
        assert again.model is model
        assert said(again) == (first.judgement, False)  # kept for the version before
        assert guard.ready
        await until(alone(guard, model))
        assert not before.ready
        assert not guard.failed
    told = [entry for entry in logs if entry["event"] == "store loaded"]
    assert [(entry["store"], entry["version"], entry["before"]) for entry in told] == [
        ("digits", added, before.version)
    ]


async def test_what_is_in_flight_ends_on_the_version_it_began_with(
    changing_store: Path, sessions: list[BankSession]
) -> None:
    held = HeldSession.of(changing_store)
    sessions.append(held)
    async with running(settings_for(changing_store)) as guard:
        before = guard.models.default
        asked = [asyncio.ensure_future(guard.judge(body)) for body in (BODY, OTHER)]
        await asyncio.to_thread(held.entered.wait, 10)
        await until(lambda: before.scheduler.in_flight == 2)
        add_version(changing_store, seed=7)
        model = await guard.load("digits")
        assert (await guard.judge(THIRD)).model is model
        assert guard.models.everything == [model, before]
        assert before.ready
        assert guard.metrics.registry.get_sample_value("guard_requests_in_flight") == 2
        assert asked[0].cancel()
        await until(lambda: before.scheduler.in_flight == 1)
        assert guard.models.everything == [model, before]
        held.release()
        assert (await asked[1]).model is before
        await until(alone(guard, model))
        assert not before.ready
        assert guard.metrics.registry.get_sample_value("guard_requests_in_flight") == 0


async def test_a_version_that_hangs_does_not_hold_up_the_end(
    changing_store: Path, sessions: list[BankSession]
) -> None:
    held = HeldSession.of(changing_store)
    sessions.append(held)
    with anyio.fail_after(5):
        async with running(settings_for(changing_store, grace_seconds=0.1)) as guard:
            asked = asyncio.ensure_future(guard.judge(BODY))
            await asyncio.to_thread(held.entered.wait, 10)
            add_version(changing_store, seed=7)
            model = await guard.load("digits")
            assert asked.cancel()
            await until(lambda: guard.models.everything == [model])
    held.release()


async def test_a_cancelled_request_holds_no_version(
    changing_store: Path, sessions: list[BankSession]
) -> None:
    held = HeldSession.of(changing_store)
    sessions.append(held)
    async with running(settings_for(changing_store)) as guard:
        before = guard.models.default
        asked = asyncio.ensure_future(guard.judge(BODY))
        await asyncio.to_thread(held.entered.wait, 10)
        add_version(changing_store, seed=7)
        model = await guard.load("digits")
        assert asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert guard.models.everything == [model]
        held.release()
        await until(lambda: not before.ready and alone(guard, model)())


@pytest.mark.parametrize("inline_ms", [0.0, 1000.0], ids=["threads", "turns"])
async def test_no_request_fails_while_versions_come_and_go(inline_ms: float, changing_store: Path) -> None:
    bodies, ended = [encode(image) for image in digits(40, noise=0.4)], False
    async with running(settings_for(changing_store, inline_ms=inline_ms)) as guard:
        expected = [(await guard.judge(body)).judgement for body in bodies]
        versions = {guard.models.default.version}
        found: list[tuple[int, object, str]] = []

        async def ask(worker: int) -> None:
            number = worker
            while not ended:
                answer = await guard.judge(bodies[number % 40])
                found.append((number % 40, answer.judgement, answer.model.version))
                number += 7

        asking = [asyncio.ensure_future(ask(worker)) for worker in range(8)]
        for seed in range(5):
            versions.add(add_version(changing_store, seed=100 + seed))
            await guard.load("digits")
            answered = len(found)
            await until(lambda: len(found) > answered + 20)  # noqa: B023
        ended = True
        await asyncio.gather(*asking)
        assert {version for _, _, version in found} == versions
        assert all(judgement == expected[number] for number, judgement, _ in found)
        await until(alone(guard, guard.models.default))
        assert guard.models.default.scheduler.in_flight == 0


async def test_the_version_that_is_there_already_is_kept(changing_store: Path) -> None:
    async with running(settings_for(changing_store)) as guard:
        model = guard.models.default
        assert await guard.load("digits") is model
        assert model.ready
        assert guard.models.everything == [model]


async def test_two_who_load_at_once_load_it_once(
    changing_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(settings_for(changing_store)) as guard:
        opened, open_model = list[Path](), guard.models._open

        def counted(path: Path, before: Model | None) -> Model:
            opened.append(path)
            return open_model(path, before)

        monkeypatch.setattr(guard.models, "_open", counted)
        add_version(changing_store, seed=7)
        one, other = await asyncio.gather(guard.load("digits"), guard.load("digits"))
        assert one is other
        assert opened == [changing_store]


async def test_a_version_like_the_one_before_is_not_measured_again(
    changing_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A measurement errs while requests are under way."""
    settings = settings_for(changing_store, batch_rows=None, max_batch_rows=None)
    async with running(settings) as guard:
        measured = guard.models.default.profile
        monkeypatch.setattr(
            "mutant_guard.runtime.scheduling.row_budget.ladder",
            lambda *_: pytest.fail("it was measured again"),
        )
        add_version(changing_store, seed=7)
        assert (await guard.load("digits")).profile is measured
        monkeypatch.undo()
        add_version(changing_store, seed=7, rate=0.25)
        assert (await guard.load("digits")).profile is not measured


@pytest.mark.parametrize("file", ["bank-0.onnx", "manifest.json"])
async def test_a_version_that_does_not_load_leaves_the_one_before(file: str, changing_store: Path) -> None:
    async with running(settings_for(changing_store)) as guard:
        before = guard.models.default
        first = await guard.judge(BODY)
        added = add_version(changing_store, seed=7)
        damage(changing_store / added / file)
        with pytest.raises(StoreError, match=file):
            await guard.load("digits")
        assert guard.models.default is before
        assert guard.models.everything == [before]
        assert guard.ready
        again = await guard.judge(BODY)
        assert (again.model, again.judgement) == (before, first.judgement)
        info = guard.metrics.registry.get_sample_value
        described = {"name": "digits", "operator": "nai", "rate": "0.05"}
        assert info("guard_store_info", described | {"version": before.version}) == 1
        assert info("guard_store_info", described | {"version": added}) is None
        use_version(changing_store, before.version)
        mended = add_version(changing_store, seed=8)
        assert (await guard.load("digits")).version == mended


async def test_a_version_by_another_name_is_refused_and_not_described(changing_store: Path) -> None:
    async with running(settings_for(changing_store)) as guard:
        before = guard.models.default
        add_version(changing_store, name="renamed")
        with pytest.raises(
            StoreError, match=rf"{changing_store} is now named 'renamed'; serve it from a new"
        ):
            await guard.load("digits")
        assert guard.models.everything == [before]
        assert (await guard.judge(BODY)).model is before
        families = {family.name: family for family in guard.metrics.registry.collect()}
        assert [sample.labels["name"] for sample in families["guard_store_info"].samples] == ["digits"]
        assert {sample.labels["store"] for sample in families["guard_verdicts"].samples} == {"digits"}


async def test_a_loop_that_failed_is_replaced_by_a_load(
    changing_store: Path, sessions: list[BankSession]
) -> None:
    held = HeldSession.of(changing_store)
    held.failure = RuntimeError("out of memory")
    held.release()
    sessions.append(held)
    async with running(settings_for(changing_store)) as guard:
        before = guard.models.default
        with capture_logs():
            while not guard.failed:
                with pytest.raises((RunFailedError, NotReadyError)):
                    await guard.judge(BODY)
        assert guard.failed
        assert not guard.ready
        model = await guard.load("digits")
        assert model is not before
        assert model.version == before.version
        assert guard.ready
        assert not guard.failed
        assert (await guard.judge(BODY)).model is model
        await until(alone(guard, model))


async def test_the_metrics_describe_the_version_that_answers(changing_store: Path) -> None:
    async with running(settings_for(changing_store)) as guard:
        await guard.judge(BODY)
        before = guard.models.default.version
        added = add_version(changing_store, seed=7, rate=0.25)
        await guard.load("digits")
        value = guard.metrics.registry.get_sample_value
        described = {"name": "digits", "operator": "nai"}
        assert value("guard_store_info", described | {"version": added, "rate": "0.25"}) == 1
        assert value("guard_store_info", described | {"version": before, "rate": "0.05"}) is None
        assert value("guard_mutants_evaluated_count") == 1  # earlier counts stay


async def test_closing_finishes_what_old_versions_have(
    changing_store: Path, sessions: list[BankSession]
) -> None:
    held = HeldSession.of(changing_store)
    sessions.append(held)
    async with running(settings_for(changing_store)) as guard:
        asked = asyncio.ensure_future(guard.judge(BODY))
        await asyncio.to_thread(held.entered.wait, 10)
        before = guard.models.default
        add_version(changing_store, seed=7)
        model = await guard.load("digits")
        closing = asyncio.ensure_future(guard.close())
        await until(lambda: not model.ready and not before.ready)
        assert not closing.done()
        held.release()
        await closing
        assert (await asked).model is before


async def test_a_version_loaded_before_the_start_starts_with_the_others(changing_store: Path) -> None:
    guard = GuardService(settings_for(changing_store))
    added = add_version(changing_store, seed=7)
    model = await guard.load("digits")
    assert model.version == added
    assert not model.ready
    guard.start()
    assert guard.ready
    assert np.array_equal(
        (await guard.judge(BODY)).judgement.scores, (await guard.judge(BODY)).judgement.scores
    )
    await guard.close()
