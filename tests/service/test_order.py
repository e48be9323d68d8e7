"""The secret order: a function of key and pixels alone, and the key that makes it."""

import multiprocessing
import stat
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from structlog.testing import capture_logs

from mutant_store.manifest import InputSpec
from service.images import decode
from service.order import Order, load_key
from service.settings import Settings
from tests.support.service import digits, encode

POOL, DECKS = 60, 16
SPEC = InputSpec(height=8, width=8, channels=1, mean=[0], std=[1], layout="nchw", resize="exact")


def order(key: bytes = b"key", *, decks: int = DECKS) -> Order:
    return Order(key, pool=POOL, decks=decks)


def random_images(count: int) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (count, 8, 8, 1), dtype=np.uint8)


def test_the_same_pixels_meet_the_same_order_in_every_process() -> None:
    for image in random_images(50):
        assert (order().mutants(image) == order().mutants(image.copy())).all()


def test_an_order_holds_every_mutant_once_and_never_the_original() -> None:
    for image in random_images(50):
        assert sorted(order().mutants(image).tolist()) == list(range(1, POOL + 1))


def test_an_order_cannot_be_changed_by_who_gets_it() -> None:
    with pytest.raises(ValueError, match="read-only"):
        order().mutants(random_images(1)[0])[0] = 1


def test_another_key_gives_other_orders_and_another_id() -> None:
    images = random_images(100)
    same = sum((order(b"a").mutants(x) == order(b"b").mutants(x)).all() for x in images)
    assert same == 0
    assert order(b"a").key_id != order(b"b").key_id


def test_the_key_id_does_not_hold_the_key() -> None:
    assert "secret" not in order(b"secret").key_id
    assert len(order(b"secret").key_id) == 12


def test_one_changed_pixel_may_draw_another_deck() -> None:
    image = random_images(1)[0]
    drawn = set()
    for value in range(256):
        image[0, 0, 0] = value
        drawn.add(tuple(order().mutants(image).tolist()))
    assert len(drawn) == DECKS


def test_the_shape_belongs_to_the_pixels() -> None:
    flat = np.zeros((4, 16, 1), np.uint8)
    differ = sum(
        not np.array_equal(order(bytes([k])).mutants(flat), order(bytes([k])).mutants(flat.reshape(8, 8, 1)))
        for k in range(20)
    )
    assert differ > 10


def test_encoding_the_same_pixels_anew_changes_nothing() -> None:
    for image in digits(20):
        files = [encode(image, compress_level=level) for level in (0, 1, 9)]
        files.append(encode(image, "WEBP", lossless=True))
        assert len(set(files)) == 4
        orders = {tuple(order(decks=1024).mutants(decode(file, SPEC, 64)).tolist()) for file in files}
        assert len(orders) == 1


def test_decks_are_drawn_uniformly() -> None:
    dealt = order()
    drawn = Counter(tuple(dealt.mutants(image).tolist()) for image in random_images(8000))
    expected = 8000 / DECKS
    chi_square = sum((count - expected) ** 2 / expected for count in drawn.values())
    assert len(drawn) == DECKS
    assert chi_square < 37.7  # 99.9 % quantile at 15 degrees of freedom


def test_every_mutant_comes_first_equally_often_over_many_decks() -> None:
    dealt = Order(b"key", pool=10, decks=4096)
    first = Counter(int(dealt.mutants(image)[0]) for image in random_images(8000))
    chi_square = sum((count - 800) ** 2 / 800 for count in first.values())
    assert sorted(first) == list(range(1, 11))
    assert chi_square < 60  # decks repeat, so it is above the 27.9 of independent draws


def test_the_order_is_the_one_of_earlier_releases() -> None:
    image = np.arange(64, dtype=np.uint8).reshape(8, 8, 1)
    dealt = Order(b"known", pool=12, decks=1024)
    assert dealt.mutants(image).tolist() == [11, 12, 1, 3, 7, 6, 5, 8, 10, 2, 9, 4]
    assert dealt.key_id == "12e7c650e936"


def settings(path: Path, **changes: object) -> Settings:
    return Settings.model_validate({"order_key_file": path} | changes)


def test_a_given_key_is_taken_and_no_file_is_made(tmp_path: Path) -> None:
    assert load_key(settings(tmp_path / "order.key", order_key="given by the user")) == b"given by the user"
    assert list(tmp_path.iterdir()) == []


def test_the_key_file_is_made_once_for_its_owner_alone_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "state" / "order.key"
    first = load_key(settings(path))
    assert len(first) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert bytes.fromhex(path.read_text().strip()) == first
    assert load_key(settings(path)) == first
    assert [entry.name for entry in path.parent.iterdir()] == ["order.key"]


def test_two_files_hold_two_keys(tmp_path: Path) -> None:
    assert load_key(settings(tmp_path / "a")) != load_key(settings(tmp_path / "b"))


@pytest.mark.parametrize("content", [b"", b"abcd\n", b"not hex\n", b"\xff\xfe", b"00" * 31])
def test_a_damaged_key_file_is_left_alone_and_the_process_gets_a_key_of_its_own(
    content: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "order.key"
    path.write_bytes(content)
    with capture_logs() as logs:
        first, second = load_key(settings(path)), load_key(settings(path))
    assert len(first) == 32
    assert first != second
    assert path.read_bytes() == content
    assert [(entry["log_level"], entry["file"]) for entry in logs] == [("warning", str(path))] * 2


@pytest.mark.parametrize("where", ["file/order.key", "directory"], ids=["unwritable", "unreadable"])
def test_where_no_key_file_can_be_the_process_gets_a_key_and_a_warning(where: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way of a directory")
    (tmp_path / "directory").mkdir()
    with capture_logs() as logs:
        key = load_key(settings(tmp_path / where))
    assert len(key) == 32
    assert [entry["event"] for entry in logs] == ["order key is for this process only"]


def _put_key(path: Path, barrier: Barrier, out: Path) -> None:
    barrier.wait()
    out.write_bytes(load_key(settings(path)))


def test_processes_that_start_at_once_agree_on_one_key(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    path, barrier = tmp_path / "state" / "order.key", fork.Barrier(4)
    outputs = [tmp_path / f"{number}.out" for number in range(4)]
    processes = [fork.Process(target=_put_key, args=(path, barrier, out), daemon=True) for out in outputs]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=20)
    assert {out.read_bytes() for out in outputs} == {bytes.fromhex(path.read_text().strip())}
    assert [entry.name for entry in path.parent.iterdir()] == ["order.key"]


def test_starts_that_share_a_process_id_agree_on_one_key(tmp_path: Path) -> None:
    """As containers on one volume do, each of them process 1 of its own."""
    for attempt in range(20):
        path, barrier = tmp_path / str(attempt) / "order.key", threading.Barrier(4)

        def load(path: Path = path, barrier: threading.Barrier = barrier) -> bytes:
            barrier.wait(timeout=10)
            return load_key(settings(path))

        with ThreadPoolExecutor(4) as pool:
            keys = {future.result() for future in [pool.submit(load) for _ in range(4)]}
        assert keys == {bytes.fromhex(path.read_text().strip())}
        assert [entry.name for entry in path.parent.iterdir()] == ["order.key"]
