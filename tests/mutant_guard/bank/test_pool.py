from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.numpy import load, save

from mutant_guard.bank.pool import Mutant, is_whole, of, pack, patch, unpack
from mutant_guard.errors import StoreError


def drawn(operator: str, length: int) -> Mutant:
    rng = np.random.default_rng(length)
    positions = rng.integers(0, 99, length, dtype=np.int32)
    if operator == "gf":
        return Mutant(operator, {"positions": positions, "values": rng.random(length, dtype=np.float32)})
    return Mutant(operator, {"neurons": positions})


@given(st.lists(st.tuples(st.sampled_from(["gf", "nai", "ns"]), st.integers(0, 5)), min_size=1, max_size=12))
def test_a_pool_survives_being_stored(members: list[tuple[str, int]]) -> None:
    pool = [drawn(*member) for member in members]
    arrays: dict[str, NDArray[Any]] = load(save(pack(pool) | {"parameters": np.zeros(3, np.float32)}))
    found = unpack(arrays)
    assert [mutant.operator for mutant in found] == [mutant.operator for mutant in pool]
    for mutant, own in zip(found, pool, strict=True):
        assert mutant.choice.keys() == own.choice.keys()
        for name, value in own.choice.items():
            assert mutant.choice[name].dtype == value.dtype
            assert mutant.choice[name].tolist() == value.tolist()


def test_arrays_that_lack_a_mutant_are_refused() -> None:
    arrays = pack([drawn("gf", 2), drawn("nai", 3)])
    arrays["gf.mutants"] = np.array([3], dtype=np.int32)
    with pytest.raises(StoreError, match="not numbered from 1 on; build the store again"):
        unpack(arrays)


def test_a_patch_is_values_or_what_stood_elsewhere() -> None:
    original = np.array([10, 20, 30], dtype=np.float32)
    (redrawn,) = of("gf", [{"positions": np.array([2], np.int32), "values": np.array([7], np.float32)}])
    (moved,) = of("ws", [{"positions": np.array([0, 1], np.int32), "sources": np.array([1, 0], np.int32)}])
    assert [np.asarray(part).tolist() for part in patch(redrawn.choice, original)] == [[2], [7]]
    assert [np.asarray(part).tolist() for part in patch(moved.choice, original)] == [[0, 1], [20, 10]]


def test_a_mutant_that_brings_every_parameter_needs_no_positions() -> None:
    original = np.array([10, 20, 30], dtype=np.float32)
    (whole,) = of("gf", [{"values": np.array([1, 2, 3], np.float32)}])
    assert is_whole(whole.choice)
    assert not is_whole({"positions": np.zeros(3, np.int32), "values": np.zeros(3, np.float32)})
    positions, written = patch(whole.choice, original)
    changed = original.copy()
    changed[positions] = written
    assert changed.tolist() == [1, 2, 3]
    assert np.shares_memory(written, whole.choice["values"])


def test_every_parameter_means_as_many_as_there_are() -> None:
    (short,) = of("gf", [{"values": np.zeros(2, np.float32)}])
    with pytest.raises(StoreError, match="2 parameters and the original has 3; build the store again"):
        patch(short.choice, np.zeros(3, np.float32))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("gf.values", np.zeros(1, np.float32)),
        ("gf.values", np.zeros((2, 1), np.float32)),
        ("gf.values", np.zeros(2, np.float64)),
        ("gf.values.offsets", np.array([0, 1], np.int64)),
        ("gf.values.offsets", np.array([1, 2, 2], np.int64)),
        ("gf.values.offsets", np.array([0, 3, 2], np.int64)),
        ("gf.values.offsets", np.array([0, 1, 3], np.int64)),
        ("gf.values.offsets", np.zeros(0, np.int64)),
    ],
)
def test_arrays_that_are_not_cut_into_mutants_are_refused(name: str, value: NDArray[Any]) -> None:
    arrays = pack([drawn("gf", 1), drawn("gf", 1)])
    assert len(unpack(arrays)) == 2
    with pytest.raises(StoreError, match=r"'gf\.values.*build the store again"):
        unpack(arrays | {name: value})


def test_fields_without_values_are_refused() -> None:
    arrays = pack([drawn("gf", 1)])
    del arrays["gf.values"]
    with pytest.raises(StoreError, match=r"'gf\.values' is no vector"):
        unpack(arrays)


@pytest.mark.parametrize("name", ["positions", "sources"])
@pytest.mark.parametrize("position", [-1, 3])
def test_positions_beyond_the_parameters_are_refused(name: str, position: int) -> None:
    choice = {"positions": np.array([1], np.int32), "sources": np.array([2], np.int32)}
    with pytest.raises(StoreError, match=f"the {name} of a mutant are not among the parameters"):
        patch(choice | {name: np.array([position], np.int32)}, np.zeros(3, np.float32))
