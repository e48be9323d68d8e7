import numpy as np
from onnx import TensorProto, helper, numpy_helper

from mutant_store.graph.graph import Graph
from mutant_store.graph.neurons import find_layers
from mutant_store.graph.parameters import Parameters
from tests.support.layers import dense


def shared_bias_graph() -> Graph:
    """Return a graph of two dense layers that read one bias.

    The first has its weights as [inputs, neurons], the second transposed.
    """
    rng = np.random.default_rng(0)
    constants = [
        numpy_helper.from_array(rng.random((2, 3), dtype=np.float32), "first"),
        numpy_helper.from_array(rng.random((3, 3), dtype=np.float32), "second"),
        numpy_helper.from_array(rng.random(3, dtype=np.float32), "bias"),
    ]
    nodes = [
        helper.make_node("Gemm", ["images", "first", "bias"], ["hidden"], "dense0"),
        helper.make_node("Gemm", ["hidden", "second", "bias"], ["logits"], "dense1", transB=1),
    ]
    source = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 2])
    target = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 3])
    return Graph(helper.make_model(helper.make_graph(nodes, "g", [source], [target], constants)))


def test_weights_lie_neuron_by_neuron_and_a_tensor_read_twice_is_there_once() -> None:
    graph = shared_bias_graph()
    parameters = Parameters(graph, find_layers(graph))
    assert [(t.name, t.layer, t.start, t.stop) for t in parameters.tensors] == [
        ("first", 0, 0, 6),
        ("bias", 0, 6, 9),
        ("second", 1, 9, 18),
    ]
    assert np.array_equal(parameters.values[:6].reshape(3, 2), graph.array("first").T)
    assert np.array_equal(parameters.values[9:].reshape(3, 3), graph.array("second"))
    assert parameters.incoming(1) == (2, 4)
    assert parameters.incoming(5) == (15, 18)


def test_written_values_are_read_by_every_node_and_in_the_files_order() -> None:
    graph = shared_bias_graph()
    parameters = Parameters(graph, find_layers(graph))
    values = parameters.values.copy()
    values[[2, 6]] = 100, 200
    parameters.write(graph, values)
    first, second = graph.nodes
    assert graph.array(first.input[1])[0, 1] == 100
    assert first.input[2] == second.input[2] != "bias"
    assert graph.array(first.input[2])[0] == 200
    assert second.input[1] == "second"  # unchanged


def test_neurons_and_positions_are_found() -> None:
    parameters = dense([4, 2, 3])
    assert [parameters.layer_of_neuron(n) for n in range(9)] == [0, 0, 0, 0, 1, 1, 2, 2, 2]
    assert parameters.tensors_of(np.array([0, 11, 12, 15, 16, 35])).tolist() == [0, 0, 1, 1, 2, 5]
    means, deviations = parameters.moments
    assert means.shape == deviations.shape == (6,)
