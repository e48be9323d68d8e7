"""Images of every kind, and the record of how they were made."""

from pathlib import Path

import numpy as np
import pytest

from evaluation.attacks.settings import Fgsm
from evaluation.experiment.material.config import Config
from evaluation.experiment.material.samples import Samples, make_samples
from evaluation.experiment.material.subject import ExperimentSubject
from evaluation.workspace import Workspace
from mutant_guard.errors import DataError
from mutant_store.networks.inference import logits
from tests.support.demo import SilentReport
from tests.support.experiment import KINDS, Ran


def test_what_is_kept_as_fooling_fools(samples: Samples, subject: ExperimentSubject) -> None:
    model = subject.model
    for kind in ("fgsm", "pgd 51/255"):
        found = samples.sets[kind]
        assert len(found) == 20
        labels = logits(model.network, model.classifier, found.images).argmax(axis=1)
        assert (labels != found.labels).all()
        clean = subject.test.images[found.sources]
        assert (subject.predicted[found.sources] == found.labels).all()
        assert (subject.test.labels[found.sources] == found.labels).all()
        moved = np.abs(found.images.astype(int) - clean)
        assert 0 < moved.max() <= 51
        assert (moved.max(axis=(1, 2, 3)) > 0).all()


def test_kinds_are_recorded_in_their_order(samples: Samples, subject: ExperimentSubject) -> None:
    assert list(samples.sets) == [record.kind for record in samples.records] == KINDS
    assert all(found.kind == kind for kind, found in samples.sets.items())
    records = {record.kind: record for record in samples.records}
    for kind in ("normal", "wrong"):
        clean = records[kind]
        assert (clean.paper, clean.method, clean.settings, clean.success) == (kind, None, {}, None)
        assert clean.images == clean.attempts == len(samples.sets[kind])
        assert clean.l2 is None
    assert [records[kind].paper for kind in KINDS[2:]] == ["fgsm", None]
    assert [records[kind].method for kind in KINDS[2:]] == ["fgsm", "pgd"]
    assert records["fgsm"].settings == {"epsilon": 0.2}
    assert records["pgd 51/255"].settings == {
        "epsilon": 0.2,
        "step": 0.05,
        "iterations": 5,
        "restarts": 0,
        "targeted": False,
    }


def test_distances_and_success_are_measured(samples: Samples, subject: ExperimentSubject, ran: Ran) -> None:
    for attack, record in zip(subject.config.attacks, samples.records[2:], strict=True):
        found = samples.sets[record.kind]
        moved = (found.images.astype(float) - subject.test.images[found.sources]).reshape(20, -1) / 255
        assert record.l2 == pytest.approx(np.linalg.norm(moved, axis=1).mean())
        assert record.linf == pytest.approx(np.abs(moved).max(axis=1).mean())
        assert record.linf_most == pytest.approx(np.abs(moved).max())
        assert record.attempts == 100
        kept = ran.kept("attacks", attack.method)  # one chunk, so all of its attempts
        assert record.success is not None
        assert record.success.value == kept["fooled"].sum() / 100
        assert record.success.low < record.success.value < record.success.high
        assert record.seconds == kept["seconds"][0]


def test_an_attack_that_never_fools_is_recorded_without_images(
    config: Config, subject: ExperimentSubject, tmp_path: Path
) -> None:
    harmless = Fgsm(name="harmless", epsilon=1e-4, samples=5, attempts=30)
    other = ExperimentSubject(config.model_copy(update={"attacks": (harmless,)}), subject.folder)
    report = SilentReport()
    found = make_samples(other, Workspace(tmp_path), report, 1)
    assert list(found.sets) == ["normal", "wrong"]
    record = found.records[-1]
    assert (record.kind, record.images, record.attempts) == ("harmless", 0, 30)
    assert record.success is not None
    assert (record.success.value, record.l2, record.linf, record.linf_most) == (0.0, None, None, None)
    assert report.steps[-1] == "harmless: 0 of 30 attempts fool"


@pytest.mark.parametrize(("wrong", "kind"), [(False, "wrong"), (True, "normal")])
def test_a_kind_without_images_is_refused(
    config: Config, subject: ExperimentSubject, tmp_path: Path, wrong: bool, kind: str
) -> None:
    other = ExperimentSubject(config, subject.folder)
    labels = (subject.test.labels + wrong) % 10
    other.__dict__["predicted"] = labels
    with pytest.raises(DataError, match=rf"digits@test has no {kind} image; nothing can be measured"):
        make_samples(other, Workspace(tmp_path), SilentReport(), 1)
