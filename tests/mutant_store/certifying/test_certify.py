"""Command ``mutant-store certify`` on a store of a mutant with bounds, and on others."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from mutant_guard.decision.evidence.kinds import UNIT
from mutant_guard.errors import DataError, StoreError
from mutant_guard.runtime.proof import Proof
from mutant_guard.store.reader import load_store
from mutant_store.certifying.certify import Certification, certify
from mutant_store.cli.app import app
from mutant_store.datasets import load
from tests.support.demo import SilentReport

SPEC = "digits@test[0:150]"


def test_the_shares_are_those_of_the_images_that_are_proved(certified_store: Path) -> None:
    report = SilentReport()
    found = certify(certified_store, SPEC, [0.0, 0.05, 0.3], report)
    store, data = load_store(certified_store), load(SPEC)
    scores = store.session(threads=1).labels(store.manifest.input.tensor(data.images), np.array([0]))[:, 0]
    right = scores == data.labels
    assert (found.images, found.right, found.obstacle) == (150, int(right.sum()), None)
    proof = Proof(store, store.policy("calibrated"))
    for share in found.shares:
        held = proof.holds(data.images, data.labels, np.full(150, share.epsilon))
        assert (share.proved.count, share.proved.trials) == (held.sum(), 150)
        assert share.proved_right is not None
        assert (share.proved_right.count, share.proved_right.trials) == (held[right].sum(), right.sum())
        assert share.proved.low <= share.proved.rate <= share.proved.high
    counts = [share.proved.count for share in found.shares]
    assert counts[0] > counts[1] > counts[2]
    assert report.steps[1:] == ["proving at ε 0", "proving at ε 0.05", "proving at ε 0.3"]
    assert report.calls[-3:] == [(64, 150), (128, 150), (150, 150)]


def test_the_command_prints_a_table_or_json(certified_store: Path) -> None:
    asked = ["certify", str(certified_store), "--data", SPEC, "--epsilon", "0.05", "--epsilon", "0.1"]
    shown = CliRunner().invoke(app, asked)
    assert shown.exit_code == 0, shown.output
    told = CliRunner().invoke(app, [*asked, "--json"])
    found = Certification.model_validate(json.loads(told.stdout))
    for share in found.shares:
        assert f"{share.epsilon:g} " in shown.stdout
        assert f"{share.proved.rate:.1%} ({100 * share.proved.low:.1f}" in shown.stdout


def test_a_store_without_bounds_proves_nothing_and_says_why(retrained_store: Path) -> None:
    asked = ["certify", str(retrained_store), "--data", SPEC, "--epsilon", "0"]
    shown = CliRunner().invoke(app, asked)
    assert shown.exit_code == 0, shown.output
    assert "0.0% (0.0" in shown.stdout
    assert "nothing is proved: the store has no certified mutant; build one with" in shown.stdout


def test_under_a_policy_that_counts_label_changes_nothing_is_proved(certified_store: Path) -> None:
    store = load_store(certified_store)
    counting = [name for name in store.calibration.policies if name == "paper"]
    for name in counting:
        found = certify(certified_store, SPEC, [0.0], SilentReport(), policy=name)
        assert found.obstacle is not None
        assert "counts label changes" in found.obstacle
        assert found.shares[0].proved.count == 0
    assert counting, "the store has a policy that counts label changes"


def test_bounds_of_another_network_are_refused(
    certified_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = Proof.least_evidence

    def higher(self: Proof, pixels: NDArray[np.uint8], epsilons: NDArray[np.float64]) -> NDArray[np.int64]:
        return right(self, pixels, epsilons) + (UNIT >> 8)

    monkeypatch.setattr(Proof, "least_evidence", higher)
    with pytest.raises(StoreError, match="the bounds in the store are not those of its robust mutants"):
        certify(certified_store, SPEC, [0.0], SilentReport())


@pytest.mark.parametrize("epsilon", [-0.1, 0.6, float("nan")])
def test_a_change_out_of_range_is_refused(certified_store: Path, epsilon: float) -> None:
    with pytest.raises(DataError, match=r"--epsilon .* is not between 0 and 0.5"):
        certify(certified_store, SPEC, [0.1, epsilon], SilentReport())


def test_another_policy_or_training_images_are_refused(certified_store: Path) -> None:
    with pytest.raises(StoreError, match="has no policy 'other'"):
        certify(certified_store, SPEC, [0.1], SilentReport(), policy="other")
    with pytest.raises(DataError, match="trained this classifier"):
        certify(certified_store, "digits@train[0:20]", [0.1], SilentReport())
