"""Mutants of several networks: the mean of their scores, as a network and as a graph."""

import numpy as np
import pytest
import torch

from mutant_guard.store.choices import Layout
from mutant_store.companions.work import multiply_adds
from mutant_store.graph.graph import Graph
from mutant_store.loading.subject import Subject
from mutant_store.loading.torch_source import of_graph
from mutant_store.networks.conversion import ConvertedNetwork
from mutant_store.robust.ensemble import Ensemble, mean_of
from mutant_store.robust.export import classifier_of
from tests.mutant_store.robust.conftest import TINY


def networks(count: int) -> list[torch.nn.Module]:
    torch.manual_seed(0)
    return [TINY.build().eval() for _ in range(count)]


def test_a_network_answers_with_the_mean(subject: Subject) -> None:
    images = torch.from_numpy(subject.probe)
    members = networks(3)
    with torch.inference_mode():
        expected = torch.stack([network(images) for network in members]).mean(0)
        assert torch.allclose(Ensemble(members)(images), expected, atol=1e-6)
        assert not torch.allclose(members[0](images), expected, atol=0.01)


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("layout", ["nchw", "flat"])
def test_a_graph_answers_with_the_mean(layout: Layout, mirror: bool, subject: Subject) -> None:
    images = subject.filter.data.images[:6]
    spec = subject.input.model_copy(update={"layout": layout})
    members = networks(3)
    inputs = spec.tensor(images)
    alone = [
        classifier_of([network], subject.classifier, spec, inputs, "logits", mirror=mirror)
        for network in members
    ]
    whole = classifier_of(members, subject.classifier, spec, inputs, "logits", mirror=mirror)
    expected = np.mean([each.scores(inputs) for each in alone], axis=0)
    assert np.allclose(whole.scores(inputs), expected, atol=1e-4)
    assert not np.allclose(alone[0].scores(inputs), expected, atol=0.01)
    work = [multiply_adds(each.model, inputs.shape[1:]) for each in (alone[0], whole)]
    assert work[1] == 3 * work[0] > 0
    names = [node.name for node in Graph(whole.model).nodes if node.name]
    assert len(names) == len(set(names))
    converted = ConvertedNetwork(whole.model, layout).eval() if layout == "nchw" else None
    if converted is not None:
        with torch.inference_mode():
            assert np.allclose(converted(torch.from_numpy(inputs)).numpy(), expected, atol=1e-4)


def test_members_may_be_graphs(subject: Subject) -> None:
    members = [of_graph(subject).network.eval() for _ in range(2)]
    with torch.no_grad():
        for value in members[1].parameters():
            value.mul_(1.1)
    whole = classifier_of(members, subject.classifier, subject.input, subject.probe, "logits")
    with torch.inference_mode():
        expected = Ensemble(members)(torch.from_numpy(subject.probe)).numpy()
    assert np.allclose(whole.scores(subject.probe), expected, atol=1e-3)
    assert not np.allclose(whole.scores(subject.probe), subject.classifier.scores(subject.probe), atol=0.1)


def test_an_ensemble_of_graphs_may_be_a_member_again(subject: Subject) -> None:
    """Names stay apart, whatever a graph already has."""
    model = subject.classifier.model
    twice = mean_of([mean_of([model, model]), mean_of([model, model])])
    names = [name for node in Graph(twice).nodes for name in node.output]
    assert len(names) == len(set(names))
