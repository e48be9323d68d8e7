"""What a verdict costs: medians of turns, and Table VI."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from evaluation.experiment.material.pools import Pools
from evaluation.experiment.material.samples import Samples
from evaluation.experiment.measuring import cost
from evaluation.experiment.measuring.mutation import Tables
from evaluation.experiment.records.paper import Paper
from evaluation.experiment.records.results import Results
from tests.support.demo import SilentReport
from tests.support.experiment import OPERATORS, Ran

_IMAGES = np.arange(8 * 4, dtype=np.uint8).reshape(8, 2, 2, 1)


class _Machine:
    """Calls that take as long as they are told to, by a clock of their own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.log: list[tuple[str, int, tuple[int, ...]]] = []
        monkeypatch.setattr("time.perf_counter", lambda: self.now)

    def call(self, name: str, seconds: Callable[[int], float]) -> cost.Call:
        def asked(image: NDArray[np.uint8]) -> None:
            number = int(image[0, 0, 0, 0]) // 4
            self.log.append((name, number, image.shape))
            self.now += seconds(number)

        return asked


def test_calls_take_turns_and_the_first_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = _Machine(monkeypatch)
    calls = {
        "a": machine.call("a", lambda number: 9.0 if number < 3 else number / 1000),
        "b": machine.call("b", lambda number: 0.5),
    }
    found = cost.milliseconds(calls, _IMAGES)
    assert found == pytest.approx({"a": 5.0, "b": 500.0})  # of 3, 4, 5, 6 and 7 ms
    assert [(name, number) for name, number, _ in machine.log] == [(n, i) for i in range(8) for n in "ab"]
    assert {shape for _, _, shape in machine.log} == {(1, 2, 2, 1)}


@pytest.mark.parametrize("images", [1, 2, 3])
def test_the_last_of_few_images_counts(monkeypatch: pytest.MonkeyPatch, images: int) -> None:
    call = _Machine(monkeypatch).call("a", lambda number: float(number + 1))
    assert cost.milliseconds({"a": call}, _IMAGES[:images]) == pytest.approx({"a": 1e3 * images})


def test_each_call_has_the_threads_that_suit_it(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = _Machine(monkeypatch)
    calls = {
        "one": machine.call("one", lambda _: 0.001 * torch.get_num_threads()),
        "all": machine.call("all", lambda _: 0.004 / torch.get_num_threads()),
    }
    torch.set_num_threads(2)
    assert cost.best_milliseconds(calls, _IMAGES) == pytest.approx({"one": 1.0, "all": 2.0})
    assert torch.get_num_threads() == 2


def test_threads_are_given_back_after_a_failure() -> None:
    def fails(image: NDArray[np.uint8]) -> None:
        raise KeyboardInterrupt

    torch.set_num_threads(2)
    with pytest.raises(KeyboardInterrupt):
        cost.best_milliseconds({"a": fails}, _IMAGES)
    assert torch.get_num_threads() == 2


def test_mutants_are_those_of_the_papers_attacks(
    results: Results, pools: Pools, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        cost, "forward_milliseconds", lambda stores, images, threads: dict.fromkeys(stores, 2.0)
    )
    monkeypatch.setattr(cost, "generate_seconds", lambda pools, key, report: key.rate)
    images, found = samples.sets["normal"].images, Tables()
    found.detection = results.detection
    found.rates = results.label_change_rates
    rows = cost.costs(pools, Paper("mnist"), found, images, SilentReport())
    assert [row.operator for row in rows] == OPERATORS
    for row in rows:
        cells = {
            cell.kind: cell.mean_mutants
            for cell in results.detection
            if cell.operator == row.operator and cell.rho == 1
        }
        assert row.mutants == pytest.approx((cells["wrong"] + cells["fgsm"]) / 2)
        assert (row.forward_ms, row.generate_seconds) == (2.0, 0.05)
        assert row.paper == Paper("mnist").cost(row.operator)
    found.rates = [cell.model_copy(update={"paper": None}) for cell in results.label_change_rates]
    for row in cost.costs(pools, Paper(None), found, images, SilentReport()):
        mutants = [
            cell.mean_mutants
            for cell in results.detection
            if cell.operator == row.operator and cell.rho == 1 and cell.kind != "normal"
        ]
        assert row.mutants == pytest.approx(np.mean(mutants))
        assert row.paper is None


def test_a_mutant_is_a_share_of_the_whole_pool(
    pools: Pools, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = pools.store(pools.keys("nai")[0])
    assert store is not None
    asked = []

    def timed(calls: dict[str, cost.Call], images: NDArray[np.uint8]) -> dict[str, float]:
        asked.append(calls["nai"](images[:1]))
        return {"nai": 48.0}

    monkeypatch.setattr(cost, "milliseconds", timed)
    found = cost.forward_milliseconds({"nai": store}, samples.sets["normal"].images, 1)
    assert found == {"nai": 2.0}
    assert np.asarray(asked[0]).shape == (1, 24)


def test_verdicts_and_mutants_take_time(ran: Ran, pools: Pools, samples: Samples) -> None:
    key = pools.keys("nai")[0]
    images = samples.sets["normal"].images[:3]
    found = cost.policy_milliseconds({"a": (pools.path(key), "fixed")}, images, 1)
    assert 0 < found["a"] < 1e4
    before = sorted(path.name for path in ran.work.rglob("*"))
    taken = cost.generate_seconds(pools, key, SilentReport())
    assert taken is not None
    assert 0 < taken < 10
    assert sorted(path.name for path in ran.work.rglob("*")) == before, "they are thrown away"
