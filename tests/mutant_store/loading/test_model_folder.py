"""Folders of a model as other projects write them."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

from mutant_guard.errors import ModelError
from mutant_guard.store.reader import load_store
from mutant_store.cli.app import app
from mutant_store.loading.input_spec import InputOptions, resolve_input
from mutant_store.loading.model_folder import open_folder
from mutant_store.loading.model_source import ModelSource, Original, open_original
from tests.mutant_store.loading.folders.test_hugging_face import CONVNEXT, MOBILEVIT, VIT
from tests.mutant_store.loading.folders.test_timm import RESNET18
from tests.mutant_store.loading.folders.test_torchvision import PRESET
from tests.support.demo import perceptron

NAMES = ["tench", "goldfish"]


def graph(path: Path, shape: tuple[int | str, ...] = (3, 12, 12)) -> None:
    """Write a network with two classes that takes an input of this shape behind the batch."""
    values = int(np.prod([12 if isinstance(side, str) else side for side in shape]))
    weights = [(np.ones((values, 2), np.float32), np.zeros(2, np.float32))]
    path.parent.mkdir(exist_ok=True)
    onnx.save(perceptron(weights, shape), path)  # type: ignore[arg-type]


def folder(path: Path, shape: tuple[int | str, ...] = (3, 12, 12), **files: Any) -> Path:
    graph(path / "model.onnx", shape)
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (path / f"{name}.{'txt' if isinstance(content, str) else 'json'}").write_text(text)
    return path


def opened(path: Path, **options: Any) -> Original:
    return open_original(ModelSource(str(path)), "npz:none", InputOptions(**options))


def config(**more: Any) -> dict[str, Any]:
    return {"architectures": ["X"], "model_type": "vit", "id2label": dict(enumerate(NAMES)), **more}


def photos(path: Path) -> str:
    """Save images of mixed sizes in a folder for each class, and return their SPEC."""
    for number, name in enumerate(NAMES):
        (path / name).mkdir(parents=True)
        for side in (14, 17, 20):
            pixels = np.full((side, 16, 3), 40 * number + side, np.uint8)
            Image.fromarray(pixels).save(path / name / f"{side}.png")
    return f"imagefolder:{path}"


def test_a_folder_of_hugging_face_needs_no_option(tmp_path: Path) -> None:
    processor = {**CONVNEXT, "size": {"shortest_edge": 12}}
    original = opened(folder(tmp_path, config=config(), preprocessor_config=processor))
    assert original.classifier.names == NAMES
    assert original.notes == (
        "read from preprocessor_config.json: mean 0.485,0.456,0.406, std 0.229,0.224,0.225, resize crop:13:bicubic",
        "read from config.json: 2 class names (tench, goldfish)",
    )
    spec, data = resolve_input(original.classifier, photos(tmp_path / "data"), original.options)
    assert (spec.height, spec.width, spec.layout, spec.resize) == (12, 12, "nchw", "crop:13:bicubic")
    assert data.images.shape == (6, 12, 12, 3)


def test_a_graph_that_leaves_every_axis_open_takes_the_size_of_the_folder(tmp_path: Path) -> None:
    """Optimum exports networks with axes that all have names."""
    shape = ("num_channels", "height", "width")
    original = opened(folder(tmp_path, shape, config=config(), preprocessor_config={**VIT, "size": 12}))
    spec, _ = resolve_input(original.classifier, photos(tmp_path / "data"), original.options)
    assert (spec.height, spec.width, spec.channels, spec.layout) == (12, 12, 3, "nchw")


def test_options_that_are_given_win_and_the_notes_leave_them_out(tmp_path: Path) -> None:
    made = folder(tmp_path, config=config(), preprocessor_config={**VIT, "size": 12})
    original = opened(made, mean=[0.1, 0.2, 0.3], resize="fit")
    assert (original.options.mean, original.options.resize) == ([0.1, 0.2, 0.3], "fit")
    assert original.options.std == [0.5, 0.5, 0.5]
    assert original.notes[0] == "read from preprocessor_config.json: std 0.5,0.5,0.5"


def test_channels_that_the_processor_flips_reach_the_network_flipped(tmp_path: Path) -> None:
    processor = {**MOBILEVIT, "size": {"shortest_edge": 12}, "crop_size": {"height": 12, "width": 12}}
    original = opened(folder(tmp_path, config=config(), preprocessor_config=processor))
    spec, _ = resolve_input(original.classifier, photos(tmp_path / "data"), original.options)
    pixels = np.zeros((1, 12, 12, 3), np.uint8)
    pixels[..., 0] = 255
    assert spec.tensor(pixels).mean(axis=(0, 2, 3)).tolist() == [0, 0, 1]


def test_a_folder_of_timm(tmp_path: Path) -> None:
    weights = {**RESNET18, "input_size": [3, 10, 10], "test_input_size": [3, 12, 12]}
    content = {"architecture": "resnet18", "num_classes": 2, "pretrained_cfg": weights, "label_names": NAMES}
    original = opened(folder(tmp_path, config=content))
    assert original.classifier.names == NAMES
    assert "resize crop:12:bicubic" in original.notes[0]
    old = {"architecture": "resnet18", **weights}
    assert opened(folder(tmp_path, config=old)).options == original.options


def test_a_folder_of_torchvision(tmp_path: Path) -> None:
    preset = PRESET.replace("224]", "12]").replace("232", "14")
    original = opened(folder(tmp_path, transforms=preset, classes="tench\ngoldfish\n"))
    assert (original.options.resize, original.classifier.names) == ("crop:14", NAMES)
    assert original.notes[0].startswith("read from transforms.txt: mean 0.485,0.456,0.406")


def test_the_graph_may_lie_where_optimum_writes_it_or_have_a_name_of_its_own(tmp_path: Path) -> None:
    graph(tmp_path / "onnx" / "net.onnx")
    assert open_folder(tmp_path).model == tmp_path / "onnx" / "net.onnx"
    graph(tmp_path / "onnx" / "net_quantized.onnx")
    with pytest.raises(ModelError, match=r"several ONNX files \(onnx/net\.onnx, onnx/net_quantized\.onnx\)"):
        open_folder(tmp_path)
    graph(tmp_path / "onnx" / "model.onnx")
    assert open_folder(tmp_path).model == tmp_path / "onnx" / "model.onnx"


def test_a_folder_that_says_nothing_is_told(tmp_path: Path) -> None:
    original = opened(folder(tmp_path, config={"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}))
    assert original.options == InputOptions()
    assert original.classifier.names is None
    assert "says nothing of how images are treated" in original.notes[0]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"preprocessor_config": {**VIT, "size": 224}},
            r"takes images of 12×12 .* describes 224×224; say",
        ),
        (
            {"preprocessor_config": {**VIT, "size": {"shortest_edge": 13}}},
            r"preprocessor_config\.json keeps images as long as they are; .* give --resize",
        ),
        ({"classes": "tench\ntench\n"}, "does not name two classes or more, each once"),
        ({"config": {"architecture": "hf-hub:x/y"}}, "'architecture'"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, files: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        opened(folder(tmp_path, **files))


def test_a_rule_that_is_given_settles_another_size(tmp_path: Path) -> None:
    made = folder(tmp_path, preprocessor_config={**VIT, "size": 224})
    assert opened(made, resize="crop:14").options.resize == "crop:14"


def test_weights_that_may_run_code_are_never_read(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config()))
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(
        ModelError, match=r"pytorch_model\.bin is not read, as such a file may run code; export"
    ):
        opened(tmp_path)


@pytest.mark.parametrize("library", ["transformers", "timm"])
def test_safetensors_need_the_library_that_wrote_them(
    tmp_path: Path, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    content = config() if library == "transformers" else {"architecture": "x", "pretrained_cfg": RESNET18}
    (tmp_path / "config.json").write_text(json.dumps(content))
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({**VIT, "size": 12}))
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(
        ModelError, match=rf"needs {library}, .*pip install {library}, or export .* optimum-cli"
    ):
        opened(tmp_path)


@pytest.mark.slow
def test_build_takes_a_folder_and_data_alone(digits_model: Path, tmp_path: Path) -> None:
    model = onnx.load(digits_model)
    del model.metadata_props[:]
    made = tmp_path / "model"
    made.mkdir()
    onnx.save(model, made / "model.onnx")
    processor = {**VIT, "do_normalize": False, "size": {"height": 8, "width": 8}}
    names = {str(number): str(number) for number in range(10)}
    (made / "config.json").write_text(json.dumps({"id2label": names, "num_channels": 1}))
    (made / "preprocessor_config.json").write_text(json.dumps(processor))
    out = tmp_path / "store"
    arguments = ["build", str(made), "--data", "digits@holdout", "--out", str(out), "--mutants", "2"]
    with pytest.raises(SystemExit) as ended:
        app(arguments)
    assert ended.value.code == 0
    spec = load_store(out).manifest.input
    assert (spec.mean, spec.std, spec.resize, spec.channel_order) == ([0.0], [1.0], "bilinear", "rgb")
