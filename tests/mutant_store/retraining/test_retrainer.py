"""Builds of retrained mutants: what is in the store, and that neither kills nor jobs change it."""

import hashlib
import multiprocessing
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from mutant_guard.bank.session import open_session
from mutant_guard.errors import DataError, ModelError, StoreError
from mutant_guard.store.reader import Store, load_store
from mutant_store.bank.export import open_mutants
from mutant_store.datasets import load
from mutant_store.graph.graph import Graph
from mutant_store.graph.neurons import find_layers
from mutant_store.graph.parameters import Parameters
from mutant_store.networks import weights
from mutant_store.publishing.check import check_store
from tests.support.demo import SilentReport
from tests.support.retraining import RETRAINING, TRAIN, build_retrained, settings

pytestmark = pytest.mark.slow


def contents(store: Store) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in store.path.iterdir()}


def test_the_manifest_says_how_mutants_were_trained(retrained_store: Store) -> None:
    manifest = retrained_store.manifest
    record = manifest.retraining
    assert record is not None
    assert (manifest.operator, manifest.rate, manifest.decks) == ("retrain", record.share, 1024)
    assert (record.network, record.epochs, record.epsilons) == ("digits-net", 2, [0.1, 0.2])
    assert (record.labels, record.device, record.adversarial_images) == ("data", "cpu", 100)
    assert record.data.spec == TRAIN
    assert record.data.source == manifest.data.filter.source
    assert not any(
        record.data.overlaps(part)
        for part in (manifest.data.filter, manifest.data.choice, manifest.data.certification)
    )
    assert manifest.data.train == load(TRAIN).portable_range  # from the ONNX file beside the weights


def test_bank_and_stand_alone_mutants_agree_and_keep_their_accuracy(retrained_store: Store) -> None:
    _, compared, worst = check_store(retrained_store.path.parent, 2)
    assert compared == 2
    assert worst < 1e-4
    manifest = retrained_store.manifest
    data = load(manifest.data.filter.spec)
    mutants = open_mutants(retrained_store)
    for index in (1, 2):
        session = open_session(mutants.model(index).SerializeToString())
        (scores,) = session.run(None, {"images": manifest.input.tensor(data.images)})
        accuracy = (scores.argmax(axis=1) == data.labels).mean()
        assert accuracy == pytest.approx(manifest.accuracies[index - 1])
        assert accuracy >= 0.8 * manifest.original_accuracy


def test_every_layer_of_every_mutant_is_its_own(retrained_store: Store) -> None:
    mutants = open_mutants(retrained_store)
    graph = Graph(mutants.original)
    original = Parameters(graph, find_layers(graph))
    one, other = (mutant.choice["values"] for mutant in mutants.pool)
    assert [mutant.choice.keys() for mutant in mutants.pool] == [{"values"}] * 2
    for tensor in original.tensors:
        place = slice(tensor.start, tensor.stop)
        for mine, theirs in ((one, other), (one, original.values), (other, original.values)):
            assert not np.array_equal(mine[place], theirs[place])


def test_jobs_and_kills_change_no_byte(digits_weights: Path, retrained_store: Store, tmp_path: Path) -> None:
    """Killed in the second mutant's second epoch, alone; then gone on with in two processes."""
    process = multiprocessing.get_context("spawn").Process(
        target=killed_build, args=(digits_weights, tmp_path / "digits", 3)
    )
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    with pytest.raises(StoreError, match="a build was not finished"):
        load_store(tmp_path / "digits")
    report = SilentReport()
    resumed = build_retrained(digits_weights, tmp_path / "digits", settings(jobs=2), report)
    assert contents(resumed) == contents(retrained_store)
    epochs = [done for done, total in report.calls if total == 4]
    assert min(epochs) >= 2  # the first mutant was there


def killed_build(model: Path, out: Path, epoch: int) -> None:
    torch.set_num_threads(1)

    class Killing(SilentReport):
        def progress(self, done: int, total: int, note: str) -> None:
            if total == 4 and done == epoch:
                os.kill(os.getpid(), signal.SIGKILL)

    build_retrained(model, out, report=Killing())


def test_nothing_of_the_training_is_left_in_the_store(retrained_store: Store) -> None:
    entries = {path.name for path in retrained_store.path.parent.iterdir()}
    assert entries == {"CURRENT", ".lock", retrained_store.version}
    assert not any("retraining" in path.name for path in retrained_store.path.iterdir())


def test_mixed_pools_have_equal_shares(digits_weights: Path, tmp_path: Path) -> None:
    chosen = settings(operator="mixed:retrain,nai", mutants=4)
    store = build_retrained(digits_weights, tmp_path / "s", chosen)
    assert [mutant.operator for mutant in open_mutants(store).pool] == ["retrain", "nai"] * 2
    assert store.manifest.rate == 0.05
    assert store.manifest.retraining is not None
    assert check_store(tmp_path / "s", 4)[2] < 1e-4


def test_without_labels_the_originals_answers_are_learned(digits_weights: Path, tmp_path: Path) -> None:
    """Labels of the training images are wrong on purpose: nobody reads them."""
    data = load(TRAIN)
    np.savez(tmp_path / "d.npz", x=data.images, y=np.zeros(len(data), dtype=np.int64))
    retraining = replace(RETRAINING, train_data=f"npz:{tmp_path / 'd.npz'}", labels="original")
    store = build_retrained(digits_weights, tmp_path / "s", settings(retraining=retraining))
    assert min(store.manifest.accuracies) > 0.8 * store.manifest.original_accuracy
    assert store.manifest.retraining is not None
    assert store.manifest.retraining.labels == "original"


def test_training_images_are_asked_for(digits_weights: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"give --train-data, such as mnist:DIR@train"):
        build_retrained(
            digits_weights, tmp_path / "s", settings(retraining=replace(RETRAINING, train_data=None))
        )


def test_training_images_must_be_others_than_those_that_filter(digits_weights: Path, tmp_path: Path) -> None:
    retraining = replace(RETRAINING, train_data="digits@holdout[500:600]")
    with pytest.raises(
        DataError,
        match=r"--train-data 'digits@holdout\[500:600\]' and --data 'digits@holdout.*' share images",
    ):
        build_retrained(digits_weights, tmp_path / "s", settings(retraining=retraining))


def test_some_layers_alone_are_not_trained(digits_weights: Path, tmp_path: Path) -> None:
    """Said before anything is read."""
    with pytest.raises(ModelError, match="--layers does not go with the operator retrain"):
        build_retrained(digits_weights, tmp_path / "s", replace(settings(), layers="linear"))


def test_mutants_that_do_not_learn_end_the_build(digits_weights: Path, tmp_path: Path) -> None:
    retraining = replace(RETRAINING, share=1.0, epochs=1, learning_rate=1e-6)
    with pytest.raises(
        ModelError, match=r"4 of 4 retrained mutants do not keep 80% .*; train longer with --epochs"
    ):
        build_retrained(digits_weights, tmp_path / "s", settings(retraining=retraining, mutants=6))


def test_a_bare_graph_is_converted(digits_weights: Path, tmp_path: Path) -> None:
    store = build_retrained(digits_weights.with_suffix(".onnx"), tmp_path / "s")
    assert store.manifest.retraining is not None
    assert store.manifest.retraining.network == "onnx"
    assert check_store(tmp_path / "s", 2)[2] < 1e-4


def test_networks_are_mutated_by_every_operator(digits_weights: Path, tmp_path: Path) -> None:
    """The exported network is the ONNX file that training wrote."""
    store = build_retrained(digits_weights, tmp_path / "s", settings(operator="nai", mutants=10))
    assert store.manifest.retraining is None
    session = open_session(open_mutants(store).model(0).SerializeToString())
    images = np.random.default_rng(0).random((5, 1, 8, 8)).astype(np.float32)
    (scores,) = session.run(None, {"images": images})
    network = weights.load(digits_weights).network
    assert np.allclose(scores, network(torch.from_numpy(images)).detach().numpy(), atol=1e-4)
    assert onnx.load(digits_weights.with_suffix(".onnx")).graph.input[0].name == store.manifest.input_name
