"""What a verdict on a clean image costs, in mutants and in passes of the classifier."""

from pathlib import Path

import pytest

from evaluation.evasion.clean_cost import clean_cost
from mutant_guard.store.reader import Store, load_store


def test_the_robust_mutant_costs_what_the_manifest_says(robust_store: Store) -> None:
    manifest = robust_store.manifest
    assert manifest.ranks == [0, 1, 1, 1, 1]
    cost = manifest.robust[0].relative_cost
    assert cost != 1
    for name in ("calibrated", "fixed"):
        mutants, passes = clean_cost(robust_store, robust_store.policy(name))
        assert mutants >= 1
        assert passes == pytest.approx(1 + cost + (mutants - 1)), "the robust one, then whole passes"


def test_mutants_that_change_the_original_are_a_pass_each(retrained_store: Path) -> None:
    store = load_store(retrained_store)
    mutants, passes = clean_cost(store, store.policy("calibrated"))
    assert passes == pytest.approx(1 + mutants)
