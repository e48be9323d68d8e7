"""The SPEC grammar."""

from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mutant_guard.errors import DataError
from mutant_store.datasets import DataSpec, parse
from mutant_store.datasets.spec import SPLITS


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("digits@holdout", DataSpec("digits", split="holdout")),
        ("mnist@train", DataSpec("mnist", split="train")),
        ("mnist:DIR@holdout", DataSpec("mnist", Path("DIR"), "holdout")),
        ("imagefolder:a/b.tar@test[0:4000]", DataSpec("imagefolder", Path("a/b.tar"), "test", 0, 4000)),
        ("npz:f.npz[100:]", DataSpec("npz", Path("f.npz"), None, 100)),
        ("npz:f.npz[:7]", DataSpec("npz", Path("f.npz"), None, None, 7)),
        ("npz:x:y@train.npz[0].npz@train", DataSpec("npz", Path("x:y@train.npz[0].npz"), "train")),
        ("mnist:a@b@test", DataSpec("mnist", Path("a@b"), "test")),
    ],
)
def test_reads_each_part(text: str, spec: DataSpec) -> None:
    assert parse(text) == spec
    assert str(spec) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cifar:DIR", "unknown kind of data 'cifar'"),
        ("", "unknown kind"),
        ("digits@validation", "unknown split"),
        ("digits:somewhere@test", "take no path"),
        ("npz:", "no path after it"),
        ("digits[5]", "slice that does not read"),
        ("npz:a@test@train", "rename it"),
        ("npz:a[1:2]@train", "rename it"),
    ],
)
def test_refuses_what_it_cannot_read(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        parse(text)


def test_refuses_fields_out_of_range() -> None:
    with pytest.raises(DataError, match="unknown split 'dev'"):
        DataSpec("mnist", split="dev")
    with pytest.raises(DataError, match="counts from the end"):
        DataSpec("mnist", split="test", start=-5)


_bounds = st.none() | st.integers(0, 10**9)


@given(
    st.sampled_from(["mnist", "imagefolder", "npz"]),
    st.none() | st.text(min_size=1),
    st.none() | st.sampled_from(SPLITS),
    _bounds,
    _bounds,
)
def test_text_and_spec_round_trip(
    kind: str, path: str | None, split: str | None, start: int | None, stop: int | None
) -> None:
    try:
        spec = DataSpec(kind, None if path is None else Path(path), split, start, stop)
    except DataError:
        assume(False)  # the path ends like a split or a slice
        return
    assert parse(str(spec)) == spec


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mnist:/somewhere/mnist@holdout[0:5]", "mnist@holdout[0:5]"),
        ("npz:/somewhere/x.npz[3:]", "npz:x.npz[3:]"),
        ("imagefolder:photos/cats.tar@test", "imagefolder:cats.tar@test"),
        ("digits@train", "digits@train"),
    ],
)
def test_portable_specs_tell_nothing_of_the_machine(text: str, expected: str) -> None:
    assert str(parse(text).portable()) == expected


def test_a_path_that_is_not_utf_8_is_refused_before_anything_is_read() -> None:
    with pytest.raises(DataError, match=r"--data is not UTF-8: 'npz:caf\\udce9\.npz'; rename it"):
        parse("npz:caf\udce9.npz")
