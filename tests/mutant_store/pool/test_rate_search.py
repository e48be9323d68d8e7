"""Search for the mutation rate, on operators whose mutants stay accurate with a known chance."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from mutant_guard.bank.pool import Mutant
from mutant_guard.errors import ModelError
from mutant_store.pool.rate_search import LARGEST_RATE, Trial, find_rate


@dataclass
class Drawn:
    """Operator that changes a share of ``neurons`` neurons, and the accuracy of its mutants.

    Attributes:
        neurons: number of neurons.
        survival: rate → probability with which a mutant stays accurate.
        least: least number of neurons that can be changed.
    """

    neurons: int
    survival: Callable[[float], float]
    least: int = 1
    judged: int = 0
    trials: list[Trial] = field(default_factory=list)

    def draw(self, number: int, rate: float) -> Mutant:
        count = int(np.ceil(self.neurons * rate))
        if count < self.least:
            raise ModelError("the rate is too low")
        return Mutant("nai", {"neurons": np.full(count, number, dtype=np.int32)})

    def judge(self, pool: list[Mutant]) -> NDArray[np.bool_]:
        self.judged += len(pool)
        numbers = [int(mutant.choice["neurons"][0]) for mutant in pool]
        share = len(pool[0].choice["neurons"]) / self.neurons
        # evenly spread, so that the share of few is that of many
        return np.array([(0.37 + 0.618 * number) % 1 < self.survival(share) for number in numbers])

    def find(self) -> Trial:
        self.trials = []
        return find_rate(self.draw, self.judge, self.trials.append)


@pytest.mark.parametrize("limit", [0.0002, 0.003, 0.03, 0.11, 0.4])
def test_the_rate_lies_just_below_that_at_which_few_survive(limit: float) -> None:
    drawn = Drawn(1_000_000, lambda rate: 0.9 if rate <= limit else 0.1)
    found = drawn.find()
    assert limit / 1.6 <= found.rate <= limit
    assert found in drawn.trials
    assert len(drawn.trials) <= 8


def test_about_a_third_survives_where_the_share_falls_slowly() -> None:
    drawn = Drawn(1_000_000, lambda rate: 1 / (1 + 100 * rate))
    found = drawn.find()
    assert 0.005 < found.rate < 0.04
    assert found.share >= 1 / 3


def test_clear_cases_take_few_mutants_and_every_search_ends_alike() -> None:
    drawn = Drawn(1000, lambda rate: float(rate <= 0.01))
    first = drawn.find()
    assert drawn.judged == 6 * len(drawn.trials)
    assert drawn.find() == first


def test_where_any_rate_will_do_it_is_the_largest() -> None:
    assert Drawn(1000, lambda rate: 1.0).find().rate == LARGEST_RATE


def test_one_neuron_is_the_least_and_then_the_search_ends() -> None:
    drawn = Drawn(300, lambda rate: 0.0)
    with pytest.raises(
        ModelError, match=r"no mutation rate lets a third .*: at rate 0\.0025, 0 of 6|0 of 6 mut"
    ):
        drawn.find()
    assert [trial.rate for trial in drawn.trials] == [0.01, 0.0025]


def test_an_operator_that_needs_a_higher_rate_gets_one() -> None:
    drawn = Drawn(100, lambda rate: float(rate <= 0.2), least=5)
    assert 0.2 / 1.6 <= drawn.find().rate <= 0.2
    with pytest.raises(ModelError, match="no mutation rate"):
        Drawn(100, lambda rate: 0.0, least=5).find()
    with pytest.raises(ModelError, match="the rate is too low"):
        Drawn(100, lambda rate: 1.0, least=90).find()
