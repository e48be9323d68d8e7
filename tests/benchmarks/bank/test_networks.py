from pathlib import Path

import numpy as np
import torch

from benchmarks.bank.networks import Network, load_network
from benchmarks.bank.pools import draw_pool, rate_of


def test_a_network_without_weights_is_untrained_and_says_so(untrained: Network) -> None:
    assert not untrained.trained
    assert untrained.note is not None
    assert "models/cifar10-resnet20.safetensors" in untrained.note


def test_its_layers_keep_their_own_biases(untrained: Network) -> None:
    """A parameter shared by several layers would be counted once, and not as torch counts it."""
    tensors = untrained.builder.parameters.tensors
    assert len(tensors) == 2 * len(untrained.builder.parameters.layers)


def test_committed_weights_are_taken() -> None:
    lenet = load_network("lenet")
    assert lenet.trained
    assert lenet.note is None


def test_module_and_classifier_are_the_same(untrained: Network) -> None:
    for network in (untrained, load_network("lenet")):
        with torch.inference_mode():
            expected = network.module(torch.from_numpy(network.inputs)).numpy()
        np.testing.assert_allclose(network.classifier.scores(network.inputs), expected, rtol=1e-3, atol=1e-3)


def test_one_file_of_the_two_is_not_enough(tmp_path: Path) -> None:
    (tmp_path / "digits.onnx").write_bytes(b"")
    assert not load_network("digits-net", tmp_path).trained


def test_pools_are_drawn_alike_and_at_the_rates_of_the_paper(untrained: Network) -> None:
    one, other = (draw_pool(untrained, "nai", count) for count in (3, 5))
    for first, second in zip(one.mutants, other.mutants, strict=False):
        assert (first.choice["neurons"] == second.choice["neurons"]).all()
    assert [rate_of("lenet", "nai"), rate_of("resnet20", "nai"), rate_of("resnet20", "ns")] == [
        0.05,
        0.005,
        0.05,
    ]
    assert one.key == "nai_resnet20"
