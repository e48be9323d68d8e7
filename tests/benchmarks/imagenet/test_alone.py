"""The usual pipeline that the server is compared with."""

import io
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from benchmarks.imagenet.alone import UsualPipeline, fastest, rate
from evaluation.imagenet.classifiers import PublishedClassifier
from mutant_guard.store.preprocessing import to_input
from mutant_guard.store.resizing import ResizeRule

LITE0 = PublishedClassifier.named("lite0")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A classifier whose scores are the means of the three channels."""
    graph = helper.make_graph(
        [helper.make_node("ReduceMean", ["images"], ["logits"], axes=[2, 3], keepdims=0)],
        "means",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, 224, 224])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])],
    )
    path = tmp_path / "means.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), path)
    return path


def encoded(size: tuple[int, int], colour: int) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 150, (size[1], size[0], 3), dtype=np.uint8)
    pixels[:, :, colour] += 100
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("size", [(400, 288), (288, 401), (300, 300)])
def test_its_input_and_label_are_those_of_the_same_rule(model: Path, size: tuple[int, int]) -> None:
    pipeline = UsualPipeline(LITE0, model, 1)
    for colour in range(3):
        body = encoded(size, colour)
        image = ResizeRule.parse(LITE0.resize).apply(Image.open(io.BytesIO(body)), height=224, width=224)
        mean, std = (np.full(3, value / 255, dtype=np.float32) for value in (127, 128))
        expected = to_input(np.asarray(image)[None], mean=mean, std=std, layout="nchw")
        assert np.abs(pipeline.input(body) - expected).max() < 1e-5
        assert pipeline.label(body) == colour


def test_rates_count_every_image_of_all_callers(model: Path) -> None:
    bodies = [encoded((288, 288), 0)]
    assert rate([UsualPipeline(LITE0, model, 1)], bodies, 2)(0.1) > 1
    found, threads = fastest([(LITE0, model), (LITE0, model)], bodies, 2, 2, 0.1)
    assert threads in (1, 2)
    assert found(0.05) > 0
