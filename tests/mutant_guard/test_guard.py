"""The guard in process, as applications embed it.

It takes every kind of image and many at once, and leaves nothing behind.
"""

import asyncio
import contextlib
import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mutant_guard import Answer, Guard, MemoryCache, Observer, Verdict, load_store
from mutant_guard.errors import (
    BadImageError,
    DeadlineError,
    GuardError,
    NotReadyError,
    OrderKeyError,
    QueueFullError,
    StoreError,
    TooManyPixelsError,
    UnknownStoreError,
)
from mutant_guard.runtime.model import Model
from mutant_guard.runtime.prepared import Prepared
from mutant_store.publishing.housekeeping import use_version
from tests.support.demo import build_digits_store
from tests.support.service import KEY, HeldSession, digits, encode, running, settings_for
from tests.support.versions import add_version, copy_of

IMAGES = [*digits(40), *digits(40, noise=0.4)]


@pytest.fixture
def guard(digits_store: Path) -> Iterator[Guard]:
    with Guard(digits_store, order_key=KEY, threads=1) as guard:
        yield guard


@pytest.fixture(scope="session")
def resizing_store(digits_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a store that resizes its images."""
    from mutant_store.loading.input_spec import InputOptions

    path = tmp_path_factory.mktemp("resizing") / "digits"
    build_digits_store(digits_model, path, input=InputOptions(resize="bilinear"))
    return path


def test_an_answer_says_what_the_server_says(guard: Guard, digits_store: Path) -> None:
    async def served() -> list[Answer]:
        async with running(settings_for(digits_store)) as service:
            return [await service.judge(encode(image)) for image in IMAGES]

    for image, told in zip(IMAGES, asyncio.run(served()), strict=True):
        answer = guard.classify(encode(image))
        assert answer.judgement == told.judgement
        assert (answer.adversarial, answer.store, answer.version) == (
            told.adversarial,
            told.store,
            told.version,
        )
        assert answer.explain() == told.explain()


def test_every_kind_of_image_gets_the_same_answer(guard: Guard, tmp_path: Path) -> None:
    for number, image in enumerate(IMAGES[::8]):
        file = tmp_path / f"{number}.png"
        file.write_bytes(encode(image))
        kinds = (
            encode(image),
            bytearray(encode(image)),
            memoryview(encode(image)),
            file,
            str(file),
            Image.fromarray(image),
            Image.open(io.BytesIO(encode(image))),
            image[:, :, None],
        )
        answers = [guard.classify(kind) for kind in kinds]
        assert all(answer.judgement == answers[0].judgement for answer in answers)
        assert all(np.array_equal(answer.pixels, image[:, :, None]) for answer in answers)


def test_an_answer_has_what_a_caller_wants_to_know(guard: Guard) -> None:
    answers = [guard.classify(encode(image)) for image in IMAGES]
    assert {answer.verdict for answer in answers} == {Verdict.NORMAL, Verdict.ADVERSARIAL}
    for answer in answers:
        judgement = answer.judgement
        assert answer.class_name == str(answer.label)
        assert 0 < answer.confidence <= 1
        assert (answer.mutants, answer.label_changes) == (judgement.mutants, sum(judgement.label_changed))
        assert answer.adversarial is (answer.verdict == Verdict.ADVERSARIAL)
        assert answer.decided_by == "nai"
        assert answer.undecided_because is None
        told = answer.explain()
        assert told.label_changed == judgement.label_changed
        if answer.adversarial:
            assert answer.suggested_share is not None
            assert answer.suggested_class_name == str(answer.suggested_label)
        else:
            assert (answer.suggested_label, answer.suggested_class_name, answer.suggested_share) == (
                None,
            ) * 3


def test_doubts_are_told_where_mutants_are_retrained(retrained_store: Path) -> None:
    with Guard(retrained_store, order_key=KEY) as guard:
        answers = [guard.classify(encode(image)) for image in IMAGES]
    doubts = [answer.doubt for answer in answers if answer.mutants]
    assert all(doubt is not None and 0 <= doubt <= 1 for doubt in doubts)
    assert {answer.decided_by for answer in answers} <= {"retrain", "confidence"}


def test_many_are_answered_in_order_and_as_one_by_one(guard: Guard) -> None:
    alone = [guard.classify(image[:, :, None]) for image in IMAGES]
    many = list(guard.classify_many(image[:, :, None] for image in IMAGES))
    assert [answer.judgement for answer in many] == [answer.judgement for answer in alone]


def test_many_share_runs(digits_store: Path) -> None:
    class Runs(Observer):
        def __init__(self) -> None:
            self.requests: list[int] = []

        def ran(self, run: object) -> None:
            self.requests.append(run.requests)  # type: ignore[attr-defined]

    runs = Runs()
    with Guard(digits_store, order_key=KEY, observer=runs) as guard:
        list(guard.classify_many(encode(image) for image in IMAGES))
    assert max(runs.requests) > 4


def test_images_are_taken_as_they_are_needed(guard: Guard) -> None:
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield encode(IMAGES[taken % len(IMAGES)])

    answers = guard.classify_many(endless())
    for _ in range(20):
        next(answers)
    answers.close()  # type: ignore[attr-defined]
    assert 20 <= taken < 200
    assert guard.classify(encode(IMAGES[0])).mutants > 0


def test_one_bad_image_of_many_ends_them_in_its_place(guard: Guard) -> None:
    given = [*(encode(image) for image in IMAGES[:30]), b"no image", encode(IMAGES[31])]
    answers = guard.classify_many(given)
    for image in IMAGES[:30]:
        assert next(answers).pixels.tobytes() == image.tobytes()
    with pytest.raises(BadImageError, match="no PNG, JPEG or WebP"):
        next(answers)


def test_many_wait_for_room_that_others_take(digits_store: Path) -> None:
    bodies = [encode(image) for image in IMAGES]
    with Guard(digits_store, order_key=KEY, max_in_flight=2) as guard, ThreadPoolExecutor(3) as threads:
        expected = [guard.classify(body).judgement for body in bodies]
        found: list[list[object]] = []
        while not found:
            with contextlib.suppress(QueueFullError):  # where none of its own is in flight to wait for
                both = threads.map(lambda _: [a.judgement for a in guard.classify_many(bodies)], range(2))
                found = [list(each) for each in both]
    assert found == [expected, expected]


def test_a_guard_may_be_asked_by_many_threads_and_loops_at_once(guard: Guard) -> None:
    expected = [guard.classify(encode(image)).judgement for image in IMAGES]

    def loop(_: int) -> list[object]:
        async def ask() -> list[object]:
            answers = await asyncio.gather(*(guard.aclassify(encode(image)) for image in IMAGES))
            return [answer.judgement for answer in answers]

        return asyncio.run(ask())

    with ThreadPoolExecutor(6) as threads:
        asked = threads.map(lambda _: [guard.classify(encode(i)).judgement for i in IMAGES], range(3))
        awaited = threads.map(loop, range(3))
        assert all(found == expected for found in (*asked, *awaited))


@pytest.mark.anyio
async def test_it_may_take_turns_with_an_event_loop(retrained_store: Path) -> None:
    guard = Guard(retrained_store, order_key=KEY, inline_ms=1000)
    guard.start(asyncio.get_running_loop())
    async with guard:
        assert guard.models.default.takes_turns
        answer = await guard.aclassify(encode(IMAGES[0]))
        with pytest.raises(RuntimeError, match=r"use 'await guard\.aclassify"):
            guard.classify(encode(IMAGES[0]))
        with pytest.raises(RuntimeError, match=r"use 'await guard\.aclassify"):
            next(guard.classify_many([encode(IMAGES[0])]))
        elsewhere = await asyncio.to_thread(guard.classify, encode(IMAGES[0]))
    assert elsewhere.judgement == answer.judgement


@pytest.mark.anyio
async def test_judgements_are_cached_where_a_cache_is_given(digits_store: Path) -> None:
    cache = MemoryCache(seconds=60, entries=10)
    async with Guard(digits_store, order_key=KEY, cache=cache) as guard:
        first, again = [await guard.aclassify(encode(IMAGES[0])) for _ in range(2)]
        assert (first.cached, again.cached) == (False, True)
        assert first.judgement == again.judgement


def test_the_order_key_decides_the_order(digits_store: Path, tmp_path: Path) -> None:
    def judged(**key: object) -> list[object]:
        with Guard(digits_store, **key) as guard:  # type: ignore[arg-type]
            return [answer.judgement for answer in guard.classify_many(i[:, :, None] for i in IMAGES)]

    file = tmp_path / "kept" / "order.key"
    first = judged(order_key_file=file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert judged(order_key_file=file) == first
    assert judged(order_key=KEY) == judged(order_key=KEY.encode()) != first
    assert judged() != judged()
    file.write_text("no key")
    with pytest.raises(OrderKeyError):
        Guard(digits_store, order_key_file=file)
    with pytest.raises(ValueError, match="not both"):
        Guard(digits_store, order_key=KEY, order_key_file=file)
    with pytest.raises(ValueError, match="16 bytes"):
        Guard(digits_store, order_key="short")


def test_several_stores_are_asked_by_name(digits_store: Path, retrained_store: Path, tmp_path: Path) -> None:
    copy = copy_of(retrained_store, tmp_path / "soft")
    add_version(copy, name="soft")
    with Guard(digits_store, str(copy), order_key=KEY) as guard:
        assert guard.models.names == ["digits", "soft"]
        assert guard.classify(encode(IMAGES[0])).store == "digits"
        assert guard.classify(encode(IMAGES[0]), store="soft").store == "soft"
        assert {answer.store for answer in guard.classify_many([encode(IMAGES[0])], store="soft")} == {"soft"}
        with pytest.raises(UnknownStoreError, match="there is no store 'other'"):
            guard.classify(encode(IMAGES[0]), store="other")


def test_a_new_version_is_loaded_when_asked_for(digits_store: Path, tmp_path: Path) -> None:
    copy = copy_of(digits_store, tmp_path)
    with Guard(copy, order_key=KEY) as guard:
        before = guard.classify(encode(IMAGES[0])).version
        added = add_version(copy, seed=7)
        assert guard.classify(encode(IMAGES[0])).version == before
        assert guard.load("digits").version == added
        assert guard.classify(encode(IMAGES[0])).version == added
        use_version(copy, before)
        guard.load("digits")
        assert guard.classify(encode(IMAGES[0])).version == before


def test_pixels_of_another_size_are_resized_where_files_are(resizing_store: Path, guard: Guard) -> None:
    large = np.asarray(Image.fromarray(IMAGES[0]).resize((30, 20)))
    with Guard(resizing_store, order_key=KEY, max_pixels=1000) as resizing:
        answers = [
            resizing.classify(kind) for kind in (encode(large), Image.fromarray(large), large[:, :, None])
        ]
        assert all(answer.judgement == answers[0].judgement for answer in answers)
        for kind in (
            encode(np.zeros((40, 40), np.uint8)),
            Image.new("L", (40, 40)),
            np.zeros((40, 40, 1), np.uint8),
        ):
            with pytest.raises(TooManyPixelsError, match="more than 1,000 pixels"):
                resizing.classify(kind)
        with pytest.raises(BadImageError, match="or another height and width, which it resizes"):
            resizing.classify(np.zeros((40, 40, 3), np.uint8))
    for kind in (Image.fromarray(large), large[:, :, None]):
        with pytest.raises(BadImageError, match=r"exactly 8×8|takes uint8"):
            guard.classify(kind)


def test_what_is_no_image_is_refused(guard: Guard, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"an image is bytes, a path, .* not int"):
        guard.classify(7)  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError):
        guard.classify(tmp_path / "none.png")
    with pytest.raises(BadImageError):
        guard.classify(b"")
    frames = io.BytesIO()
    Image.new("L", (8, 8)).save(
        frames, "WEBP", save_all=True, append_images=[Image.new("L", (8, 8), 255)], lossless=True
    )
    with pytest.raises(BadImageError, match="animated"):
        guard.classify(Image.open(frames))


def test_time_and_images_in_flight_are_bounded(
    digits_store: Path, held_guard_session: HeldSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mutant_guard.guard._GRACE_SECONDS", 0.05)
    body = encode(IMAGES[0])
    fixed = {"batch_rows": 64, "max_batch_rows": 512, "inline_ms": 0.0}  # so that nothing is measured
    guard = Guard(digits_store, order_key=KEY, max_in_flight=1, deadline_seconds=60, **fixed)  # type: ignore[arg-type]
    with pytest.raises(DeadlineError, match=r"no verdict within 0\.05 s"):
        guard.classify(body, timeout=0.05)
    waiting = threading.Thread(target=guard.classify, args=(body,))
    waiting.start()
    while not guard.full:
        pass
    with pytest.raises(QueueFullError):
        guard.classify(body)
    held_guard_session.release()
    waiting.join()
    guard.close()
    threads = threading.active_count()
    for _ in range(3):
        with pytest.raises(NotReadyError):
            guard.classify(body)
    assert threading.active_count() <= threads


@pytest.mark.parametrize("option", ["deadline_seconds", "grace_seconds", "inline_ms"])
def test_an_option_that_is_nan_is_refused(option: str, digits_store: Path) -> None:
    with pytest.raises(ValueError, match=f"{option} is a number, not NaN"):
        Guard(digits_store, **{option: float("nan")})  # type: ignore[arg-type]


def test_a_store_that_is_not_there_is_one_error(tmp_path: Path) -> None:
    for wrong in (StoreError, GuardError):
        with pytest.raises(wrong, match="no such store"):
            Guard(tmp_path / "none")
    with pytest.raises(ValueError, match="at least one store"):
        Guard()


def test_load_store_opens_and_checks_a_version(digits_store: Path) -> None:
    assert load_store(digits_store).manifest.mutants == 60


SCRIPT = """
import logging, os, sys
before = dict(os.environ)
from mutant_guard import Guard
with Guard(sys.argv[1]) as guard:
    print(guard.classify(sys.argv[2]).mutants)
assert {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"} == before
assert not logging.getLogger().handlers
import threading
print([thread.name for thread in threading.enumerate()])
"""


def test_it_reads_no_settings_writes_no_file_and_logs_nothing(digits_store: Path, tmp_path: Path) -> None:
    """GUARD_ variables that would break a server have no effect here."""
    image = tmp_path / "digit.png"
    image.write_bytes(encode(IMAGES[0]))
    home = tmp_path / "home"
    home.mkdir()
    hostile = {"GUARD_POLICY": "none", "GUARD_STORE": "/none", "GUARD_DEVICE": "none", "GUARD_ORDER_KEY": "x"}
    places = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "TMPDIR"), str(home))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(digits_store), str(image)],
        env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", **hostile, **places},
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    mutants, threads = done.stdout.splitlines()
    assert int(mutants) > 0
    assert threads == "['MainThread']"
    assert list(home.iterdir()) == []


def test_who_is_told_of_an_image_may_answer_or_refuse_it(digits_store: Path) -> None:
    told: list[bytes] = []

    async def ask() -> None:
        async def look(prepared: Prepared, model: Model) -> Answer | None:
            told.append(prepared.pixels.tobytes())
            assert model.name == "digits"
            if refuses:
                raise QueueFullError("no more of these")
            return given

        given: Answer | None = None
        refuses = False
        cache = MemoryCache(seconds=60, entries=10)
        async with Guard(digits_store, order_key=KEY, threads=1, cache=cache) as guard:
            first, second = (encode(image) for image in IMAGES[:2])
            usual = await guard.aclassify(first, asked=look)
            assert usual.judgement == (await guard.aclassify(first)).judgement
            assert (await guard.aclassify(first, asked=look)).cached  # it is told before the cache is asked
            given = usual
            assert await guard.aclassify(second, asked=look) is usual
            assert await guard.aclassify(second, guarded=False, asked=look) is usual
            refuses = True
            with pytest.raises(QueueFullError, match="no more of these"):
                await guard.aclassify(first, asked=look)
            assert not (await guard.aclassify(second)).cached

    asyncio.run(ask())
    assert told == [IMAGES[number].tobytes() for number in (0, 0, 1, 1, 0)]
