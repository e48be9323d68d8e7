import hashlib
import multiprocessing
import os
import re
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from mutant_guard.bank.session import open_session
from mutant_guard.errors import DataError, ModelError, StoreError
from mutant_guard.store.calibration_record import CalibrationSettings
from mutant_guard.store.manifest import Manifest
from mutant_guard.store.reader import Store, load_store
from mutant_store.bank.export import open_mutants
from mutant_store.build import build
from mutant_store.datasets import load
from mutant_store.loading.input_spec import InputOptions
from mutant_store.publishing.check import check_store
from mutant_store.publishing.publish import building
from tests.support.demo import SETTINGS, SilentReport, build_digits_store, train_digits_model


def contents(store: Store) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in store.path.iterdir()}


def test_parts_are_disjoint_and_recorded(published_store: tuple[Path, Store]) -> None:
    parts = published_store[1].manifest.data
    ranges = [parts.filter, parts.choice, parts.certification]
    assert [(r.start, r.stop) for r in ranges] == [(297, 597), (597, 747), (747, 897)]
    assert not any(a.overlaps(b) for i, a in enumerate(ranges) for b in ranges[i + 1 :])
    assert {r.source for r in ranges} == {load("digits@holdout").range.source}


def test_mutants_are_accurate_on_the_filter_part(published_store: tuple[Path, Store]) -> None:
    store = published_store[1]
    data = load(store.manifest.data.filter.spec)
    mutants = open_mutants(store)
    inputs = store.manifest.input.tensor(data.images)
    for index in (1, 17, 60):
        session = open_session(mutants.model(index, original_names=False).SerializeToString())
        accuracy = (session.run(None, {"images": inputs})[0].argmax(axis=1) == data.labels).mean()
        assert accuracy == pytest.approx(store.manifest.accuracies[index - 1])
        assert accuracy >= 0.9 * store.manifest.original_accuracy


def test_an_exported_mutant_keeps_the_users_names_and_differs_from_the_original(
    published_store: tuple[Path, Store],
) -> None:
    mutants = open_mutants(published_store[1])
    model = mutants.model(3)
    onnx.checker.check_model(model)
    assert [entry.name for entry in (*model.graph.input, *model.graph.output)] == ["pixels", "scores"]
    inputs = np.random.default_rng(0).random((20, 1, 8, 8)).astype(np.float32)
    answers = [
        open_session(m.SerializeToString()).run(None, {"pixels": inputs})[0]
        for m in (model, mutants.model(0))
    ]
    assert not np.allclose(*answers)
    with pytest.raises(StoreError, match="no mutant 61; the store has 1 to 60"):
        mutants.model(61)


def test_the_same_inputs_give_the_same_store_byte_for_byte(
    digits_model: Path, published_store: tuple[Path, Store], tmp_path: Path
) -> None:
    again = build_digits_store(digits_model, tmp_path / "digits")
    assert (again.version, contents(again)) == (published_store[1].version, contents(published_store[1]))
    other = build_digits_store(digits_model, tmp_path / "digits", seed=1)
    assert other.version != again.version
    assert load_store(tmp_path / "digits").version == other.version
    assert load_store(tmp_path / "digits", again.version).version == again.version


def kill_while(stage: Callable[[SilentReport], SilentReport], model: Path, out: Path, operator: str) -> None:
    """Build in a child process that kills itself, as hard as a power cut to the process can be."""

    def child() -> None:
        build_digits_store(model, out, report=stage(SilentReport()), mutants=400, operator=operator, jobs=2)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL


def killed_in_the_filter(report: SilentReport) -> SilentReport:
    def kill(done: int) -> None:
        if done > 100:
            os.kill(os.getpid(), signal.SIGKILL)

    return SilentReport(on_progress=kill)


class KilledBeforePublishing(SilentReport):
    def step(self, text: str) -> None:
        if text == "publishing":
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "operator"),
    [
        (killed_in_the_filter, "nai"),
        (killed_in_the_filter, "mixed:nai,gf"),
        (lambda report: KilledBeforePublishing(), "ws"),
    ],
)
def test_a_killed_build_is_refused_by_readers_and_goes_on_to_the_same_store(
    stage: Callable[[SilentReport], SilentReport], operator: str, digits_model: Path, tmp_path: Path
) -> None:
    kill_while(stage, digits_model, tmp_path / "digits", operator)
    with pytest.raises(StoreError, match="a build was not finished: run the same mutant-store build again"):
        load_store(tmp_path / "digits")
    report = SilentReport()
    resumed = build_digits_store(
        digits_model, tmp_path / "digits", report=report, mutants=400, operator=operator
    )
    fresh = build_digits_store(digits_model, tmp_path / "fresh" / "digits", mutants=400, operator=operator)
    assert contents(resumed) == contents(fresh)
    first = [done for done, total in report.calls if total in (400, 200)][:1]
    assert all(done > 100 for done in first)  # it did not begin again


def test_images_that_trained_the_classifier_are_refused(digits_model: Path, tmp_path: Path) -> None:
    from mutant_store.build import build

    for spec in ("digits@train", "digits@train[100:400]"):
        with pytest.raises(DataError, match=r"holds images that trained this classifier.*@holdout"):
            build(digits_model, spec, tmp_path / "s", SETTINGS, SilentReport())
    assert not (tmp_path / "s").exists()


def test_fewer_images_than_needed_is_said(digits_model: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds 50 images; .* at least 59, certifies .*: give 236 or more"):
        build(digits_model, "digits@holdout[0:50]", tmp_path / "s", SETTINGS, SilentReport())
    strict = replace(SETTINGS, calibration=CalibrationSettings(max_false_alarm=0.005))
    with pytest.raises(
        DataError,
        match=r"holds 600 images; .* at least 598, certifies .*: give 2392 or more.*\(to 0\.02 or more",
    ):
        build(digits_model, "digits@holdout", tmp_path / "s", strict, SilentReport())


def test_how_many_images_the_rate_needs_is_said_before_a_mutant_is_drawn(
    digits_model: Path, tmp_path: Path
) -> None:
    data, report = load("digits@holdout[0:240]"), SilentReport()
    mislabelled = np.where(np.arange(240) % 8 == 0, (data.labels + 1) % 10, data.labels)
    np.savez(tmp_path / "d.npz", x=data.images, y=mislabelled)
    said = (
        r"60 of its images certify; 5% false alarms at 95% confidence need 59 of these rightly classified, there are "
        r"(\d\d): give (2\d\d|3\d\d) images or more, or raise --max-false-alarm \(to (0\.0[5-8]\d?) or more for these\)"
    )
    with pytest.raises(DataError, match=said) as refused:
        build(digits_model, f"npz:{tmp_path}/d.npz", tmp_path / "s", SETTINGS, report)
    assert not any(step.startswith("drawing") for step in report.steps)
    found = re.search(said, str(refused.value))
    assert found
    right, images = int(found[1]), int(found[2])
    assert right < 59 <= images / 4 * right / 60
    enough = replace(SETTINGS, calibration=CalibrationSettings(max_false_alarm=float(found[3])))
    build(digits_model, f"npz:{tmp_path}/d.npz", tmp_path / "s", enough, report)
    need = f"need {enough.calibration.certification_images} of these rightly classified, there are"
    parts = "120 images filter the mutants, 60 choose the policies, 60 certify: "
    told = [step.startswith(parts) and need in step for step in report.steps]
    assert any(told)
    assert told.index(True) < [step.startswith("drawing") for step in report.steps].index(True)


def test_a_model_that_does_not_know_the_images_is_refused(digits_model: Path, tmp_path: Path) -> None:
    wrong = InputOptions(mean=[25.0], std=[0.01])
    with pytest.raises(ModelError, match=r"gets only .* right, no better than chance.*check --mean"):
        build_digits_store(digits_model, tmp_path / "s", input=wrong)


def test_classes_must_be_the_models(digits_model: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the model has 10 classes and --classes"):
        build_digits_store(digits_model, tmp_path / "s", classes=["a", "b"])
    digits, named = load("digits@holdout"), [f"digit {number}" for number in range(10)]
    np.savez(tmp_path / "named.npz", x=digits.images, y=digits.labels, classes=named)
    settings = replace(SETTINGS, classes=list("abcdefghij"))
    with pytest.raises(DataError, match="classes the model does not name: digit 0, digit 1, digit 2"):
        build(digits_model, f"npz:{tmp_path}/named.npz", tmp_path / "s", settings, SilentReport())


def test_unknown_data_kinds_and_operators_are_refused(digits_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no mutation operator"):
        build_digits_store(digits_model, tmp_path / "s", operator="magic")


def test_two_builds_of_one_store_do_not_run_at_once(digits_model: Path, tmp_path: Path) -> None:
    with building(tmp_path / "s"), pytest.raises(StoreError, match=r"another build of .* is running"):
        build_digits_store(digits_model, tmp_path / "s")


def test_a_model_that_ends_in_softmax_serves_probabilities(tmp_path: Path) -> None:
    model = train_digits_model(tmp_path / "m.onnx", softmax=True)
    store = build_digits_store(model, tmp_path / "s", mutants=10)
    assert store.manifest.output_kind == "probabilities"


@pytest.mark.parametrize(("operator", "decks"), [("ns", 1024), ("gf", 2), ("ws", 2), ("mixed:nai,ns,gf", 2)])
def test_every_operator_builds_a_store(operator: str, decks: int, digits_model: Path, tmp_path: Path) -> None:
    store = build_digits_store(digits_model, tmp_path / "s", operator=operator, rate=0.07, mutants=20)
    assert (store.manifest.operator, store.manifest.mutants) == (operator, 20)
    assert store.manifest.decks == decks
    _, compared, worst = check_store(tmp_path / "s", 20)
    assert compared == 20
    assert worst < 1e-4


def test_a_mixed_pool_takes_the_operators_in_turn_and_each_ones_first_mutants(
    digits_model: Path, published_store: tuple[Path, Store], tmp_path: Path
) -> None:
    mixed = build_digits_store(digits_model, tmp_path / "s", operator="mixed:nai,gf", mutants=21)
    pool = open_mutants(mixed).pool
    assert [mutant.operator for mutant in pool] == [*("nai", "gf") * 10, "nai"]
    alone = open_mutants(published_store[1]).pool
    for number, mutant in enumerate(pool[::2]):
        assert mutant.choice["neurons"].tolist() == alone[number].choice["neurons"].tolist()
    assert mixed.manifest.candidates[::2] == published_store[1].manifest.candidates[:11]


def test_a_rate_is_found_recorded_and_the_same_again(digits_model: Path, tmp_path: Path) -> None:
    report = SilentReport()
    found = build_digits_store(digits_model, tmp_path / "auto", report=report, rate=None, mutants=20).manifest
    assert any(step.startswith(f"rate {found.rate:g}: ") and "for all 20" in step for step in report.steps)
    assert 20 / found.candidates_drawn > 0.2
    given = build_digits_store(digits_model, tmp_path / "given", rate=found.rate, mutants=20).manifest
    assert given.candidates == found.candidates
    assert found.rates == {}
    higher = build_digits_store(digits_model, tmp_path / "higher", rate=4 * found.rate, mutants=4).manifest
    assert 4 / higher.candidates_drawn < 1 / 3


def test_each_operator_of_a_mixed_pool_gets_a_rate_of_its_own(digits_model: Path, tmp_path: Path) -> None:
    store = build_digits_store(digits_model, tmp_path / "s", operator="mixed:nai,gf", rate=None, mutants=6)
    rates = store.manifest.rates
    assert set(rates) == {"nai", "gf"}
    assert rates["nai"] == store.manifest.rate < rates["gf"]


def test_where_mutants_take_long_a_given_rate_is_tried_on_some_first(
    digits_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mutant_store.pool.selection._CHUNK_COST", 1.0)
    with pytest.raises(
        ModelError, match=r"none of 48 mutants keeps 90% .* on 64 images; at --rate 0\.\d+ \d+ of"
    ):
        build_digits_store(digits_model, tmp_path / "s", rate=0.9, mutants=4)
    report = SilentReport()
    store = build_digits_store(digits_model, tmp_path / "s", report=report, rate=0.05, mutants=4)
    assert store.manifest.rate == 0.05
    assert any(re.match(r"rate 0\.05: \d+ of 12 mutants keep .* for all 4$", step) for step in report.steps)


@pytest.mark.slow
@pytest.mark.parametrize("operator", ["nai", "mixed:ws,ns"])
def test_the_number_of_jobs_changes_no_byte(operator: str, digits_model: Path, tmp_path: Path) -> None:
    built = [
        build_digits_store(
            digits_model, tmp_path / str(jobs) / "s", operator=operator, mutants=200, jobs=jobs, rate=0.1
        )
        for jobs in (1, 3)
    ]
    assert contents(built[0]) == contents(built[1])


def test_the_sequential_filter_keeps_the_same_mutants_and_records_its_error(
    digits_model: Path, published_store: tuple[Path, Store], tmp_path: Path
) -> None:
    manifest = build_digits_store(digits_model, tmp_path / "s", filter_error=1e-6).manifest
    exact = published_store[1].manifest
    assert (exact.filter_error, manifest.filter_error) == (0, 1e-6)
    assert manifest.candidates == exact.candidates
    assert manifest.accuracies != exact.accuracies


@pytest.mark.parametrize(
    ("operator", "rate", "ratio", "remedy"),
    [
        ("nai", 0.9, 0.9, r"at --rate 0\.\d+ \d+ of 64 do: use that, or lower --accuracy-ratio"),
        ("gf", 1.0, 0.9, r"at --rate 0\.\d+ \d+ of 64 do"),
        ("nai", 0.9, 1.0, r"no lower rate helps either: lower --accuracy-ratio"),
    ],
)
def test_a_rate_hardly_any_mutant_survives_ends_with_one_that_works(
    operator: str, rate: float, ratio: float, remedy: str, digits_model: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=rf"only \d+ of 1024 mutants keep {ratio:.0%} .*; {remedy}"):
        build_digits_store(
            digits_model, tmp_path / "s", operator=operator, rate=rate, accuracy_ratio=ratio, mutants=100
        )


def test_only_layers_that_match_are_mutated(digits_model: Path, tmp_path: Path) -> None:
    store = build_digits_store(digits_model, tmp_path / "s", layers="dense0", rate=0.05, mutants=10)
    assert (store.manifest.layers, store.manifest.neurons) == (["dense0"], 32)
    _, compared, worst = check_store(tmp_path / "s", 10)
    assert compared == 10
    assert worst < 1e-4


def test_a_rate_that_switches_no_neurons_is_refused(digits_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"of 32 neurons, needs a rate above 0\.03125"):
        build_digits_store(digits_model, tmp_path / "s", operator="ns", rate=0.03)


def test_the_manifest_survives_a_round_trip(published_store: tuple[Path, Store]) -> None:
    manifest = published_store[1].manifest
    assert Manifest.model_validate_json(manifest.model_dump_json()) == manifest
    assert manifest.mutants == len(manifest.candidates) == len(manifest.accuracies) == 60
    assert manifest.neurons == 42
