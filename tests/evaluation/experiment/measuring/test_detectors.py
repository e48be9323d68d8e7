"""What detectors say of the run's images, kept once it was computed."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import spearmanr

from evaluation.baselines import BaselineSettings, baselines
from evaluation.baselines.base import Baseline
from evaluation.experiment.material.config import Config
from evaluation.experiment.material.samples import Samples
from evaluation.experiment.material.subject import ExperimentSubject
from evaluation.experiment.measuring import detectors as module
from evaluation.experiment.measuring.detectors import (
    ATTACKS,
    CLEAN,
    FREE,
    OURS,
    Baselines,
    ScoredDetector,
    label_change_detector,
)
from evaluation.sample_set import SampleSet
from evaluation.workspace import Workspace
from mutant_guard.decision.calibration.recording import Recording
from mutant_store.networks.inference import logits
from tests.support.demo import SilentReport
from tests.support.experiment import SUSPICIOUS, Ran


@pytest.fixture(scope="module")
def calibration(subject: ExperimentSubject) -> SampleSet:
    """Rightly labelled calibration images."""
    found, model = subject.calibration, subject.model
    right = logits(model.network, model.classifier, found.images).argmax(axis=1) == found.labels
    return SampleSet(
        "calibration", found.images[right], found.labels[right], np.full(np.count_nonzero(right), -1)
    )


@pytest.fixture(scope="module")
def settings(ran: Ran) -> BaselineSettings:
    assert ran.settings.baselines is not None
    return ran.settings.baselines


@pytest.fixture(scope="module")
def scored(
    subject: ExperimentSubject, settings: BaselineSettings, ran: Ran, samples: Samples, calibration: SampleSet
) -> dict[str, ScoredDetector]:
    """All baselines, read from the run's workspace: to fit one again would fail."""

    def fails(*told: object) -> None:
        raise AssertionError(told)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Baseline, "fit", fails)
        made = Baselines(subject, settings, ran.workspace, SilentReport())
        return {one.name: one for one in made.scored(samples.sets, calibration)}


def _recording(*rows: str, correct: str = "xxx") -> Recording:
    return Recording(
        np.array([[letter == "x" for letter in row] for row in rows]),
        np.array([letter == "x" for letter in correct]),
    )


def test_the_label_change_rate_is_a_detector() -> None:
    normal = [_recording("....", "x...", "xx.."), _recording("x...", "....", "....")]
    wrong = [_recording("xxxx", "xxx."), _recording("....", "xx..")]
    clean = [
        _recording("....", "xxxx", "x...", correct="x.x"),
        _recording("xx..", "xxxx", "....", correct="x.x"),
    ]
    found = label_change_detector("nai", {"normal": normal, "wrong": wrong}, clean)
    assert (found.name, found.family, found.forward_passes, found.once) == ("LCR nai", OURS, 5.0, None)
    (kind,) = found.kinds
    scores = found.kinds[kind]
    assert kind == "wrong"
    assert scores.normal.tolist() == [[0, 0.25, 0.5], [0.25, 0, 0]]
    assert scores.kind.tolist() == [[1, 0.75], [0, 0.5]]
    assert scores.calibration.tolist() == [[0, 0.25], [0.5, 0]], "only rightly labelled ones count"


def test_all_baselines_score_all_kinds(
    scored: dict[str, ScoredDetector], settings: BaselineSettings, calibration: SampleSet
) -> None:
    assert list(scored) == [one.name for one in baselines(settings)]
    for detector in scored.values():
        assert list(detector.kinds) == SUSPICIOUS
        for scores in detector.kinds.values():
            assert scores.normal.shape == (1, 60)
            assert scores.kind.shape == (1, 20)
            assert scores.calibration.shape == (1, len(calibration))
            assert all(np.isfinite(each).all() for each in (scores.normal, scores.kind, scores.calibration))
    assert len(calibration) > 100


def test_families_say_what_a_detector_needs(scored: dict[str, ScoredDetector]) -> None:
    families = {name: detector.family for name, detector in scored.items()}
    assert [name for name, family in families.items() if family == FREE] == [
        "softmax confidence",
        "softmax entropy",
        "softmax margin",
    ]
    assert [name for name, family in families.items() if family == ATTACKS] == [
        "kernel density + uncertainty",
        "Mahalanobis",
        "local intrinsic dimensionality",
    ]
    assert all(scored[name].forward_passes > 1 for name, family in families.items() if family == CLEAN)


def test_what_was_trained_on_a_kind_says_other_things_of_normal_images(
    scored: dict[str, ScoredDetector],
) -> None:
    for detector in scored.values():
        normal = [scores.normal for scores in detector.kinds.values()]
        assert (normal[0] == normal[1]).all() == (detector.family != ATTACKS)


def test_softmax_confidence_is_that_of_the_classifier(
    scored: dict[str, ScoredDetector], samples: Samples, subject: ExperimentSubject
) -> None:
    model = subject.model
    for kind in SUSPICIOUS:
        images = samples.sets[kind].images
        values = logits(model.network, model.classifier, images).astype(np.float64)
        doubt = 1 - softmax(values, axis=1).max(axis=1)
        found = scored["softmax confidence"].kinds[kind].kind[0]
        assert spearmanr(found, doubt).statistic > 0.999
        assert np.exp(found) == pytest.approx(doubt, rel=1e-4, abs=1e-9)


def test_the_same_is_said_of_single_images(
    subject: ExperimentSubject,
    settings: BaselineSettings,
    ran: Ran,
    samples: Samples,
    scored: dict[str, ScoredDetector],
    calibration: SampleSet,
) -> None:
    made = Baselines(subject, settings, ran.workspace, SilentReport())
    again = {one.name: one for one in made.scored(samples.sets, calibration)}
    images = samples.sets["fgsm"].images
    for name in ("softmax confidence", "feature squeezing", "MC dropout"):
        once = again[name].once
        assert once is not None
        single = np.concatenate([once(image[None]) for image in images[:5]])
        assert single == pytest.approx(scored[name].kinds["fgsm"].kind[0, :5], rel=1e-3, abs=1e-4)


def test_a_detector_is_fitted_once_and_asked_in_parts(
    subject: ExperimentSubject,
    settings: BaselineSettings,
    samples: Samples,
    calibration: SampleSet,
    scored: dict[str, ScoredDetector],
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_TOGETHER", 17)
    monkeypatch.setattr(module, "baselines", lambda chosen: baselines(chosen)[:3])
    report = SilentReport()
    place = Workspace(tmp_path_factory.mktemp("detectors"))
    found = Baselines(subject, settings, place, report).scored(samples.sets, calibration)
    assert report.steps == [f"fitting {name}" for name in list(scored)[:3]]
    assert report.calls[:4] == [(17, 60), (34, 60), (51, 60), (60, 60)]
    for one in found:
        for kind in SUSPICIOUS:
            expected = scored[one.name].kinds[kind]
            assert one.kinds[kind].kind == pytest.approx(expected.kind, rel=1e-3, abs=1e-4)
            assert one.kinds[kind].calibration == pytest.approx(expected.calibration, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize(
    "change",
    [
        lambda settings, config: (settings.model_copy(update={"squeezing_bits": 2}), config),
        lambda settings, config: (settings, config.model_copy(update={"seed": 1})),
    ],
    ids=["settings", "seed"],
)
def test_scores_are_of_the_settings_and_the_seed(
    subject: ExperimentSubject,
    settings: BaselineSettings,
    ran: Ran,
    samples: Samples,
    calibration: SampleSet,
    change: Callable[..., tuple[BaselineSettings, Config]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Scores of other settings are not read."""
    asked = []

    def noted(detector: Baseline, *told: object) -> None:
        asked.append(detector.name)
        raise KeyboardInterrupt

    monkeypatch.setattr(Baseline, "fit", noted)
    other, config = change(settings, subject.config)
    elsewhere = ExperimentSubject(config, subject.folder)
    with pytest.raises(KeyboardInterrupt):
        Baselines(elsewhere, other, ran.workspace, SilentReport()).scored(samples.sets, calibration)
    assert asked == ["softmax confidence"]
