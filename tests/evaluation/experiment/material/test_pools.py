"""Stores are built once, and what their mutants do is recorded once."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from evaluation.experiment.material import pools as module
from evaluation.experiment.material.pool_settings import PoolSettings
from evaluation.experiment.material.pools import PoolKey, Pools
from evaluation.experiment.material.samples import Samples
from evaluation.experiment.material.subject import ExperimentSubject
from evaluation.sample_set import SampleSet
from evaluation.workspace import Workspace
from mutant_guard.errors import ModelError
from mutant_store.cluster.sent_store import SentStore
from tests.support.demo import SilentReport
from tests.support.experiment import KINDS, OPERATORS, Ran


@pytest.fixture
def spare(ran: Ran, tmp_path: Path) -> Pools:
    """The stores of the run, in a workspace that has no recordings yet."""
    (tmp_path / "stores").symlink_to(ran.work / "stores")
    settings = ran.settings.pools
    return Pools(ran.settings.model, "digits@holdout", settings, Workspace(tmp_path), SilentReport(), 1)


def test_a_pool_has_a_name_that_is_a_folder() -> None:
    assert PoolKey("nai", 0.05, 3).name == "nai-0.05-3"
    assert PoolKey("mixed:nai,ws", 0.005, 0).name == "mixed-nai-ws-0.005-0"


def test_there_is_a_pool_a_seed(pools: Pools) -> None:
    assert pools.keys("ws") == [PoolKey("ws", 0.05, 0), PoolKey("ws", 0.05, 1)]
    assert pools.keys("ws", 0.02) == [PoolKey("ws", 0.02, 0), PoolKey("ws", 0.02, 1)]


def test_a_store_is_what_was_asked_for(pools: Pools, ran: Ran) -> None:
    for operator in OPERATORS:
        versions = set()
        for key in pools.keys(operator):
            store = pools.store(key)
            assert store is not None
            manifest = store.manifest
            assert (manifest.operator, manifest.rate, manifest.seed) == (operator, 0.05, key.seed)
            assert manifest.mutants == 24
            assert manifest.filter_error == 1e-6
            assert store.calibration.settings == ran.settings.pools.calibration.decided([operator])
            assert min(manifest.accuracies) > 0.85 * manifest.original_accuracy
            versions.add(store.version)
        assert len(versions) == 2, "other seeds make other mutants"


def test_recordings_are_what_the_mutants_answer(pools: Pools, samples: Samples, ran: Ran) -> None:
    key = pools.keys("nai")[1]
    store = pools.store(key)
    assert store is not None
    some = samples.sets["wrong"]
    recording = pools.recorded(key, some)
    labels = store.session(threads=1).labels(store.manifest.input.tensor(some.images), np.arange(25))
    assert (recording.changes == (labels[:, 1:] != labels[:, :1])).all()
    assert (recording.correct == (labels[:, 0] == some.labels)).all()
    assert not recording.correct.any()
    assert (recording.changes == ran.changes("nai", 0.05, 1, "wrong")).all()
    assert 0 < recording.changes.mean() < 1


def test_nothing_is_recorded_twice(pools: Pools, samples: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "record", None)  # another recording would fail
    monkeypatch.setattr(module, "build", None)
    for operator in OPERATORS:
        for key in pools.keys(operator):
            for kind in KINDS:
                assert pools.recorded(key, samples.sets[kind]).pool == 24


def test_other_images_of_the_same_kind_are_recorded_anew(spare: Pools, samples: Samples) -> None:
    key, normal = spare.keys("nai")[0], samples.sets["normal"]
    turned = SampleSet("normal", normal.images[::-1].copy(), normal.labels[::-1].copy(), normal.sources)
    assert (spare.recorded(key, turned).changes == spare.recorded(key, normal).changes[::-1]).all()


def test_calibration_is_of_choice_and_certification(spare: Pools, subject: ExperimentSubject) -> None:
    key = spare.keys("ws")[0]
    found = spare.calibration(key)
    everything = SampleSet(
        "calibration", subject.calibration.images, subject.calibration.labels, np.full(300, -1)
    )
    expected = spare.recorded(key, everything)
    assert (found.changes == expected.changes).all()
    assert (found.correct == expected.correct).all()
    assert 100 < found.correct.sum() < 300


def test_where_nothing_can_be_changed_there_is_no_pool(pools: Pools, samples: Samples) -> None:
    key = PoolKey("ns", 0.02, 0)
    assert pools.store(key) is None
    assert pools.recording(key, samples.sets["normal"]) is None
    reason = pools.refused["ns", 0.02]
    assert "fewer than two neurons" in reason
    with pytest.raises(ModelError, match=r"there is no pool ns-0\.02-0: .*fewer than two"):
        pools.recorded(key, samples.sets["normal"])
    with pytest.raises(ModelError, match=r"there is no pool ns-0\.02-0: .*fewer than two"):
        pools.calibration(key)


def test_a_refusal_is_remembered(
    ran: Ran, subject: ExperimentSubject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pools() -> Pools:
        settings = ran.settings.pools
        return Pools(subject.config.model, "digits@holdout", settings, Workspace(tmp_path), SilentReport(), 1)

    key = PoolKey("ns", 0.02, 0)
    first = pools()
    assert first.refused == {}
    assert first.store(key) is None
    monkeypatch.setattr(module, "build", None)  # another attempt would fail
    second = pools()
    assert second.store(key) is None
    assert first.refused == second.refused == {("ns", 0.02): first.refused["ns", 0.02]}


def test_a_store_is_named_after_all_that_makes_it(tmp_path: Path) -> None:
    model = tmp_path / "m.onnx"
    model.write_bytes(b"one")

    def path(data: str = "digits@holdout", **changed: Any) -> Path:
        chosen = {
            "operators": ("gf",),
            "rates": (0.1,),
            "main_rate": 0.1,
            "seeds": (4,),
            "mutants": 7,
        } | changed
        settings = PoolSettings.model_validate(chosen)
        found = Pools(model, data, settings, Workspace(tmp_path), SilentReport(), 1)
        return found.path(PoolKey("gf", 0.1, 4))

    first = path()
    assert first.parent == tmp_path / "stores"
    assert first.name.startswith("gf-0.1-4-")
    assert path(seeds=(4, 5), rates=(0.1, 0.2)) == first  # other pools
    others = [
        path(mutants=8),
        path(filter_error=0.5),
        path(calibration={"max_false_alarm": 0.2}),
        path("digits@test"),
    ]
    model.write_bytes(b"another")
    assert len({first, *others, path()}) == 6


def test_settings_reach_the_store() -> None:
    settings = PoolSettings(
        operators=("gf",), rates=(0.1,), main_rate=0.1, seeds=(4,), mutants=7, filter_error=0.01
    )
    found = Pools(Path("m.onnx"), "digits@holdout", settings, Workspace(Path("w")), SilentReport(), 3)
    build = found.build_settings(PoolKey("gf", 0.1, 4))
    assert (build.operator, build.threads, build.calibration) == ("gf", 3, settings.calibration)
    chosen = build.selection
    assert (chosen.rate, chosen.mutants, chosen.seed, chosen.accuracy_ratio) == (0.1, 7, 4, 0.9)
    assert (chosen.filter_error, chosen.jobs) == (0.01, 3)
    assert replace(chosen, seed=5) == found.build_settings(PoolKey("gf", 0.1, 5)).selection


def test_a_cluster_records_the_same(
    ran: Ran, spare: Pools, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, some = spare.keys("nai")[0], samples.sets["normal"]
    cluster = SimpleNamespace(jobs=2, executor=partial(ThreadPoolExecutor, 2))
    monkeypatch.setattr(spare, "_cluster", cluster)
    monkeypatch.setattr(module, "record", None)  # tasks record
    recording = spare.recorded(key, some)
    assert (recording.changes == ran.changes("nai", 0.05, 0, "normal")).all()


def test_a_store_that_is_sent_answers_as_it_does_here(pools: Pools, samples: Samples) -> None:
    store = pools.required(pools.keys("nai")[0])
    tensors, everyone = store.manifest.input.tensor(samples.sets["normal"].images[:20]), np.arange(25)
    sent = pickle.loads(pickle.dumps(SentStore(store))).session()  # noqa: S301  as Ray does
    assert (sent.labels(tensors, everyone) == store.session(threads=1).labels(tensors, everyone)).all()
