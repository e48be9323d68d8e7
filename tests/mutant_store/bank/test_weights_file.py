from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from mutant_guard.bank.session import open_session
from mutant_guard.errors import ModelError, StoreError
from mutant_store.bank.weights_file import WeightsFile, filled


def dense(weight: np.ndarray, bias: np.ndarray) -> ModelProto:
    constants = [numpy_helper.from_array(weight, "w"), helper.make_tensor("b", 1, bias.shape, bias.tolist())]
    node = helper.make_node("Gemm", ["x", "w", "b"], ["y"], "dense")
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", size])
        for name, size in zip("xy", weight.shape, strict=True)
    ]
    graph = helper.make_graph([node], "g", values[:1], values[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_models_answer_as_before_and_share_what_is_equal(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    shared, other = (rng.standard_normal((30, 40)).astype(np.float32) for _ in range(2))
    biases = rng.standard_normal((3, 40)).astype(np.float32)
    models = [dense(shared, biases[0]), dense(other, biases[1]), dense(shared, biases[2])]
    before = [model.SerializeToString() for model in models]
    file = WeightsFile("weights.bin")
    moved = [file.moved(model) for model in models]
    assert [model.SerializeToString() for model in models] == before
    assert len(file.content) == 2 * shared.nbytes  # a multiple of the alignment
    (tmp_path / "weights.bin").write_bytes(bytes(file.content))
    inputs = rng.standard_normal((5, 30)).astype(np.float32)
    for number, (model, own) in enumerate(zip(models, moved, strict=True)):
        path = tmp_path / f"{number}.onnx"
        path.write_bytes(own.SerializeToString())
        assert path.stat().st_size < 1000
        expected = open_session(model.SerializeToString()).run(None, {"x": inputs})[0]
        assert np.array_equal(open_session(path).run(None, {"x": inputs})[0], expected)
        loaded = onnx.load(path)
        assert np.array_equal(
            numpy_helper.to_array(loaded.graph.initializer[0]), shared if number != 1 else other
        )


def test_small_constants_stay(tmp_path: Path) -> None:
    file = WeightsFile("weights.bin")
    model = file.moved(dense(np.ones((3, 4), np.float32), np.zeros(4, np.float32)))
    assert not file.content
    assert open_session(model.SerializeToString()).run(None, {"x": np.ones((1, 3), np.float32)})


def test_a_model_is_filled_from_the_bytes_of_the_file() -> None:
    rng = np.random.default_rng(0)
    model = dense(
        rng.standard_normal((30, 40)).astype(np.float32), rng.standard_normal(40).astype(np.float32)
    )
    inputs = rng.standard_normal((5, 30)).astype(np.float32)
    expected = open_session(model.SerializeToString()).run(None, {"x": inputs})[0]
    file = WeightsFile("weights.bin")
    moved = file.moved(model)
    content = bytes(file.content)
    in_memory = open_session(moved.SerializeToString(), external={"weights.bin": content})
    assert np.array_equal(in_memory.run(None, {"x": inputs})[0], expected)
    whole = filled(moved, "weights.bin", content).SerializeToString()
    assert np.array_equal(open_session(whole).run(None, {"x": inputs})[0], expected)


@pytest.mark.parametrize(("name", "share"), [("other.bin", 1.0), ("weights.bin", 0.5), ("weights.bin", 0.0)])
def test_data_that_are_not_in_the_file_are_refused(name: str, share: float) -> None:
    file = WeightsFile("weights.bin")
    moved = file.moved(dense(np.ones((30, 40), np.float32), np.ones(40, np.float32)))
    content = bytes(file.content)[: int(len(file.content) * share)]
    with pytest.raises(ModelError, match="onnxruntime cannot load the graph"):
        open_session(moved.SerializeToString(), external={name: content})
    with pytest.raises(StoreError, match=f"the data of constant 'w' are not in {name}"):
        filled(moved, name, content)
