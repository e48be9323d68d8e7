"""The classifier's network with dropout."""

import copy

import numpy as np
import torch

from evaluation.baselines import dropout
from evaluation.baselines.dropout import DropoutNetwork, DropoutSettings
from evaluation.baselines.training import fingerprint
from evaluation.workspace import Workspace
from mutant_store.datasets import ImageData
from mutant_store.networks.digits_net import DigitsNet
from mutant_store.networks.inference import accuracy, logits, normalised
from mutant_store.networks.weights import TrainedModel

SETTINGS = DropoutSettings(0.5, 8, None, 20)


def test_passes_are_those_of_thinned_networks(model: TrainedModel, asked: ImageData) -> None:
    network = copy.deepcopy(model.network)
    assert isinstance(network, DigitsNet)
    inputs = torch.from_numpy(normalised(model.classifier, asked.images[:6]))
    found = DropoutNetwork(network, 0.25).eval().sampled(inputs, 4, 9)
    plain = model.network
    assert isinstance(plain, DigitsNet)
    generator = torch.Generator().manual_seed(9)
    first = (torch.rand(4, 512, generator=generator) < 0.75) / 0.75
    second = (torch.rand(4, 48, generator=generator) < 0.75) / 0.75
    with torch.inference_mode():
        features = plain.pool(plain.conv2(plain.conv1(inputs).relu()).relu()).flatten(1)
        for number in range(4):
            hidden = plain.dense1(features * first[number]).relu()
            expected = plain.dense2(hidden * second[number])
            torch.testing.assert_close(found[number], expected, rtol=1e-4, atol=1e-5)


def test_dropout_only_while_training(model: TrainedModel, asked: ImageData) -> None:
    network = DropoutNetwork(copy.deepcopy(model.network), 0.5)
    inputs = torch.from_numpy(normalised(model.classifier, asked.images[:3]))
    with torch.inference_mode():
        network.eval()
        torch.testing.assert_close(network(inputs), model.network(inputs))
        network.train()
        assert not torch.equal(network(inputs), network(inputs))


def test_fine_tuning_leaves_the_classifier_as_it_was(
    model: TrainedModel, train: ImageData, asked: ImageData, workspace: Workspace
) -> None:
    before = fingerprint(model.network)
    own = logits(model.network, model.classifier, asked.images)
    ensemble = dropout.fitted(model, train, SETTINGS, 1, workspace)
    assert fingerprint(model.network) == before
    np.testing.assert_array_equal(logits(model.network, model.classifier, asked.images), own)
    assert accuracy(ensemble.network, model.classifier, train) > accuracy(
        model.network, model.classifier, train
    )
    answers = ensemble.logits(asked.images)
    assert answers.shape == (20, len(asked), 10)
    assert answers.std(axis=0).min() > 0
    again = dropout.fitted(model, train, SETTINGS, 1, workspace)
    np.testing.assert_array_equal(again.logits(asked.images), answers)
    assert len(list(workspace.path.iterdir())) == 1
