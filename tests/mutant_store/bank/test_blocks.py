"""Blocks between tensors that everything later depends on, and the choice of layers by them."""

from pathlib import Path

import numpy as np
import pytest
from torch import nn

from mutant_guard.bank.session import IMAGES, open_session, run_session
from mutant_guard.errors import ModelError
from mutant_store.bank.blocks import (
    Block,
    LayerChoice,
    find_blocks,
    last_share,
    proposed,
    seconds_from,
    section,
)
from mutant_store.graph.activations import Activations
from mutant_store.graph.classifier import LOGITS, load_classifier
from mutant_store.graph.graph import Graph
from mutant_store.graph.neurons import Layer, find_layers
from tests.support.networks import Residual, Reused, Tokens, convolutional, export, randomised

INPUTS = np.random.default_rng(0).standard_normal((4, 2, 8, 8)).astype(np.float32)


def opened(module: nn.Module, folder: Path, inputs: np.ndarray = INPUTS) -> tuple[Activations, list[Layer]]:
    classifier = load_classifier(export(randomised(module, 1), inputs.shape[1:], folder / "m.onnx"))
    return Activations(classifier, inputs), find_layers(Graph(classifier.model))


def test_a_chain_is_cut_at_its_smallest_tensors(tmp_path: Path) -> None:
    """Behind the pooling and not before it; the flattened tensor is as small as the one that it is made from."""
    blocks = find_blocks(*opened(convolutional(2, 8, (4, 6), 5), tmp_path))
    assert [(block.name, block.shape, len(block.layers)) for block in blocks] == [
        ("block 1", (2, 8, 8), 1),
        ("block 2", (4, 4, 4), 1),
        ("block 3", (96,), 1),
        ("block 4", (12,), 1),
    ]
    work = np.array([4 * 64 * 18, 6 * 16 * 36, 12 * 96, 5 * 12])
    assert [block.share for block in blocks] == pytest.approx([work[n:].sum() / work.sum() for n in range(4)])
    assert proposed(blocks).name == "block 3"
    assert last_share(blocks, blocks[1].share).name == "block 2"
    assert last_share(blocks, 1e-6).name == "block 4"


def test_no_cut_lies_beside_a_skip_connection_or_between_uses_of_one_weight(tmp_path: Path) -> None:
    residual = find_blocks(*opened(Residual(2, 4, 5, softmax=False), tmp_path))
    assert [len(block.layers) for block in residual] == [1, 1, 1]
    assert [block.shape for block in residual] == [(2, 8, 8), (4, 8, 8), (4,)]
    reused = find_blocks(*opened(Reused(2, 8, 5), tmp_path, INPUTS.transpose(0, 2, 3, 1)))
    assert [[len(layer.uses) for layer in block.layers] for block in reused] == [[2], [1]]
    tokens = find_blocks(*opened(Tokens(8, 6, 5), tmp_path))
    assert [len(block.layers) for block in tokens] == [1, 2, 1]  # query and key read the same tokens


@pytest.mark.parametrize(
    "module", [Residual(2, 4, 5, softmax=True), Tokens(8, 6, 5), convolutional(2, 8, (4, 6), 5)]
)
def test_sections_one_after_the_other_are_the_classifier(module: nn.Module, tmp_path: Path) -> None:
    activations, layers = opened(module, tmp_path)
    blocks = find_blocks(activations, layers)
    values = INPUTS
    for block, stop in zip(blocks, [*(block.cut for block in blocks[1:]), LOGITS], strict=True):
        assert values.shape[1:] == block.shape
        part = section(activations, block.cut, stop)
        assert [layer.name for layer in find_layers(Graph(part))] == [layer.name for layer in block.layers]
        (values,) = run_session(open_session(part.SerializeToString()), IMAGES, values)
    expected = load_classifier(tmp_path / "m.onnx").scores(INPUTS)
    assert np.allclose(values, expected, atol=1e-5)
    seconds = seconds_from(activations, blocks)
    assert seconds == sorted(seconds, reverse=True)
    assert seconds[-1] > 0


def test_a_wide_feature_in_the_middle_is_passed_over() -> None:
    """Expansion, depthwise convolution and projection of an inverted residual, then the head."""
    blocks = [
        Block(f"block {number}", "t", (values,), (), share)
        for number, (values, share) in enumerate(
            [(50, 1.0), (900, 0.33), (300, 0.32), (40, 0.3), (20, 0.1)], 1
        )
    ]
    assert proposed(blocks).name == "block 4"
    assert last_share(blocks, 0.2).name == "block 5"


def test_layers_are_chosen_by_block_layer_or_share(tmp_path: Path) -> None:
    activations, layers = opened(convolutional(2, 8, (4, 6), 5), tmp_path)
    names = [layer.name for layer in layers]

    def chosen(**choice: object) -> list[str]:
        found = LayerChoice(**choice)  # type: ignore[arg-type]
        return [layer.name for layer in found.of(activations, layers)]

    assert chosen() == names
    assert chosen(first="block 3") == names[2:]
    assert chosen(first=names[1]) == names[1:]
    assert chosen(last=0.2) == names[2:]
    assert chosen(pattern="block 2") == names[1:2]
    assert LayerChoice(pattern="block 2").expression == ""
    assert LayerChoice(pattern="conv").expression == "conv"
    with pytest.raises(ModelError, match="has no 'block 7': its blocks are block 1 to block 4"):
        chosen(first="block 7")
    with pytest.raises(ModelError, match="--layers and --last choose the layers in different ways"):
        LayerChoice(pattern="conv", last=0.5)
