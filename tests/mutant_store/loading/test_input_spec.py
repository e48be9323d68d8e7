from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from mutant_guard.errors import DataError, ModelError
from mutant_guard.store.choices import Layout
from mutant_guard.store.manifest import InputSpec
from mutant_store.graph.classifier import load_classifier
from mutant_store.loading.input_spec import InputOptions, resolve_input
from tests.support.demo import perceptron


def resolved(
    tmp_path: Path, shape: tuple[int | str, ...], options: InputOptions, spec: str = ""
) -> InputSpec:
    values = int(np.prod([size for size in shape if isinstance(size, int)]))
    weights = [(np.ones((values, 10), np.float32), np.zeros(10, np.float32))]
    onnx.save(perceptron(weights, shape), tmp_path / "m.onnx")  # type: ignore[arg-type]
    return resolve_input(load_classifier(tmp_path / "m.onnx"), spec or saved(tmp_path), options)[0]


def saved(tmp_path: Path, shape: tuple[int, ...] = (5, 8, 6, 3)) -> str:
    x = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    np.savez(tmp_path / "x.npz", x=x, y=np.arange(len(x)))
    return f"npz:{tmp_path / 'x.npz'}"


@pytest.mark.parametrize(
    ("shape", "layout"), [((3, 8, 6), "nchw"), ((8, 6, 3), "nhwc"), ((144,), "flat"), ((3, "h", "w"), "nchw")]
)
def test_layout_and_size_come_from_the_shape_and_the_data(
    tmp_path: Path, shape: tuple[int | str, ...], layout: Layout
) -> None:
    spec = resolved(tmp_path, shape, InputOptions())
    assert (spec.layout, spec.height, spec.width, spec.channels) == (layout, 8, 6, 3)
    assert (spec.mean, spec.std) == ([0.0] * 3, [1.0] * 3)


def test_flat_inputs_of_one_channel_take_colour_images_as_grey(tmp_path: Path) -> None:
    assert resolved(tmp_path, (48,), InputOptions()).channels == 1


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((3, 8, 3), InputOptions(), "could be either nchw or nhwc; say which with --layout"),
        ((5, 8, 6), InputOptions(), "is no image's; say which"),
        ((3, 8, 6), InputOptions(layout="flat"), "layout flat does not fit"),
        ((5, 8, 6), InputOptions(layout="nchw"), "5 channels under layout nchw"),
        ((3, 8, 6), InputOptions(mean=[0.5]), r"need 3 value\(s\), one a channel; got 1 and 3"),
        ((3, 8, 6), InputOptions(std=[1.0, 0.0, 1.0]), "--std must be above 0"),
    ],
)
def test_what_is_no_image_is_refused(
    tmp_path: Path, shape: tuple[int, ...], options: InputOptions, message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        resolved(tmp_path, shape, options)


def test_images_of_another_size_need_a_resize_rule(tmp_path: Path) -> None:
    with pytest.raises((DataError, ModelError), match="6×8"):
        resolved(tmp_path, (3, 12, 12), InputOptions())
    assert resolved(tmp_path, (3, 12, 12), InputOptions(resize="bilinear")).resize == "bilinear"
    assert resolved(tmp_path, (3, 12, 12), InputOptions(resize="crop:14:bilinear")).resize == "crop:14"


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("crop:11", "--resize: crop:11 is smaller than the model's 12×12 pixels: give crop:12 or more"),
        ("shrink", "--resize: 'shrink' is no way to resize: give exact, FILTER, crop:N"),
    ],
)
def test_a_rule_that_does_not_fit_is_refused_before_images_are_read(
    tmp_path: Path, rule: str, message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        resolved(tmp_path, (3, 12, 12), InputOptions(resize=rule), "npz:nowhere.npz")


@pytest.mark.parametrize(
    ("shape", "layout", "channels"),
    [((3, "h", "w"), "nchw", 3), (("h", "w", 1), "nhwc", 1), ((60,), "flat", 1)],
)
def test_images_of_mixed_sizes_are_taken_where_an_option_says_the_size(
    tmp_path: Path, shape: tuple[int | str, ...], layout: Layout, channels: int
) -> None:
    (tmp_path / "set/cat").mkdir(parents=True)
    for side in (5, 7):
        Image.new("RGB", (side, side + 1)).save(tmp_path / f"set/cat/{side}.png")
    folder = f"imagefolder:{tmp_path}/set"
    with pytest.raises(DataError, match=r"where others have .*; say which size .*--size HEIGHTxWIDTH"):
        resolved(tmp_path, shape, InputOptions(resize="bilinear"), folder)
    spec = resolved(tmp_path, shape, InputOptions(resize="bilinear", size=(10, 6)), folder)
    assert (spec.layout, spec.height, spec.width, spec.channels) == (layout, 10, 6, channels)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((3, 8, 6), "the classifier takes 6×8 images, as its file says; leave out --size"),
        ((100,), "takes 100 values, which are no 6×10 image of 1 or 3 channels; check --size"),
    ],
)
def test_a_size_that_the_classifier_does_not_take_is_refused(
    tmp_path: Path, shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        resolved(tmp_path, shape, InputOptions(size=(10, 6)))


def test_flat_inputs_of_another_size_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="takes 100 values"):
        resolved(tmp_path, (100,), InputOptions())


@pytest.mark.parametrize("side", [-1, 1 << 40])
def test_a_size_that_no_image_has_is_refused(tmp_path: Path, side: int) -> None:
    model = perceptron([(np.ones((12, 10), np.float32), np.zeros(10, np.float32))], (3, 2, 2))
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = side
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(
        ModelError, match=rf"the input is 2×{side} pixels under layout nchw, which is no image's"
    ):
        resolve_input(load_classifier(tmp_path / "m.onnx"), saved(tmp_path), InputOptions())
