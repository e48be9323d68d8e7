"""Mutants that answer for an image and its mirror image: as a network and as a graph, in every layout."""

import numpy as np
import pytest
import torch

from mutant_guard.store.choices import Layout
from mutant_store.companions.work import multiply_adds
from mutant_store.graph.classifier import load_classifier
from mutant_store.graph.graph import Graph
from mutant_store.loading.subject import Subject
from mutant_store.networks.conversion import ConvertedNetwork
from mutant_store.robust.export import classifier_of
from mutant_store.robust.mirror import Mirrored, mirrored
from tests.mutant_store.robust.conftest import TINY


def test_a_network_hears_both_looks(subject: Subject) -> None:
    network = TINY.build().eval()
    images = torch.from_numpy(subject.probe)
    with torch.inference_mode():
        alone, mirror, both = network(images), network(images.flip(3)), Mirrored(network)(images)
        assert torch.equal(both, Mirrored(network)(images.flip(3)))
    assert torch.allclose(both, (alone + mirror) / 2)
    assert not torch.allclose(alone, mirror, atol=0.01)


@pytest.mark.parametrize("layout", ["nchw", "nhwc", "flat"])
def test_a_graph_hears_both_looks(layout: Layout, subject: Subject) -> None:
    images = subject.filter.data.images[:6]
    spec = subject.input.model_copy(update={"layout": layout})
    network = TINY.build().eval()
    alone, both = (
        classifier_of([network], subject.classifier, spec, spec.tensor(images[:4]), "logits", mirror=mirror)
        for mirror in (False, True)
    )
    with torch.inference_mode():
        expected = Mirrored(network)(torch.from_numpy(subject.input.tensor(images))).numpy()
    assert np.allclose(both.scores(spec.tensor(images)), expected, atol=1e-4)
    assert np.allclose(both.scores(spec.tensor(images[:, :, ::-1])), expected, atol=1e-4)
    shape = spec.tensor(images).shape[1:]
    assert multiply_adds(both.model, shape) == 2 * multiply_adds(alone.model, shape) > 0
    sizes = [sum(len(entry.raw_data) for entry in each.model.graph.initializer) for each in (alone, both)]
    assert sizes[1] - sizes[0] < 8 * np.prod(shape) + 64  # the weights are there once


def test_a_mirrored_graph_is_a_classifier_like_any_other(subject: Subject) -> None:
    model = mirrored(subject.classifier.model, subject.input)
    again = load_classifier(model)
    inputs = subject.probe
    flipped = np.ascontiguousarray(inputs[..., ::-1])
    expected = (subject.classifier.scores(inputs) + subject.classifier.scores(flipped)) / 2
    assert np.allclose(again.scores(inputs), expected, atol=1e-5)
    with torch.inference_mode():
        converted = ConvertedNetwork(model, "nchw").eval()(torch.from_numpy(inputs)).numpy()
    assert np.allclose(converted, expected, atol=1e-5)
    names = [node.name for node in Graph(model).nodes if node.name]
    assert len(names) == len(set(names))
