"""The run's tables, computed once more from the label changes that it kept."""

from math import log
from statistics import NormalDist

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from evaluation.experiment.material.pools import Pools
from evaluation.experiment.material.samples import Samples
from evaluation.experiment.measuring.mutation import POLICIES, tables
from evaluation.experiment.records.results import Results
from evaluation.server import ORDER_KEY
from mutant_guard.decision.sequential.policies import Decision, Policy
from mutant_guard.runtime.order import Order
from mutant_guard.store.reader import RECORDINGS, Store
from mutant_store.calibrating.recordings import unpack
from tests.support.demo import SilentReport
from tests.support.experiment import KINDS, OPERATORS, SUSPICIOUS, Ran

Bools = NDArray[np.bool_]


def _stores(pools: Pools, operator: str) -> list[Store]:
    found = [pools.store(key) for key in pools.keys(operator)]
    return [store for store in found if store is not None]


def _in_order(ran: Ran, samples: Samples, store: Store, kind: str) -> Bools:
    """Kept label changes in the order of the server."""
    manifest = store.manifest
    kept = ran.changes(manifest.operator, manifest.rate, manifest.seed, kind)
    order = Order(ORDER_KEY.encode(), pool=manifest.mutants, decks=manifest.decks)
    met = [order.mutants(pixels) - 1 for pixels in samples.sets[kind].images]
    return np.stack([row[numbers] for row, numbers in zip(kept, met, strict=True)])


def _answers(policy: Policy, row: Bools) -> tuple[str, int]:
    """A policy asked after every mutant."""
    for mutants in range(1, len(row) + 1):
        changes = int(row[:mutants].sum())
        (code,) = policy.decide(np.array([changes]), np.array([mutants]))
        if code != Decision.CONTINUE:
            names = {Decision.NORMAL: "normal", Decision.ADVERSARIAL: "adversarial"}
            return names.get(Decision(code), "undecided"), mutants
    raise AssertionError("a policy ends with its pool")


def _algorithm_1(row: Bools, threshold: float) -> tuple[str, int, bool]:
    """Wang et al.'s Algorithm 1 at α = β = 0.05, δ = 0.1 ςh: verdict, mutants, and the verdict if it is forced."""
    p1, p0, ratio = 0.9 * threshold, 1.1 * threshold, 0.0
    for mutants, changed in enumerate(row, start=1):
        ratio += log(p1 / p0) if changed else log((1 - p1) / (1 - p0))
        if ratio <= log(0.05 / 0.95):
            return "adversarial", mutants, True
        if ratio >= log(0.95 / 0.05):
            return "normal", mutants, False
    return "undecided", len(row), bool(row.mean() > threshold)


def test_mean_label_change_rates_are_those_of_the_recordings(results: Results, ran: Ran) -> None:
    assert len(results.label_change_rates) == 3 * 4 + 2 * 3
    for cell in results.label_change_rates:
        rates = ran.rates(cell.operator, cell.rate, cell.kind)
        assert cell.mean.value == pytest.approx(rates.mean())
        assert cell.per_pool == pytest.approx(rates.mean(axis=1).tolist())
        assert cell.images == rates.shape[1]


def test_distances_are_ratios_of_them(results: Results, ran: Ran) -> None:
    for cell in results.distances:
        normal = ran.rates(cell.operator, cell.rate, "normal").mean()
        suspicious = ran.rates(cell.operator, cell.rate, cell.kind).mean()
        assert cell.distance.value == pytest.approx(suspicious / normal)


def test_areas_are_sklearns(results: Results, ran: Ran) -> None:
    for cell in results.aurocs:
        normal = ran.rates(cell.operator, cell.rate, "normal")
        suspicious = ran.rates(cell.operator, cell.rate, cell.kind)
        truth = np.repeat([0, 1], [normal.shape[1], suspicious.shape[1]])
        each = [roc_auc_score(truth, np.concatenate(both)) for both in zip(normal, suspicious, strict=True)]
        assert cell.per_pool == pytest.approx(each)
        assert cell.auroc.value == pytest.approx(np.mean(each), abs=1e-6)


def test_algorithm_1_is_that_of_the_paper(results: Results, ran: Ran, samples: Samples, pools: Pools) -> None:
    cells = {(cell.operator, cell.rho, cell.kind): cell for cell in results.detection}
    for operator in OPERATORS:
        for rho in (1.0, 1.5):
            found: dict[str, list[tuple[str, int, bool]]] = {kind: [] for kind in KINDS}
            for store in _stores(pools, operator):
                choice = unpack(store.path / RECORDINGS)["choice"]
                rates = choice.changes[choice.correct].mean(axis=1)
                half = NormalDist().inv_cdf(0.995) * rates.std(ddof=1) / len(rates) ** 0.5
                for kind in KINDS:
                    rows = _in_order(ran, samples, store, kind)
                    found[kind] += [_algorithm_1(row, rho * (rates.mean() + half)) for row in rows]
            for kind, answers in found.items():
                cell = cells[operator, rho, kind]
                for name in ("adversarial", "undecided", "normal"):
                    share = np.mean([verdict == name for verdict, _, _ in answers])
                    assert getattr(cell, name).value == pytest.approx(share), (operator, rho, kind, name)
                assert cell.mean_mutants == pytest.approx(np.mean([mutants for _, mutants, _ in answers]))
                forced = np.mean([alarm for _, _, alarm in answers])
                assert cell.forced.value == pytest.approx(1 - forced if kind == "normal" else forced)
    assert any(cell.undecided.value > 0 for cell in cells.values()), "24 mutants are few"


def test_policies_answer_what_they_do_mutant_by_mutant(
    results: Results, ran: Ran, samples: Samples, pools: Pools
) -> None:
    cells = {(cell.operator, cell.policy, cell.kind): cell for cell in results.policies}
    used = {(cell.policy, cell.kind): cell.quantiles for cell in results.mutants_used}
    for operator in OPERATORS:
        for policy in POLICIES:
            for kind in KINDS:
                answers = [
                    _answers(store.policy(policy), row)
                    for store in _stores(pools, operator)
                    for row in _in_order(ran, samples, store, kind)
                ]
                cell, mutants = cells[operator, policy, kind], [taken for _, taken in answers]
                for name in ("adversarial", "undecided"):
                    share = np.mean([verdict == name for verdict, _ in answers])
                    assert getattr(cell, name).value == pytest.approx(share), (operator, policy, kind)
                assert cell.mean_mutants == pytest.approx(np.mean(mutants))
                quantiles = used[f"{policy} {operator}", kind]
                assert (quantiles[0], quantiles[-1]) == (min(mutants), max(mutants))
                assert quantiles[50] == pytest.approx(np.median(mutants))


def test_histograms_are_of_the_recordings(results: Results, ran: Ran) -> None:
    for histogram in results.histograms:
        rates = ran.rates(histogram.operator, 0.05, histogram.kind).ravel()
        width = 1 / len(histogram.shares)
        bins = np.minimum((rates / width + 1e-9).astype(int), len(histogram.shares) - 1)
        expected = np.bincount(bins, minlength=len(histogram.shares)) / len(rates)
        assert histogram.shares == pytest.approx(expected.tolist())


def test_the_label_change_rate_is_held_against_clean_images(results: Results, ran: Ran, pools: Pools) -> None:
    methods = {method.name: method for method in results.methods}
    cells = {(cell.method, cell.kind): cell for cell in results.cells}
    for operator in OPERATORS:
        clean = []
        for store in _stores(pools, operator):
            parts = unpack(store.path / RECORDINGS)
            both = [parts[name] for name in ("choice", "certification")]
            clean.append(np.concatenate([part.changes[part.correct].mean(axis=1) for part in both]))
        for share, name in ((0.05, "5"), (0.01, "1")):
            thresholds = [min(level for level in each if (each > level).mean() <= share) for each in clean]

            def above(kind: str, thresholds: list[float] = thresholds, operator: str = operator) -> float:
                rates = ran.rates(operator, 0.05, kind)
                return float(np.mean([row > level for row, level in zip(rates, thresholds, strict=True)]))

            row = methods[f"LCR {operator}"]
            assert getattr(row, f"false_alarms_{name}").value == pytest.approx(above("normal"))
            for kind in SUSPICIOUS:
                found = getattr(cells[f"LCR {operator}", kind], f"detected_{name}")
                assert found.value == pytest.approx(above(kind)), (operator, kind, share)
        assert row.forward_passes == 25


def test_the_tables_come_from_the_recordings_alone(
    results: Results, ran: Ran, samples: Samples, pools: Pools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evaluation.experiment.material.pools.record", None)  # a new one would fail
    found = tables(ran.settings, pools, samples.sets)
    assert found.rates == results.label_change_rates
    assert found.distances == results.distances
    assert found.aurocs == results.aurocs
    assert found.detection == results.detection
    assert found.policies == results.policies
    assert found.histograms == results.histograms
    assert found.mutants_used == results.mutants_used
    assert found.pools == results.pools
    expected = [
        (operator, name) for operator in OPERATORS for name in (*POLICIES, "paper ρ=1", "paper ρ=1.5")
    ]
    assert list(found.verdicts) == expected
    assert all(list(each) == KINDS and len(each["wrong"]) == 2 for each in found.verdicts.values())


def test_a_main_rate_of_its_own_is_measured_too(ran: Ran, samples: Samples, pools: Pools) -> None:
    """NS at 0.05 in place of a main rate of 0.02: it has no pool at the one, and everything at the other."""
    chosen = ran.settings.pools.model_copy(
        update={"rates": (0.02,), "main_rate": 0.02, "instead": {"ns": 0.05}, "operators": ("ns",)}
    )
    settings = ran.settings.model_copy(update={"pools": chosen})
    other = Pools(pools.model, pools.spec, chosen, ran.workspace, SilentReport(), 1)
    found = tables(settings, other, samples.sets)
    assert [(pool.rate, pool.refused is None) for pool in found.pools] == [
        (0.02, False),
        (0.02, False),
        (0.05, True),
        (0.05, True),
    ]
    assert {(cell.rate, cell.kind) for cell in found.rates} == {(0.05, kind) for kind in KINDS}
    assert [cell.kind for cell in found.policies[::2]] == KINDS
