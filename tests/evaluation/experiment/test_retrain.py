"""A whole experiment with mutants that were trained again; its figures counted once more from what it kept."""

from pathlib import Path

import numpy as np
import pytest

from evaluation.experiment.material.pools import Pools, soft_evidence
from evaluation.experiment.material.samples import Samples, make_samples
from evaluation.experiment.material.subject import ExperimentSubject
from evaluation.experiment.measuring.verdicts import server_order
from evaluation.experiment.records.results import AgreementCell, Results
from mutant_guard.decision.evidence.kinds import UNIT
from mutant_guard.store.reader import RECORDINGS
from mutant_store.calibrating.recordings import unpack
from tests.support.demo import SilentReport
from tests.support.experiment import Ran
from tests.support.retrain_experiment import KINDS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ran(retrain_ran: Ran) -> Ran:
    return retrain_ran


@pytest.fixture(scope="module")
def results(ran: Ran) -> Results:
    return ran.results


@pytest.fixture(scope="module")
def pools(ran: Ran) -> Pools:
    settings = ran.settings
    spec, train = (settings.spec(split, Path()) for split in ("holdout", "train"))
    return Pools(settings.model, spec, settings.pools, ran.workspace, SilentReport(), 1, train)


@pytest.fixture(scope="module")
def samples(ran: Ran) -> Samples:
    return make_samples(ExperimentSubject(ran.settings, Path()), ran.workspace, SilentReport(), 1)


def test_doubts_are_recorded_of_trained_mutants_alone(pools: Pools, samples: Samples) -> None:
    for operator, soft in (("retrain", True), ("nai", False)):
        recording = pools.recorded(pools.keys(operator)[0], samples.sets["wrong"])
        assert (recording.doubts is not None) == (recording.own_doubts is not None) == soft
        assert recording.pool == (4 if soft else 24)
        store = pools.required(pools.keys(operator)[0])
        assert (soft_evidence(store) is not None) == soft


def test_the_doubt_detector_is_held_against_clean_images(
    pools: Pools, samples: Samples, results: Results
) -> None:
    shares: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for key in pools.keys("retrain"):
        store = pools.required(key)
        evidence = soft_evidence(store)
        assert evidence is not None
        parts = unpack(store.path / RECORDINGS)
        clean = []
        for name in ("choice", "certification"):
            part = parts[name].only_correct()
            assert part.doubts is not None
            assert part.own_doubts is not None
            clean.append(part.doubts.sum(axis=1) / UNIT + evidence.own_weight * part.own_doubts / UNIT)
        levels = np.concatenate(clean)
        threshold = min(level for level in levels if (levels > level).mean() <= 0.05)
        for kind in KINDS:
            found = pools.recorded(key, samples.sets[kind])
            assert found.doubts is not None
            assert found.own_doubts is not None
            sums = found.doubts.sum(axis=1) / UNIT + evidence.own_weight * found.own_doubts / UNIT
            shares[kind].append(float((sums > threshold + 1e-6).mean()))
    methods = {method.name: method for method in results.methods}
    cells = {(cell.method, cell.kind): cell for cell in results.cells}
    assert methods["doubt retrain"].forward_passes == 5
    assert methods["doubt retrain 2"].forward_passes == 3
    assert methods["doubt retrain"].false_alarms_5.value == pytest.approx(np.mean(shares["normal"]), abs=0.02)
    for kind in KINDS[1:]:
        assert cells["doubt retrain", kind].detected_5.value == pytest.approx(np.mean(shares[kind]), abs=0.03)


def test_verdicts_are_those_of_summed_doubts(pools: Pools, samples: Samples, results: Results) -> None:
    for kind in KINDS:
        alarms, mutants, lost = [], [], []
        for key in pools.keys("retrain"):
            store = pools.required(key)
            policy, evidence = store.policy("calibrated"), soft_evidence(store)
            assert evidence is not None
            recording = pools.recorded(key, samples.sets[kind])
            assert recording.doubts is not None
            assert recording.own_doubts is not None
            order = server_order(store, samples.sets[kind])
            at_most = policy.boundaries.normal_at_most
            threshold = int(policy.boundaries.adversarial_at_least[-1])
            for row, numbers, own in zip(recording.doubts, order, recording.own_doubts, strict=True):
                total, used = round(evidence.own_weight * int(own)), 0
                while total < threshold and (used == 0 or total > at_most[used]):
                    total, used = total + int(row[numbers[used]]), used + 1
                alarms.append(total >= threshold)
                mutants.append(used)
                whole = round(evidence.own_weight * int(own)) + int(row.sum())
                lost.append(whole >= threshold > total)
        (cell,) = [c for c in results.early if (c.policy, c.kind) == ("calibrated", kind)]
        assert cell.adversarial.value == pytest.approx(np.mean(alarms))
        assert cell.mutants.value == pytest.approx(np.mean(mutants))
        assert cell.lost.value == pytest.approx(np.mean(lost))
        assert cell.all_mutants.value == pytest.approx(np.mean(alarms) + np.mean(lost))


def test_labels_are_those_of_the_banks(pools: Pools, samples: Samples) -> None:
    key, some = pools.keys("retrain")[1], samples.sets["fgsm"]
    labels, recording = pools.labels(key, some), pools.recorded(key, some)
    assert labels.shape == (20, 5)
    assert ((labels[:, 1:] != labels[:, :1]) == recording.changes).all()
    assert (labels[:, 0] != some.labels).all()


def test_suggestions_are_of_the_alarms(results: Results) -> None:
    assert [(cell.policy, cell.kind) for cell in results.suggestions] == [
        ("calibrated", kind) for kind in KINDS
    ]
    for cell in results.suggestions:
        (early,) = [c for c in results.early if (c.policy, c.kind) == ("calibrated", cell.kind)]
        images = 2 * (60 if cell.kind == "normal" else 20)
        assert cell.alarms == round(early.adversarial.value * images)


def test_differences_are_those_of_the_cells(results: Results) -> None:
    cells = {(cell.method, cell.kind): cell for cell in results.cells}
    assert len(results.paired) == 2 * 3 * 2
    for pair in results.paired:
        ours, other = cells[pair.method, pair.kind], cells[pair.other, pair.kind]
        assert pair.method in {"doubt retrain", "doubt retrain 2"}
        assert pair.detected_5.value == pytest.approx(ours.detected_5.value - other.detected_5.value)
        assert ours.detected_1 is not None
        assert other.detected_1 is not None
        assert ours.auroc is not None
        assert other.auroc is not None
        assert pair.detected_1.value == pytest.approx(ours.detected_1.value - other.detected_1.value)
        assert pair.auroc.value == pytest.approx(ours.auroc.value - other.auroc.value, abs=1e-6)


def test_the_server_answers_what_the_evaluation_counts(results: Results) -> None:
    assert results.agreement == [
        AgreementCell(kind=kind, policy=policy, posted=3, same=3)
        for policy in ("calibrated", "fixed")
        for kind in KINDS
    ]


def test_an_attacker_trains_mutants_of_the_next_seed(ran: Ran, pools: Pools, results: Results) -> None:
    first, second = pools.keys("retrain")
    assert pools.another(first, 4).version == pools.required(second).version
    found = {(cell.attack, cell.knowledge) for cell in results.adaptive}
    assert found >= {("pgd", "none"), ("joint", "method"), ("joint", "store")}
    assert {cell.detector for cell in results.adaptive} == {
        "calibrated retrain",
        "doubt retrain",
        "softmax confidence",
    }


def test_pools_say_how_they_were_trained(results: Results, pools: Pools) -> None:
    assert [(pool.operator, pool.seed) for pool in results.trained] == [("retrain", 0), ("retrain", 1)]
    assert results.sizes == {"retrain": 4, "nai": 24}
    for pool, key in zip(results.trained, pools.keys("retrain"), strict=True):
        assert (pool.settings["share"], pool.settings["epochs"]) == (0.5, 2)
        assert len(pool.accuracies) == 4
        assert pool.seconds == pools.build_seconds(key)
        assert (pool.seconds or 0) > 0
        assert pool.threshold > 0
    assert pools.build_seconds(pools.keys("nai")[0]) is None


def test_targets_are_judged(results: Results) -> None:
    cells = {(cell.method, cell.kind): cell for cell in results.cells}
    fgsm, mutants, evading = results.targets
    assert fgsm.value == cells["doubt retrain", "fgsm"].detected_5
    assert fgsm.met == (fgsm.value.value >= 0.2)
    assert (mutants.at_most, mutants.images, mutants.met) == (True, 60, False)
    assert (evading.met, evading.images, evading.kind) == (None, 10, "joint, method known, ε 0.1")


def test_the_report_shows_it(ran: Ran) -> None:
    page = (ran.folder / "report.md").read_text(encoding="utf-8")
    for anchor in ("targets", "beside", "paired", "leaving-early", "suggested-labels", "training", "trained"):
        assert f'<a id="{anchor}"></a>' in page
    assert "4 by retrain and 24 by nai accurate mutants a pool" in page
