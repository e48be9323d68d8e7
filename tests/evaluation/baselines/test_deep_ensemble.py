"""Doubts of networks trained from other seeds."""

import numpy as np
from scipy.special import softmax

from evaluation.baselines.deep_ensemble import DeepEnsemble
from evaluation.baselines.training import derived_seed
from evaluation.training.trainer import Settings, Trainer
from evaluation.workspace import Workspace
from mutant_guard.decision.evidence.kinds import fitted_temperature
from mutant_store.datasets import ImageData
from mutant_store.networks.inference import logits
from mutant_store.networks.weights import TrainedModel


def test_the_score_is_the_mean_doubt_of_all_members(
    model: TrainedModel, train: ImageData, asked: ImageData, workspace: Workspace
) -> None:
    detector = DeepEnsemble(3, 2)
    detector.fit(model, train, 4, workspace)
    own = logits(model.network, model.classifier, asked.images)
    members = [own]
    for number in (1, 2):
        settings = Settings("any", 2, 32, 0.05, derived_seed(4, number), False, "cpu")
        trainer = Trainer(model.classifier, train, settings)
        for _ in range(2):
            trainer.run_epoch()
        members.append(logits(trainer.exportable(), model.classifier, asked.images))
    label = own.argmax(axis=1)
    mean = np.mean(
        [softmax(member.astype(float), axis=1)[np.arange(len(label)), label] for member in members], axis=0
    )
    np.testing.assert_allclose(np.exp(detector.scores(asked.images)), 1 - mean, rtol=1e-5, atol=1e-12)
    assert len(list(workspace.path.iterdir())) == 2


def test_temperatures_are_those_of_clean_images(
    model: TrainedModel, train: ImageData, asked: ImageData, workspace: Workspace
) -> None:
    plain, tuned = DeepEnsemble(3, 1), DeepEnsemble(3, 1, temperatures=True)
    for detector in (plain, tuned):
        detector.fit(model, train, 4, workspace)
        before = detector.scores(asked.images)
        detector.tune(asked)
        assert (detector.scores(asked.images) != before).any() == (detector is tuned)
    own = logits(model.network, model.classifier, asked.images)
    temperature = fitted_temperature(own, asked.labels, "logits")
    label, rows = own.argmax(axis=1), np.arange(len(own))
    mine = 1 - softmax(own.astype(float) / temperature, axis=1)[rows, label]
    others = 3 * np.exp(tuned.scores(asked.images)) - mine  # the sum of the two others' doubts
    assert abs(temperature - 1) > 0.01
    assert ((others > 0) & (others < 2)).all()
