"""Dense layers whose rows are not images in the file."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from mutant_guard.bank.pool import Mutant
from mutant_store.bank.builder import build_bank
from mutant_store.bank.export import Mutants
from mutant_store.bank.verify import largest_difference
from mutant_store.graph.classifier import check_scores, load_classifier
from mutant_store.graph.graph import Graph
from mutant_store.graph.neurons import find_layers
from mutant_store.graph.parameters import Parameters
from mutant_store.operators import OPERATORS
from tests.support.networks import answer, export, randomised

DRAWN = ["gf", "nai", "ns", "ws"]
INPUTS = np.random.default_rng(0).standard_normal((6, 2, 8, 8)).astype(np.float32)


class Attending(nn.Module):
    """Network with torch's own attention, which puts tokens before images and folds both."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(2, 8, 4, 4)
        self.token = nn.Parameter(torch.zeros(1, 1, 8))
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.embed(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(x.shape[0], -1, -1), tokens], 1)
        tokens = tokens + self.attention(tokens, tokens, tokens, need_weights=False)[0]
        scores: torch.Tensor = self.head(tokens.mean(1))
        return scores


class Windows(nn.Module):
    """Network of attention within windows that are folded into the batch, as in a Swin transformer."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out, self.norm = nn.Linear(2, 18), nn.Linear(6, 6), nn.LayerNorm(6)
        self.again, self.head = nn.Linear(6, 6, bias=False), nn.Linear(6, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        windows = x.reshape(-1, 2, 2, 4, 2, 4).permute(0, 2, 4, 3, 5, 1).reshape(-1, 16, 2)
        query, key, value = self.qkv(windows).chunk(3, dim=-1)
        mixed = self.norm(self.out(torch.softmax(query @ key.transpose(1, 2), dim=-1) @ value))
        mixed = torch.relu(self.again(mixed)).reshape(-1, 4 * 16, 6)
        scores: torch.Tensor = self.head(mixed.mean(1))
        return scores


class Columns(nn.Module):
    """Network of a dense layer on rows that go through the images column by column."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.head = nn.Linear(16, 6), nn.Linear(6, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        columns = x.permute(3, 0, 1, 2).reshape(-1, 16)
        scores: torch.Tensor = self.head(torch.relu(self.inner(columns)).reshape(8, -1, 6).mean(0))
        return scores


NETWORKS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "attention": (Attending, 4),
    "windows": (Windows, 4),
    "columns": (Columns, 2),
}
"""Networks, and the number of layers that each has."""


@pytest.mark.parametrize(
    ("name", "dynamic"), [("attention", True), ("windows", True), ("windows", False), ("columns", True)]
)
def test_mutants_share_runs_where_images_are_no_rows(name: str, dynamic: bool, tmp_path: Path) -> None:
    make, count = NETWORKS[name]
    module = randomised(make(), 1)
    classifier = load_classifier(export(module, (2, 8, 8), tmp_path / "m.onnx", dynamic=dynamic, batch=2))
    scores = check_scores(classifier, INPUTS)
    np.testing.assert_allclose(scores, answer(module, INPUTS), rtol=1e-4, atol=1e-4)
    layers = find_layers(Graph(classifier.model))
    assert len(layers) == count
    parameters = Parameters(Graph(classifier.model), layers)
    pool = [
        Mutant(operator, OPERATORS[operator].draw(parameters, 0.5, np.random.default_rng(number)))
        for operator in DRAWN
        for number in range(2)
    ]
    session = build_bank(classifier, layers, pool, INPUTS[:4]).session(threads=1)
    names = [layer.name for layer in layers]
    mutants = Mutants(classifier.model, names, pool, classifier.input_name, classifier.output_name)
    largest_difference(session, mutants, list(range(len(pool) + 1)), INPUTS)
    rows = np.repeat(np.arange(len(INPUTS)), 2)
    mixed = session.scores(session.features(INPUTS), rows, np.tile([0, 1], len(INPUTS)))
    np.testing.assert_allclose(mixed[::2], scores, rtol=1e-4, atol=1e-4)
    assert not np.allclose(mixed[1::2], scores, atol=1e-2)


def test_a_weight_that_two_layers_share_stays_one_layer(tmp_path: Path) -> None:
    class Twice(Windows):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            rows = x.permute(2, 0, 1, 3).reshape(-1, 2 * 8)[:, :6]
            scores: torch.Tensor = self.head(self.out(self.out(rows)).reshape(8, -1, 6).mean(0))
            return scores

    path = export(randomised(Twice(), 1), (2, 8, 8), tmp_path / "m.onnx")
    layers = find_layers(Graph(load_classifier(path).model))
    assert [len(layer.uses) for layer in layers] == [2, 1]
