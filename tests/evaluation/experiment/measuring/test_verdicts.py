"""Policies on label changes in a given order; an exhausted pool; the order of the server."""

from math import log

import numpy as np
import pytest
from numpy.typing import NDArray

from evaluation.experiment.material.pools import Pools
from evaluation.experiment.material.samples import Samples
from evaluation.experiment.measuring.verdicts import (
    Verdicts,
    algorithm_1,
    detection_cell,
    in_server_order,
    judged,
    mutants_used,
    policy_cell,
)
from evaluation.server import ORDER_KEY
from mutant_guard.decision.calibration.recording import Recording
from mutant_guard.decision.sequential import builders
from mutant_guard.decision.sequential.policies import ErrorBounds
from mutant_guard.decision.sequential.sprt import Sprt
from mutant_guard.errors import DataError
from mutant_guard.runtime.order import Order
from mutant_guard.store.reader import Store

_SPRT = builders.sequential("test", Sprt(0.6, 0.4), 12)
"""After a change the log ratio falls by log 1.5, else it rises by it: eight more of one than of the other decide."""


def _evidence(*rows: str) -> NDArray[np.bool_]:
    return np.array([[letter == "x" for letter in row] for row in rows])


def _recording(*rows: str) -> Recording:
    return Recording(_evidence(*rows), np.ones(len(rows), dtype=bool))


@pytest.fixture(scope="session")
def store(pools: Pools) -> Store:
    found = pools.store(pools.keys("nai")[0])
    assert found is not None
    return found


def test_a_verdict_is_the_first_decision() -> None:
    assert log(0.95 / 0.05) / log(1.5) == pytest.approx(7.26, abs=0.01)  # so it takes eight
    found = judged(_SPRT, _recording("xxxxxxxx....", "........xxxx", "xxx.xxxxxx..", "x.x.x.x.x.x."))
    assert found.adversarial.tolist() == [True, False, True, False]
    assert found.undecided.tolist() == [False, False, False, True]
    assert found.mutants.tolist() == [8, 8, 10, 12]
    assert found.label_changes.tolist() == [8, 0, 9, 6]


def test_an_exhausted_pool_counts_by_its_rate() -> None:
    evidence = _recording("x.x.x.x.x.x.", "xx.x.x.x.x.x", "xxxxxxxx....", "........xxxx")
    assert evidence.rates == pytest.approx([6 / 12, 7 / 12, 8 / 12, 4 / 12])
    for threshold, expected in (
        (0.49, [True, True, True, False]),
        (0.5, [False, True, True, False]),  # above, not at
        (0.9, [False, False, True, False]),  # an alarm stays one, whatever its rate
        (0.1, [True, True, True, False]),  # and so does a normal verdict
    ):
        found = judged(_SPRT, evidence, threshold)
        assert found.forced.tolist() == expected
        assert found.adversarial.tolist() == [False, False, True, False]
        assert found.undecided.tolist() == [True, True, False, False]
    assert judged(_SPRT, evidence).forced.tolist() == [False, False, True, False]


def test_a_fixed_number_is_never_undecided() -> None:
    policy = builders.fixed("fixed", 4, 2, 6, ErrorBounds(0.1, 0.1))
    found = judged(policy, _recording("xx....", "x...xx", "x..x..", "......"), 0.0)
    assert found.adversarial.tolist() == found.forced.tolist() == [True, False, True, False]
    assert not found.undecided.any()
    assert found.mutants.tolist() == [4] * 4
    assert found.label_changes.tolist() == [2, 1, 2, 0]


def test_images_meet_the_mutants_in_the_servers_order(store: Store, samples: Samples) -> None:
    some, mutants = samples.sets["normal"].head(20), store.manifest.mutants
    numbers = np.arange(mutants)[None].repeat(20, axis=0)
    bits = [
        in_server_order(store, some, Recording(numbers >> place & 1 == 1, np.ones(20, dtype=bool)))
        for place in range(5)
    ]
    met = sum(bit.changes.astype(int) << place for place, bit in enumerate(bits))
    order = Order(ORDER_KEY.encode(), pool=mutants, decks=store.manifest.decks)
    for pixels, row in zip(some.images, np.asarray(met), strict=True):
        assert sorted(row) == list(range(mutants))
        assert row.tolist() == [number - 1 for number in order.mutants(pixels)]
    assert len({tuple(row) for row in np.asarray(met).tolist()}) > 10


def test_algorithm_1_has_the_thresholds_of_the_clean_images(store: Store) -> None:
    normal = store.calibration.normal_label_change_rate
    assert normal is not None
    upper = normal.mean + normal.half_width
    for rho in (1.0, 1.5):
        policy, threshold = algorithm_1(store, rho, 0.2)
        assert threshold == pytest.approx(rho * upper)
        assert isinstance(policy.statistic, Sprt)
        assert (policy.statistic.p0, policy.statistic.p1) == pytest.approx((1.2 * threshold, 0.8 * threshold))
        assert policy.pool == policy.mutants == store.manifest.mutants
        assert policy.name == f"paper ρ={rho:g}"
    same, _ = algorithm_1(store, 1.0, 0.1)
    kept = store.policy("paper").statistic
    assert isinstance(kept, Sprt)
    assert isinstance(same.statistic, Sprt)
    assert (same.statistic.p0, same.statistic.p1) == pytest.approx((kept.p0, kept.p1))


def _verdicts(adversarial: str, undecided: str, forced: str, mutants: list[int]) -> Verdicts:
    flags = _evidence(adversarial, undecided, forced)
    return Verdicts(flags[0], flags[1], np.array(mutants), np.zeros(4, dtype=np.int64), flags[2])


_TWO_POOLS = [
    _verdicts("xx..", "..x.", "xxx.", [1, 2, 3, 4]),
    _verdicts("x...", ".xx.", "xx..", [5, 6, 7, 8]),
]


def test_cells_are_means_over_images_and_pools() -> None:
    cell = detection_cell("nai", 1.5, "fgsm", _TWO_POOLS)
    assert (cell.operator, cell.rho, cell.kind) == ("nai", 1.5, "fgsm")
    figures = (cell.adversarial, cell.undecided, cell.normal, cell.forced)
    assert [figure.value for figure in figures] == pytest.approx([3 / 8, 3 / 8, 2 / 8, 5 / 8])
    assert cell.mean_mutants == 4.5
    policy = policy_cell("nai", "fixed", "fgsm", _TWO_POOLS)
    assert (policy.operator, policy.policy, policy.kind) == ("nai", "fixed", "fgsm")
    assert (policy.adversarial, policy.undecided) == (cell.adversarial, cell.undecided)
    assert policy.mean_mutants == 4.5


def test_on_normal_images_no_alarm_is_right() -> None:
    assert detection_cell("nai", 1.0, "normal", _TWO_POOLS).forced.value == pytest.approx(3 / 8)


def test_mutants_are_those_of_all_pools() -> None:
    normal, other = mutants_used("fixed nai", {"normal": _TWO_POOLS, "fgsm": _TWO_POOLS[:1]})
    assert (normal.policy, normal.kind, other.kind) == ("fixed nai", "normal", "fgsm")
    assert len(normal.quantiles) == 101
    assert [normal.quantiles[at] for at in (0, 50, 100)] == [1, 4.5, 8]
    assert other.quantiles[-1] == 4


def test_a_threshold_beyond_every_rate_is_refused(store: Store) -> None:
    with pytest.raises(DataError, match=r"ρ = 1000: threshold .* gives no test"):
        algorithm_1(store, 1000.0, 0.1)
