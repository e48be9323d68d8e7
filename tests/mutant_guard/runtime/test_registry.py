"""The registry of several stores, by name."""

from pathlib import Path

import pytest

from mutant_guard.errors import NotReadyError, StoreError, UnknownStoreError
from mutant_guard.store.reader import load_store
from service.guard_service import GuardService
from tests.support.service import digits, encode, running, settings_for
from tests.support.versions import add_version, copy_of, damage

pytestmark = pytest.mark.anyio

BODY = encode(digits(1)[0])


@pytest.fixture
def changing_store(digits_store: Path, tmp_path: Path) -> Path:
    """Return a store that tests add versions to."""
    return copy_of(digits_store, tmp_path)


@pytest.fixture
def soft_store(retrained_store: Path, tmp_path: Path) -> Path:
    """Return another store, under another name."""
    copy = copy_of(retrained_store, tmp_path / "soft")
    add_version(copy, name="soft")
    return copy


async def test_every_store_answers_by_its_name_and_the_first_by_default(
    digits_store: Path, soft_store: Path
) -> None:
    async with running(settings_for(digits_store, soft_store)) as guard:
        assert guard.models.names == ["digits", "soft"]
        assert [model.name for model in guard.models] == ["digits", "soft"]
        assert guard.models.default is guard.models.get(None) is guard.models.get("digits")
        for image in digits(10, noise=0.4):
            body, found = encode(image), {}
            for name in (None, "digits", "soft"):
                answer = await guard.judge(body, store=name)
                assert answer.model is guard.models.get(name)
                found[name] = answer.judgement
            assert found[None] == found["digits"]
            for name, path in (("digits", digits_store), ("soft", soft_store)):
                async with running(settings_for(path)) as own:
                    assert (await own.judge(body)).judgement == found[name]


async def test_stores_do_not_share_what_is_cached(digits_store: Path, soft_store: Path) -> None:
    async with running(settings_for(digits_store, soft_store, cache_seconds=60.0)) as guard:
        cached = [(await guard.judge(BODY, store=name)).cached for name in ("digits", "soft") * 2]
    assert cached == [False, False, True, True]


async def test_a_store_that_is_not_served_is_refused_with_those_that_are(
    digits_store: Path, soft_store: Path
) -> None:
    async with running(settings_for(digits_store, soft_store)) as guard:
        for name in ("Digits", "", "x" * 5000):
            with pytest.raises(
                UnknownStoreError, match=r"there is no store '.*'; .* has digits, soft$"
            ) as caught:
                await guard.judge(BODY, store=name)
            assert len(str(caught.value)) < 150
        with pytest.raises(UnknownStoreError):
            await guard.load("mnist")


async def test_two_stores_of_one_name_are_refused_with_the_remedy(
    digits_store: Path, changing_store: Path
) -> None:
    with pytest.raises(
        StoreError, match=rf"{changing_store} and {digits_store} are both named 'digits'.*last part of --out"
    ):
        GuardService(settings_for(digits_store, changing_store))


async def test_one_store_that_does_not_load_is_named_and_nothing_starts(
    digits_store: Path, soft_store: Path
) -> None:
    damage(load_store(soft_store).path / "prefix.onnx")
    with pytest.raises(StoreError, match=rf"{soft_store}.*prefix\.onnx is damaged"):
        GuardService(settings_for(digits_store, soft_store))


async def test_the_guard_is_ready_when_every_store_is(digits_store: Path, soft_store: Path) -> None:
    async with running(settings_for(digits_store, soft_store)) as guard:
        assert guard.ready
        guard.models.get("soft").close()
        assert not guard.ready
        assert not guard.failed
        with pytest.raises(NotReadyError):
            await guard.judge(BODY, store="soft")
        assert (await guard.judge(BODY)).judgement.mutants > 0
