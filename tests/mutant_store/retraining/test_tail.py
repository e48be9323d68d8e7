"""Tails: what lies before the cut stays the original's, and its features are computed once."""

import shutil
from collections import namedtuple
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mutant_guard.bank.session import IMAGES as INPUT
from mutant_guard.bank.session import open_session, run_session
from mutant_guard.errors import DataError, ModelError
from mutant_store.bank.export import open_mutants
from mutant_store.datasets import load
from mutant_store.graph.graph import Graph
from mutant_store.graph.neurons import find_layers
from mutant_store.graph.parameters import Parameters
from mutant_store.loading.subject import Subject
from mutant_store.publishing.check import check_store
from mutant_store.retraining.features import allocate_features, feature_parts, make_features
from mutant_store.retraining.job import (
    ADVERSARIAL_FEATURES,
    CHOSEN,
    CLEAN_FEATURES,
    IMAGES,
    PREFIX,
    TAIL,
    Job,
)
from mutant_store.retraining.tail import TailGraphs
from tests.support.retraining import RETRAINING, build_retrained, settings, subject_of


@pytest.fixture
def subject(digits_weights: Path) -> Subject:
    """The digits network, of which the last two layers are to be trained."""
    found = subject_of(digits_weights)
    return replace(found, layers=found.layers[2:])


@pytest.fixture
def tail_job(make_job: Callable[..., Job], subject: Subject) -> Job:
    """A job on its tail; adversarial images are there."""
    job, tail = make_job(), TailGraphs.of(subject)
    assert tail is not None
    (job.folder / PREFIX).write_bytes(tail.prefix)
    (job.folder / TAIL).write_bytes(tail.tail)
    job = replace(job, tail=tail.part(subject))
    allocate_features(job, tail.shape)
    return job


def test_features_are_what_the_original_computes_and_made_once(tail_job: Job) -> None:
    folder = tail_job.folder
    assert feature_parts(tail_job) == 2
    for number in range(2):
        make_features(tail_job, number, lambda _: None)
    prefix, tail = (open_session(folder / name) for name in (PREFIX, TAIL))
    original = open_session(folder / "original.onnx")
    assert tail_job.tail is not None
    for images, name in (
        (np.load(folder / IMAGES), CLEAN_FEATURES),
        (np.load(folder / "adversarial-0000.npy"), ADVERSARIAL_FEATURES),
    ):
        features = np.load(folder / name)
        inputs = tail_job.tail.input.tensor(images.transpose(0, 2, 3, 1))
        (expected,) = run_session(prefix, INPUT, inputs)
        assert features.dtype == np.float16
        assert np.array_equal(features, expected.astype(np.float16))
        scores = run_session(tail, INPUT, features.astype(np.float32))[0]
        assert np.allclose(scores, run_session(original, INPUT, inputs)[0], atol=0.05)
    np.save(folder / CLEAN_FEATURES, np.zeros_like(np.load(folder / CLEAN_FEATURES)))
    make_features(tail_job, 0, lambda _: None)
    assert not np.load(folder / CLEAN_FEATURES).any()  # the part is done already
    (folder / "features-0000.done").unlink()  # as where a build was killed in it
    allocate_features(tail_job, np.load(folder / CLEAN_FEATURES).shape[1:])
    make_features(tail_job, 0, lambda _: None)
    assert np.load(folder / CLEAN_FEATURES).any()


def test_a_full_disk_is_said_beforehand(
    make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10, 10, 0))
    with pytest.raises(DataError, match=r"take 0.2 GB and .* has 0.0 GB left: begin the tails at a smaller"):
        allocate_features(make_job(made=False), (1000, 20, 20))


def test_features_may_be_without_adversarial_ones(make_job: Callable[..., Job]) -> None:
    job = make_job(made=False)
    np.save(job.folder / CHOSEN, np.zeros(0, np.int64))
    allocate_features(job, (3,))
    assert np.load(job.folder / ADVERSARIAL_FEATURES, mmap_mode="r").shape == (0, 3)
    assert feature_parts(job) == 1


def test_layers_that_are_no_tail_are_refused(subject: Subject) -> None:
    with pytest.raises(ModelError, match="choose them with --from or --last"):
        TailGraphs.of(replace(subject, layers=subject.layers[:1]))


@pytest.mark.slow
def test_tail_mutants_have_the_originals_first_layers(digits_weights: Path, tmp_path: Path) -> None:
    chosen = replace(settings(), first="block 2")
    store = build_retrained(digits_weights, tmp_path / "s", chosen)
    manifest, mutants = store.manifest, open_mutants(store)
    graph = Graph(mutants.original)
    layers = find_layers(graph)
    assert manifest.layers == [layer.name for layer in layers[1:]]
    original = Parameters(graph, layers)
    values = []
    for number in (1, 2):
        changed = Graph(mutants.model(number))
        values.append(Parameters(changed, find_layers(changed)).values)
    for tensor in original.tensors:
        one, other, before = (v[tensor.start : tensor.stop] for v in (*values, original.values))
        assert np.array_equal(one, before) is (tensor.layer == 0)
        assert np.array_equal(one, other) is (tensor.layer == 0)
    assert check_store(tmp_path / "s", 2).worst < 1e-4
    data = load(manifest.data.filter.spec)
    scores = run_session(
        open_session(mutants.model(1).SerializeToString()), INPUT, manifest.input.tensor(data.images)
    )
    assert (scores[0].argmax(1) == data.labels).mean() == pytest.approx(manifest.accuracies[0])
    assert manifest.retraining is not None
    assert (manifest.retraining.shift, manifest.retraining.flip) == (0, False)


@pytest.mark.slow
def test_what_changes_pixels_does_not_go_with_tails(digits_weights: Path, tmp_path: Path) -> None:
    chosen = replace(settings(retraining=replace(RETRAINING, jitter=0.1)), first="block 2")
    with pytest.raises(ModelError, match="--shift and --jitter do not go with --from and --last"):
        build_retrained(digits_weights, tmp_path / "s", chosen)
