"""Limits of memory, read from trees of files like a kernel's, and the blocks that follow from them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from mutant_guard.bank import memory
from mutant_guard.bank.session import FloatArray, open_session, row_bytes, run_session
from tests.mutant_store.bank.test_builder import images, prepared
from tests.support.networks import convolutional, randomised

AVAILABLE = 8 * 2**30


@pytest.fixture(autouse=True)
def no_limit() -> Iterator[None]:
    memory.set_limit(None)
    yield
    memory.set_limit(None)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("mutant_guard.bank.cores._PROC", tmp_path / "proc")
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
    (tmp_path / "meminfo").write_text(f"MemTotal: 99 kB\nMemAvailable:   {AVAILABLE // 1024} kB\n")
    return tmp_path


def in_cgroup(machine: Path, version: int, files: dict[str, str]) -> None:
    kind, options = ("cgroup2", "rw") if version == 2 else ("cgroup", "rw,memory")
    (machine / "proc").mkdir()
    (machine / "proc/cgroup").write_text("0::/\n" if version == 2 else "4:memory:/\n3:cpu:/other\n")
    (machine / "proc/mountinfo").write_text(f"30 23 0:1 / {machine / 'cgroup'} rw - {kind} none {options}\n")
    (machine / "cgroup").mkdir()
    for name, content in files.items():
        (machine / "cgroup" / name).write_text(content)


def test_without_cgroups_what_the_kernel_calls_available_is_free(machine: Path) -> None:
    assert memory.free_memory() == AVAILABLE
    assert memory.limit() == AVAILABLE // 4
    (machine / "meminfo").unlink()
    assert memory.free_memory() == 2**30


@pytest.mark.parametrize(
    ("version", "files", "left"),
    [
        (2, {"memory.max": "1000000\n", "memory.current": "300000\n"}, 700_000),
        (
            2,
            {
                "memory.max": "1000000\n",
                "memory.current": "900000\n",
                "memory.stat": "x 1\ninactive_file 500\n",
            },
            100_500,
        ),
        (2, {"memory.max": "max\n", "memory.current": "300000\n"}, AVAILABLE),
        (2, {"memory.max": "damaged", "memory.current": "1"}, AVAILABLE),
        (2, {"memory.max": "1000", "memory.current": "3000"}, 0),
        (1, {"memory.limit_in_bytes": "1000000", "memory.usage_in_bytes": "300000"}, 700_000),
        (1, {"memory.limit_in_bytes": str(2**63 - 4096), "memory.usage_in_bytes": "3"}, AVAILABLE),
    ],
)
def test_a_cgroup_caps_what_is_free(machine: Path, version: int, files: dict[str, str], left: int) -> None:
    in_cgroup(machine, version, files)
    assert memory.free_memory() == left
    assert memory.limit() == max(memory.LEAST_BYTES, left // 4)


def test_where_memory_is_not_short_a_run_takes_what_it_always_takes() -> None:
    for gigabytes in (2, 64):
        memory.set_limit(gigabytes * 2**30)
        assert memory.run_bytes(2) == memory.RUN_BYTES
        assert memory.kept_bytes() == memory.KEPT_BYTES
    memory.set_limit(2**26)
    assert memory.run_bytes(2) * 2 + memory.kept_bytes() < 2**26


@pytest.mark.parametrize(("count", "most"), [(0, 5), (1, 5), (5, 5), (6, 5), (17, 5), (1000, 512), (9, 1)])
def test_blocks_hold_every_position_once_and_are_even(count: int, most: int) -> None:
    blocks = memory.even_blocks(count, most)
    assert np.concatenate([np.arange(count)[block] for block in blocks]).tolist() == list(range(count))
    sizes = [block.stop - block.start for block in blocks]
    assert max(sizes) <= most
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("operator", ["nai", "gf"])
def test_a_bank_short_of_memory_runs_a_few_rows_at_a_time_and_says_the_same(
    operator: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = prepared(randomised(convolutional(2, 8, (4, 6), 5), seed=3), tmp_path / "model.onnx", images(9))
    bank = own.bank(own.pool(operator, 0.4, 6))
    rows, mutants = np.tile(np.arange(9), 7), np.repeat(np.arange(7), 9)
    sizes: list[int] = []

    def ran(session: onnxruntime.InferenceSession, name: str, inputs: FloatArray) -> list[FloatArray]:
        sizes.append(len(inputs))
        return run_session(session, name, inputs)

    def scores() -> FloatArray:
        session = bank.session(threads=1)
        return session.scores(session.features(own.inputs), rows, mutants)

    monkeypatch.setattr("mutant_guard.bank.bank_session.run_session", ran)
    expected = scores()
    assert sizes == [9]
    each = row_bytes(open_session(bank.prefix.SerializeToString()))
    assert each > own.inputs[0].nbytes
    memory.set_limit(2 * 4 * each)
    assert np.allclose(scores(), expected, atol=1e-5)
    assert sizes[1:] == [1, 2, 2, 2, 2]


def test_features_that_take_much_memory_are_kept_of_few_images(tmp_path: Path) -> None:
    own = prepared(randomised(convolutional(2, 8, (4, 6), 5), seed=3), tmp_path / "model.onnx", images(9))
    session = own.bank(own.pool("nai", 0.4, 3)).session(threads=1)
    assert session.feature_bytes == sum(part[0].nbytes for part in session.features(own.inputs))
    memory.set_limit(4 * 5 * session.feature_bytes)
    assert session.images_together(64) == 5
    assert session.images_together(64, more_bytes=session.feature_bytes) == 2
    assert session.images_together(3) == 3
    memory.set_limit(1)
    assert session.images_together(64) == 1
