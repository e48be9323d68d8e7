"""The classifier's images: train, filter, calibration and test have none in common."""

import numpy as np
from numpy.typing import NDArray
from torch import nn

from evaluation.experiment.material.config import Config
from evaluation.experiment.material.pools import Pools
from evaluation.experiment.material.subject import ExperimentSubject
from evaluation.experiment.records.results import Results
from mutant_store.datasets import load
from mutant_store.networks.inference import logits
from mutant_store.networks.weights import TrainedModel


def _contents(images: NDArray[np.uint8]) -> set[bytes]:
    return {image.tobytes() for image in images}


def test_no_image_is_in_two_parts(subject: ExperimentSubject) -> None:
    parts = [subject.train, subject.filter, subject.calibration, subject.test]
    assert [len(part) for part in parts] == [900, 300, 300, 297]
    contents = [_contents(part.images) for part in parts]
    # A few scans are the same to the last pixel; positions tell them apart.
    assert len(set().union(*contents)) >= sum(len(content) for content in contents) - 5
    whole = load("digits@holdout")
    assert (np.concatenate([subject.filter.images, subject.calibration.images]) == whole.images).all()


def test_the_parts_are_those_of_the_stores(subject: ExperimentSubject, pools: Pools) -> None:
    for operator in ("nai", "ws", "ns"):
        for key in pools.keys(operator):
            store = pools.store(key)
            assert store is not None
            data = store.manifest.data
            assert (load(data.filter.spec).images == subject.filter.images).all()
            choice, certification = load(data.choice.spec), load(data.certification.spec)
            assert len(certification) == 150
            both = np.concatenate([choice.images, certification.images])
            assert (both == subject.calibration.images).all()


def test_clean_images_are_drawn_from_the_test_split(subject: ExperimentSubject) -> None:
    normal, wrong = subject.clean()
    model: TrainedModel = subject.model
    for found, right in ((normal, True), (wrong, False)):
        assert len(set(found.sources.tolist())) == len(found)
        assert (found.images == subject.test.images[found.sources]).all()
        assert (found.labels == subject.test.labels[found.sources]).all()
        labels = logits(model.network, model.classifier, found.images).argmax(axis=1)
        assert ((labels == found.labels) == right).all()
    assert (normal.kind, len(normal), wrong.kind, len(wrong)) == ("normal", 60, "wrong", 20)
    assert (np.diff(normal.sources) < 0).any(), "they are in a random order"


def test_all_right_images_are_candidates_once(subject: ExperimentSubject, results: Results) -> None:
    right = subject.right
    assert sorted(right.tolist()) == np.flatnonzero(subject.predicted == subject.test.labels).tolist()
    assert results.accuracy.value == len(right) / 297
    assert (subject.clean()[0].sources == right[:60]).all()


def test_the_draw_depends_on_the_seed_alone(config: Config, subject: ExperimentSubject) -> None:
    again = ExperimentSubject(config, subject.folder)
    assert (again.right == subject.right).all()
    other = ExperimentSubject(config.model_copy(update={"seed": 1}), subject.folder)
    assert sorted(other.right.tolist()) == sorted(subject.right.tolist())
    assert (other.right != subject.right).any()
    assert (other.clean()[1].sources != subject.clean()[1].sources).any()


def test_batch_normalisation_is_what_is_folded(config: Config, subject: ExperimentSubject) -> None:
    assert not subject.folded
    other = ExperimentSubject(config, subject.folder)
    network = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1))
    other.__dict__["model"] = TrainedModel("x", network, subject.model.classifier)
    assert other.folded
