"""Throughput on the CPU, with stores of few mutants: the code is that of a GPU."""

import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks.agreement import DisagreementError
from benchmarks.gpu import throughput
from benchmarks.gpu.alternatives import Scorer, by_modules, by_sessions, modules, sessions, views_of
from benchmarks.gpu.labels import all_scores
from benchmarks.gpu.stores import Subject, subject
from mutant_store.bank.export import open_mutants


@pytest.fixture(params=["demo_store", "companion_store"])
def checked(request: pytest.FixtureRequest, tmp_path: Path) -> Subject:
    """Return a store of 60 mutants that share weights, and one of two other networks."""
    return subject(str(request.getfixturevalue(request.param)), tmp_path, tmp_path, lambda _: None)


@pytest.mark.slow
def test_every_way_is_measured_with_one_and_with_many_images_in_flight(checked: Subject) -> None:
    session = checked.store.session(threads=1)
    section = throughput.measure(checked, session, "cpu", time.monotonic(), lambda _: None)
    session.close()
    (table,) = section.tables
    assert [row[0] for row in table.rows] == ["1", "64"]
    count = min(8, checked.store.manifest.mutants)
    assert f"the original and {count} mutants" in table.notes[0]
    names = [figure.name for figure in section.figures]
    for number in (1, 64):
        for what in ("images_a_second", "vs_sessions", "vs_eager"):
            assert f"{checked.key}_{number}_in_flight_{what}" in names
    assert all(figure.value > 0 for figure in section.figures)


def test_sessions_and_modules_score_as_the_bank_does(checked: Subject) -> None:
    mutants, images = open_mutants(checked.store), checked.images[:5]
    opened = sessions(mutants, checked.store.manifest.mutants, "cpu", time.monotonic() + 60)
    count = len(opened) - 1
    assert count == checked.store.manifest.mutants
    session, views = checked.store.session(threads=1), views_of(mutants, count)
    expected = all_scores(session, images, slice(None), count)
    session.close()
    made = by_modules(modules(mutants, count, "cpu"), views, "cpu")
    for scorer in (by_sessions(opened, views), made):
        found = np.stack(scorer(images), axis=1).reshape(expected.shape)
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_nothing_is_timed_where_another_way_names_other_labels(
    checked: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(*arguments: object) -> Scorer:
        right = by_modules(*arguments)  # type: ignore[arg-type]
        return lambda images: [-scores for scores in right(images)]

    monkeypatch.setattr(throughput, "by_modules", wrong)
    session = checked.store.session(threads=1)
    with pytest.raises(DisagreementError, match="bank and eager torch name other labels"):
        throughput.measure(checked, session, "cpu", time.monotonic(), lambda _: None)
    session.close()
