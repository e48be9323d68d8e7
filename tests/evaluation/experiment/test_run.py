"""A whole experiment through the command: all cells, figures that can be counted again, runs that go on."""

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from evaluation.corruptions import shifted
from evaluation.experiment import run as module
from evaluation.experiment.material.samples import Samples
from evaluation.experiment.material.subject import ExperimentSubject
from evaluation.experiment.records.results import AgreementCell, Results
from mutant_store.calibrating.recordings import unpack
from mutant_store.datasets import load
from mutant_store.networks.inference import logits
from tests.support.experiment import KINDS, OPERATORS, SUSPICIOUS, Ran, config_text, run_cli, timeless

_POLICIES = ["calibrated", "fixed"]
_AT_RHO = ["paper ρ=1", "paper ρ=1.5"]
_BASELINES = [
    "softmax confidence",
    "softmax entropy",
    "softmax margin",
    "input perturbation",
    "feature squeezing",
    "MC dropout",
    "deep ensemble",
    "kernel density + uncertainty",
    "Mahalanobis",
    "local intrinsic dimensionality",
]
_TRAINED = _BASELINES[7:]
_JUDGES = ["calibrated nai", "LCR nai", "softmax confidence"]
_SHIFTS = ["noise 0.1", "noise 0.2", "blur", "contrast 0.3", "rotation", "inversion"]
_SHIFTS += ["uniform noise", "constant", "other data"]
_STEPS = ["adversarial images", "mutants and their label changes", "baselines", "cost"]
_STEPS += ["adaptive attacks", "shifted images", "the server"]


def _same_cells(found: list[Any], expected: list[Any]) -> None:
    """All of them, none twice; in any order."""
    assert Counter(found) == Counter(expected)


def test_every_kind_of_every_operator_has_its_cells(results: Results) -> None:
    everywhere = [(operator, 0.05, kind) for operator in OPERATORS for kind in KINDS]
    # At the other rate, where NS has no pool, only the kinds that the paper has too.
    elsewhere = [(operator, 0.02, kind) for operator in ("nai", "ws") for kind in KINDS[:3]]
    places = everywhere + elsewhere
    suspicious = [place for place in places if place[2] != "normal"]
    _same_cells([(c.operator, c.rate, c.kind) for c in results.label_change_rates], places)
    _same_cells([(c.operator, c.rate, c.kind) for c in results.distances], suspicious)
    _same_cells([(c.operator, c.rate, c.kind) for c in results.aurocs], suspicious)
    at_main = [(operator, kind) for operator in OPERATORS for kind in KINDS]
    _same_cells(
        [(c.operator, c.rho, c.kind) for c in results.detection],
        [(operator, rho, kind) for operator, kind in at_main for rho in (1.0, 1.5)],
    )
    _same_cells(
        [(c.operator, c.policy, c.kind) for c in results.policies],
        [(operator, policy, kind) for operator, kind in at_main for policy in _POLICIES],
    )
    _same_cells([(c.operator, c.kind) for c in results.histograms], at_main)
    _same_cells(
        [(c.policy, c.kind) for c in results.mutants_used],
        [(f"{name} {operator}", kind) for operator, kind in at_main for name in _POLICIES + _AT_RHO],
    )
    assert [cost.operator for cost in results.costs] == OPERATORS
    assert [row.operator for row in results.paper_detection] == OPERATORS
    assert [record.kind for record in results.kinds] == KINDS
    assert [scatter.kind for scatter in results.scatter] == KINDS


def test_every_detector_has_its_cells(results: Results) -> None:
    scored = [f"LCR {operator}" for operator in OPERATORS] + _BASELINES
    judged = [f"{name} {operator}" for operator in OPERATORS for name in _POLICIES + _AT_RHO]
    _same_cells([method.name for method in results.methods], scored + judged)
    _same_cells(
        [(cell.method, cell.kind) for cell in results.cells],
        [(name, kind) for name in scored + judged for kind in SUSPICIOUS],
    )
    _same_cells(
        [(curve.method, curve.kind) for curve in results.curves],
        [(name, kind) for name in scored for kind in SUSPICIOUS],
    )
    for method in results.methods:
        assert (method.milliseconds is None) == method.name.startswith("paper ")
        assert method.milliseconds is None or method.milliseconds > 0
    for cell in results.cells:
        assert (cell.auroc is None) == (cell.detected_1 is None) == (cell.method in judged)


def test_nobody_is_left_out_of_the_robustness(results: Results) -> None:
    attacks = [("pgd", "none"), ("joint", "method"), ("joint", "store")]
    attacks += [("worst case", knowledge) for knowledge in ("none", "method", "store")]
    _same_cells(
        [(c.attack, c.knowledge, c.epsilon, c.detector) for c in results.adaptive],
        [(*attack, 0.1, judge) for attack in attacks for judge in _JUDGES],
    )
    assert [shift.shift for shift in results.shifts] == _SHIFTS
    assert all(list(shift.alarms) == _JUDGES for shift in results.shifts)
    assert results.shifts[-1].images == 20


def test_pools_say_how_they_came_about(results: Results) -> None:
    places = [(o, r, s) for o in OPERATORS for r in (0.02, 0.05) for s in (0, 1)]
    assert [(pool.operator, pool.rate, pool.seed) for pool in results.pools] == places
    for pool in results.pools:
        if (pool.operator, pool.rate) == ("ns", 0.02):
            assert pool.drawn is None
            assert "fewer than two neurons" in (pool.refused or "")
        else:
            assert pool.refused is None
            assert (pool.drawn or 0) >= 24


def test_what_was_run_is_written_down(results: Results, ran: Ran, subject: ExperimentSubject) -> None:
    assert (results.name, results.title, results.data) == ("digits", "Digits, in brief", "digits@test")
    assert results.model == subject.model.name
    assert (results.operators, results.rates) == (OPERATORS, [0.02, 0.05])
    assert results.main_rates == dict.fromkeys(OPERATORS, 0.05)
    assert (results.seeds, results.mutants, results.folded) == ([0, 1], 24, False)
    right = int((subject.predicted == subject.test.labels).sum())
    assert (results.test_images, results.accuracy.value) == (297, right / 297)
    assert list(results.environment.seconds) == _STEPS
    assert {"torch", "onnxruntime"} <= set(results.environment.versions)
    assert results.environment.hardware
    assert ran.output.endswith(f"wrote {ran.folder}/report.md\n")


def _numbers(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Every leaf, with where it is."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _numbers(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _numbers(inner, f"{path}[{number}]")
    else:
        yield path, value


def _intervals(value: object, path: str = "") -> Iterator[tuple[str, dict[str, float]]]:
    if isinstance(value, dict):
        if {"value", "low", "high"} == value.keys():
            yield path, value
        for key, inner in value.items():
            yield from _intervals(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _intervals(inner, f"{path}[{number}]")


def test_figures_are_numbers_within_their_intervals(ran: Ran) -> None:
    content = json.loads((ran.folder / "results.json").read_bytes())
    floats = [(path, value) for path, value in _numbers(content) if isinstance(value, float)]
    assert len(floats) > 3000
    assert all(isfinite(value) for _, value in floats)
    found = list(_intervals(content))
    assert len(found) > 300
    for path, each in found:
        assert each["low"] - 1e-6 <= each["value"] <= each["high"] + 1e-6, path
        if not path.startswith(".distances"):
            assert -1e-6 <= each["low"] <= each["high"] <= 1 + 1e-6 or path.startswith(".differences"), path


def test_the_server_answers_what_the_evaluation_counts(results: Results) -> None:
    assert results.agreement == [
        AgreementCell(kind=kind, policy=policy, posted=3, same=3) for policy in _POLICIES for kind in KINDS
    ]


def _kept_scores(ran: Ran, name: str, kind: str) -> NDArray[np.float64]:
    values: NDArray[Any] = ran.kept("scores", f"{name}-{kind.replace('/', '_')}")["values"]
    return values.astype(np.float64)


@pytest.mark.parametrize("name", [name for name in _BASELINES if name not in _TRAINED])
def test_baselines_figures_are_those_of_their_scores(ran: Ran, results: Results, name: str) -> None:
    normal, clean = _kept_scores(ran, name, "normal"), _kept_scores(ran, name, "calibration")
    thresholds = {
        share: min(level for level in clean if (clean > level).mean() <= share) for share in (0.01, 0.05)
    }
    (row,) = [method for method in results.methods if method.name == name]
    assert row.false_alarms_1 is not None
    assert row.false_alarms_1.value == pytest.approx((normal > thresholds[0.01]).mean())
    assert row.false_alarms_5.value == pytest.approx((normal > thresholds[0.05]).mean())
    for kind in SUSPICIOUS:
        (cell,) = [cell for cell in results.cells if (cell.method, cell.kind) == (name, kind)]
        found = _kept_scores(ran, name, kind)
        truth = np.repeat([0, 1], [len(normal), len(found)])
        assert cell.auroc is not None
        assert cell.detected_1 is not None
        area = roc_auc_score(truth, np.concatenate([normal, found]))
        assert cell.auroc.value == pytest.approx(area, abs=1e-6)
        assert cell.detected_1.value == pytest.approx((found > thresholds[0.01]).mean())
        assert cell.detected_5.value == pytest.approx((found > thresholds[0.05]).mean())


def test_thresholds_come_from_rightly_labelled_calibration_images(
    ran: Ran, subject: ExperimentSubject
) -> None:
    model, calibration = subject.model, subject.calibration
    labels = logits(model.network, model.classifier, calibration.images).argmax(axis=1)
    right = int((labels == calibration.labels).sum())
    assert 100 < right < 300
    for name in _BASELINES:
        assert len(_kept_scores(ran, name, "calibration")) == right


def _threshold(ran: Ran, judge: str) -> float:
    """That at most 5 % of the clean calibration images are above."""
    if judge == "LCR nai":
        (path,) = (ran.work / "stores").glob("nai-0.05-0-*/*/label_changes.safetensors")
        clean = np.concatenate([part.changes[part.correct].mean(axis=1) for part in unpack(path).values()])
    else:
        clean = _kept_scores(ran, judge, "calibration")
    return float(min(level for level in clean if (clean > level).mean() <= 0.05))


def _rates(ran: Ran, kind: str) -> NDArray[np.float64]:
    return np.asarray(ran.changes("nai", 0.05, 0, kind).mean(axis=1))


def test_shifted_images_alarm_as_their_label_changes_say(
    ran: Ran, results: Results, subject: ExperimentSubject
) -> None:
    part, model = subject.right, subject.model
    other = load("digits@train[0:20]").images
    made = shifted(subject.test.images[part], subject.test.labels[part], part, 0, other)
    threshold = _threshold(ran, "LCR nai")
    for cell, shift in zip(results.shifts, made, strict=True):
        assert (cell.shift, cell.images) == (shift.kind, len(shift))
        assert cell.alarms["LCR nai"].value == pytest.approx((_rates(ran, shift.kind) > threshold).mean())
        labels = logits(model.network, model.classifier, shift.images).argmax(axis=1)
        right = (labels == shift.labels).mean()
        assert cell.accuracy == (None if shift.labels[0] < 0 else pytest.approx(right))


def test_adaptive_attacks_evade_as_their_label_changes_say(
    ran: Ran, results: Results, subject: ExperimentSubject
) -> None:
    model, labels = subject.model, subject.test.labels[subject.right[:10]]
    threshold = _threshold(ran, "LCR nai")
    pgd = ran.kept("adaptive", "pgd")["images"]
    fools = logits(model.network, model.classifier, pgd).argmax(axis=1) != labels
    alarm = _rates(ran, "pgd-none-0.1") > threshold
    cells = {(c.attack, c.knowledge, c.detector): c for c in results.adaptive}
    cell = cells["pgd", "none", "LCR nai"]
    assert cell.images == 10
    assert cell.success.value == fools.mean()
    assert cell.evading.value == (fools & ~alarm).mean()
    assert cell.robust_accuracy.value == 1 - (fools & ~alarm).mean()
    for judge in _JUDGES:
        ladder = [cells["worst case", knowledge, judge] for knowledge in ("none", "method", "store")]
        robust = [each.robust_accuracy.value for each in ladder]
        assert robust == sorted(robust, reverse=True)
        assert ladder[2].success.value >= cells["joint", "store", judge].success.value


def test_pictures_show_images_in_their_order(
    ran: Ran, results: Results, samples: Samples, subject: ExperimentSubject
) -> None:
    model = subject.model
    for scatter in results.scatter:
        values = logits(model.network, model.classifier, samples.sets[scatter.kind].images).astype(float)
        exact = np.exp(values - values.max(axis=1, keepdims=True))
        assert scatter.confidence == pytest.approx((exact.max(axis=1) / exact.sum(axis=1)).tolist())
        assert scatter.label_change_rate == pytest.approx(_rates(ran, scatter.kind).tolist())


def test_what_differs_from_the_paper_is_explained_where_it_can_be(results: Results) -> None:
    assert {one.table for one in results.differences} >= {"AUROC", "label change rate"}
    for one in results.differences:
        assert one.explanation == ("these are digits" if one.table == "AUROC" else None)
        margin = one.paper.half_width or 0.0
        assert one.interval.low > one.paper.value + margin or one.interval.high < one.paper.value - margin


def test_the_report_shows_it(ran: Ran, results: Results) -> None:
    page = (ran.folder / "report.md").read_text()
    assert page.startswith("# Digits, in brief\n")
    assert "these are digits" in page
    assert "fewer than two neurons" in page
    for name in [*(method.name for method in results.methods), *_SHIFTS, *KINDS]:
        assert f"| {name} |" in page or f"`{name}`" in page, name
    pictures = {path.name for path in ran.folder.glob("*.png")}
    assert {"roc.png", "cost.png", "adaptive.png", "paper-rates.png"} <= pictures


def _contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "seconds.json"
    }


@pytest.mark.slow
def test_a_second_run_reads_everything(
    ran: Ran, results: Results, copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _Quick(results, monkeypatch)
    before, seconds = _contents(copy), ran.results.environment.seconds
    result = run_cli(ran.config, tmp_path / "report", copy)
    assert result.exit_code == 0, result.output
    again = Results.model_validate_json((tmp_path / "report" / "results.json").read_bytes())
    assert timeless(again) == timeless(ran.results)
    assert _contents(copy) == before
    spent = again.environment.seconds
    assert list(spent) == _STEPS
    assert all(spent[step] >= seconds[step] for step in _STEPS)
    assert sum(spent.values()) > sum(seconds.values())
    assert json.loads((copy / "seconds.json").read_bytes()) == spent


class _Quick:
    """Reruns without a server and without pictures, which have nothing to do with what was kept."""

    def __init__(self, results: Results, monkeypatch: pytest.MonkeyPatch) -> None:
        self._results = results
        monkeypatch.setattr(module, "agreement", self._agreement)
        monkeypatch.setattr("evaluation.report.write.plots", lambda results: {})

    def _agreement(self, store: Path, policy: str, *told: object) -> list[AgreementCell]:
        return [cell for cell in self._results.agreement if cell.policy == policy]


@pytest.fixture
def copy(ran: Ran, tmp_path: Path) -> Path:
    """A copy of the workspace."""
    return Path(shutil.copytree(ran.work, tmp_path / "work"))


def _one(folder: Path, pattern: str) -> Path:
    (path,) = folder.glob(pattern)
    return path


@pytest.mark.slow
def test_a_run_goes_on_where_another_was_killed(
    ran: Ran, results: Results, copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _Quick(results, monkeypatch)
    whole = _contents(copy)
    for pattern in (
        "attacks/pgd-*",
        "recordings/ws-0.05-1-fgsm-*",
        "recordings/nai-0.05-0-rotation-*",
        "scores/MC dropout-wrong-*",
        "scores/Mahalanobis-normal-*",
        "stores/ns-0.02-1-*.refused.txt",
    ):
        _one(copy, pattern).unlink()
    shutil.rmtree(_one(copy, "stores/ns-0.05-1-*"))
    _one(copy, "stores/ws-0.02-0-*/CURRENT").unlink()  # killed while its store was built
    for number, pattern in enumerate(
        ("attacks/fgsm-*", "recordings/nai-0.05-1-normal-*", "scores/softmax margin-fgsm-*", "adaptive/pgd-*")
    ):
        damaged = _one(copy, pattern)
        damaged.write_bytes([damaged.read_bytes()[:-5], b"", b"no safetensors", b"\0" * 64][number])

    def killed(*told: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "shifted", killed)
        stopped = run_cli(ran.config, tmp_path / "report", copy)
    assert stopped.exit_code != 0
    assert not (tmp_path / "report").exists()
    assert _one(copy, "recordings/ws-0.05-1-fgsm-*")
    assert not list(copy.glob("recordings/nai-0.05-0-rotation-*"))

    result = run_cli(ran.config, tmp_path / "report", copy)
    assert result.exit_code == 0, result.output
    again = Results.model_validate_json((tmp_path / "report" / "results.json").read_bytes())
    assert timeless(again) == timeless(results)
    restored = _contents(copy)
    assert restored.keys() >= whole.keys()
    # All but the time that the attacks took is there again, to the last bit.
    differ = {name for name in whole if restored[name] != whole[name]}
    assert {name.partition("-")[0] for name in differ} <= {"attacks/fgsm", "attacks/pgd"}


@pytest.mark.slow
def test_an_experiment_may_be_of_less(
    ran: Ran, copy: Path, results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No paper, no baselines, no adaptive attacks, no other data; one operator, one pool."""
    _Quick(results, monkeypatch)
    text = config_text(ran.settings.model)
    start, end = text.index("[baselines]"), text.index("[[explanations]]")
    less = text[:start] + text[end:]
    for old, new in (
        ('other = "digits@train[0:20]"\n', ""),
        ('paper = "mnist"\n', ""),
        ('["nai", "ws", "ns"]', '["ws"]'),
        ("seeds = [0, 1]", "seeds = [0]"),
    ):
        assert old in less
        less = less.replace(old, new, 1)
    config = tmp_path / "less.toml"
    config.write_text(less)
    result = run_cli(config, tmp_path / "report", copy)
    assert result.exit_code == 0, result.output
    found = Results.model_validate_json((tmp_path / "report" / "results.json").read_bytes())
    assert (found.name, found.operators, found.adaptive, found.differences) == ("less", ["ws"], [], [])
    assert [method.name for method in found.methods] == [
        "LCR ws",
        *(f"{name} ws" for name in _POLICIES + _AT_RHO),
    ]
    assert all(list(shift.alarms) == ["calibrated ws", "LCR ws"] for shift in found.shifts)
    assert [shift.shift for shift in found.shifts] == _SHIFTS[:-1]
    assert found.costs[0].paper is None
    assert found.paper_detection == []
    assert all(cell.paper is None for cell in found.label_change_rates)
    before = {
        (cell.rate, cell.kind): cell.per_pool[0]
        for cell in results.label_change_rates
        if cell.operator == "ws"
    }
    assert {(cell.rate, cell.kind): cell.per_pool[0] for cell in found.label_change_rates} == before
    assert (tmp_path / "report" / "report.md").read_text().startswith("# Digits, in brief\n")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('operators = ["nai", "ws", "ns"]', 'operators = ["ns", "ws"]', "the first operator has no mutants"),
        ("rhos = [1.0, 1.5]", "rhos = [1.0, 900.0]", "gives no test"),
        ('other = "digits@train[0:20]"', 'other = "npz:nowhere.npz"', "nowhere.npz"),
    ],
)
def test_what_cannot_end_well_is_refused_before_anything_long(
    ran: Ran, copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, said: str
) -> None:
    monkeypatch.setattr(module, "make_samples", None)  # images would fail
    text = config_text(ran.settings.model)
    start, end = text.index("[adaptive]"), text.index("[[explanations]]")
    text = (text[:start] + text[end:]).replace("main_rate = 0.05", "main_rate = 0.02")
    assert old in text
    config = tmp_path / "bad.toml"
    config.write_text(text.replace(old, new, 1))
    result = run_cli(config, tmp_path / "report", copy)
    assert result.exit_code == 1
    assert said in " ".join(result.output.split())
    assert "Traceback" not in result.output
