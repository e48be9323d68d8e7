"""Doubts of the network with dropout."""

import numpy as np
from scipy.special import softmax

from evaluation.baselines import dropout
from evaluation.baselines.dropout import DropoutSettings
from evaluation.baselines.mc_dropout import MonteCarloDropout
from evaluation.workspace import Workspace
from mutant_store.datasets import ImageData
from mutant_store.networks.inference import logits
from mutant_store.networks.weights import TrainedModel


def test_the_score_is_the_mean_doubt(
    model: TrainedModel, train: ImageData, asked: ImageData, workspace: Workspace
) -> None:
    settings = DropoutSettings(0.5, 1, 100, 10)
    detector = MonteCarloDropout(settings)
    detector.fit(model, train, 2, workspace)
    label = logits(model.network, model.classifier, asked.images).argmax(axis=1)
    answers = dropout.fitted(model, train, settings, 2, workspace).logits(asked.images).astype(float)
    mean = softmax(answers, axis=-1).mean(axis=0)[np.arange(len(asked)), label]
    np.testing.assert_allclose(np.exp(detector.scores(asked.images)), 1 - mean, rtol=1e-6, atol=1e-12)
