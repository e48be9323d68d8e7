import numpy as np
import pytest
from onnx import helper

from benchmarks.bank.networks import Network, load_network
from benchmarks.bank.retrained import whole_pool
from benchmarks.bank.stacked import stack
from mutant_guard.bank.session import IMAGES, open_session


@pytest.mark.parametrize("name", ["lenet", "resnet20"])
def test_a_stack_answers_like_its_mutants(name: str, untrained: Network) -> None:
    network = untrained if name == "resnet20" else load_network(name)
    stand_alone = whole_pool(network, 3).stand_alone
    models = [stand_alone.model(number, original_names=False) for number in (1, 2, 3)]
    inputs = network.inputs[:4]
    (found,) = open_session(stack(models).SerializeToString(), threads=1).run(None, {IMAGES: inputs})
    for scores, model in zip(found, models, strict=True):
        (expected,) = open_session(model.SerializeToString(), threads=1).run(None, {IMAGES: inputs})
        np.testing.assert_allclose(scores, expected, rtol=1e-3, atol=1e-3)


def test_what_cannot_be_stacked_is_named() -> None:
    image = helper.make_tensor_value_info(IMAGES, 1, ["n", 3])
    scores = helper.make_tensor_value_info("logits", 1, ["n", 3])
    graph = helper.make_graph([helper.make_node("Softmax", [IMAGES], ["logits"])], "g", [image], [scores])
    with pytest.raises(ValueError, match="Softmax cannot be stacked"):
        stack([helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])])
