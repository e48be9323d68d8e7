"""Files that once ended in a traceback, in other labels than the file's own, or in a wrong confidence."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from mutant_guard.errors import GuardError
from mutant_guard.store.reader import Store, load_store
from mutant_store.build import build
from mutant_store.calibrating.clean_images import load_images
from mutant_store.cli.app import app
from mutant_store.datasets import load
from mutant_store.retraining.settings import RetrainSettings
from tests.support.demo import SETTINGS, SilentReport

CASES = Path(__file__).parent / "cases"
BINARY = f"npz:{CASES}/binary.npz"
FEW = replace(SETTINGS, selection=replace(SETTINGS.selection, mutants=4, rate=0.02))


def built(case: str, out: Path, spec: str = "digits@holdout") -> tuple[Store, list[str]]:
    report = SilentReport()
    return build(CASES / case, spec, out / "store", FEW, report), report.steps


def scores_of_file(case: str, store: Store, spec: str) -> NDArray[np.float32]:
    """Return what onnxruntime says of the file itself, without this project."""
    session = onnxruntime.InferenceSession(CASES / case, providers=["CPUExecutionProvider"])
    pixels = load(spec).images
    manifest = store.manifest
    (scores,) = session.run([manifest.output_name], {manifest.input_name: manifest.input.tensor(pixels)})
    return np.asarray(scores, np.float32)


@pytest.mark.parametrize(
    ("case", "spec", "kind"),
    [
        ("if_const_capture.onnx", "digits@holdout", "logits"),
        ("mid_mutant_index.onnx", "digits@holdout", "logits"),
        ("out_no_shape.onnx", "digits@holdout", "logits"),
        ("softmax_clip.onnx", "digits@holdout", "probabilities"),
        ("softmax_const_op11.onnx", "digits@holdout", "logits"),
        ("sk_mlp_binary_nozip.onnx", BINARY, "probabilities"),
    ],
)
def test_they_build_and_mutant_0_is_the_file_itself(case: str, spec: str, kind: str, tmp_path: Path) -> None:
    store, steps = built(case, tmp_path, spec)
    assert store.manifest.output_kind == kind
    assert any(f": {kind} (" in step for step in steps)
    images = load_images(store, store.manifest.data.certification.spec.replace("npz:", f"npz:{CASES}/"))
    session = onnxruntime.InferenceSession(store.path / "prefix.onnx", providers=["CPUExecutionProvider"])
    found = session.run(["logits"], {"images": images.inputs[:]})[0]
    expected = scores_of_file(case, store, images.data.range.spec)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).all()


def one_sigmoid(folder: Path) -> Path:
    """Return scikit-learn's binary perceptron with its sigmoid as the only output."""
    model = onnx.load(CASES / "sk_mlp_binary_nozip.onnx")
    del model.graph.output[:]
    name = "out_activations_result"
    model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", 1]))
    onnx.save(model, folder / "one.onnx")
    return folder / "one.onnx"


def test_one_sigmoid_builds_the_store_of_two_classes(tmp_path: Path) -> None:
    report = SilentReport()
    store = build(one_sigmoid(tmp_path), BINARY, tmp_path / "one", FEW, report)
    both, _ = built("sk_mlp_binary_nozip.onnx", tmp_path, BINARY)
    inputs = store.manifest.input.tensor(load(BINARY).images)
    found, expected = (
        onnxruntime.InferenceSession(s.path / "prefix.onnx", providers=["CPUExecutionProvider"]).run(
            ["logits"], {"images": inputs}
        )[0]
        for s in (store, both)
    )
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert (store.manifest.classes, store.manifest.output_kind) == (["0", "1"], "probabilities")
    assert any("one score an image, in 0 to 1; that of class 1 of two" in step for step in report.steps)


def test_one_sigmoid_is_not_trained_again(tmp_path: Path) -> None:
    retrain = replace(FEW, operator="retrain", retraining=RetrainSettings(train_data="digits@train"))
    with pytest.raises(
        GuardError, match="a classifier with one score an image cannot be trained again as it is"
    ):
        build(one_sigmoid(tmp_path), BINARY, tmp_path / "s", retrain, SilentReport())


@pytest.mark.parametrize("case", ["q_qdq_21.onnx", "weight_only_dq.onnx"])
def test_quantised_layers_are_refused_at_every_operator_set(case: str, tmp_path: Path) -> None:
    with pytest.raises(
        GuardError, match=r"quantised layers are not supported \(.*\); export the float32 model"
    ):
        built(case, tmp_path)


def test_a_head_that_squeezes_all_axes_takes_one_image_as_well(tmp_path: Path) -> None:
    from mutant_store.graph.classifier import check_scores, load_classifier

    inputs = np.random.default_rng(0).random((3, 1, 8, 8), np.float32)
    classifier = load_classifier(CASES / "tx_sq_ts.onnx")
    assert check_scores(classifier, inputs).shape == (3, 10)
    assert classifier.scores(inputs[:1]).shape == (1, 10)


def test_a_junk_label_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(GuardError, match=r"y holds label 1000000000000, more than any classifier has"):
        built("out_no_shape.onnx", tmp_path, f"npz:{CASES}/big_label.npz")


def test_names_saved_as_bytes_are_read_as_text(tmp_path: Path) -> None:
    store, _ = built("out_no_shape.onnx", tmp_path, f"npz:{CASES}/bytes_classes.npz")
    assert store.manifest.classes == list("abcdefghij")


def test_class_names_in_utf_16_are_read(tmp_path: Path) -> None:
    model, out = str(CASES / "out_no_shape.onnx"), tmp_path / "store"
    options = ["--data", "digits@holdout", "--mutants", "4", "--rate", "0.02", "--out", str(out)]
    done = CliRunner().invoke(app, ["build", model, *options, "--classes", f"@{CASES}/c_utf16.txt"])
    assert done.exit_code == 0, done.output
    assert load_store(out).manifest.classes == list("0123456789")


@pytest.mark.parametrize("case", sorted(CASES.glob("*.onnx")), ids=lambda path: path.name)
def test_every_case_cut_short_is_one_line(case: Path, tmp_path: Path) -> None:
    content = case.read_bytes()
    for name, part in (("half", content[: len(content) // 2]), ("end", content[:-1]), ("start", content[9:])):
        (tmp_path / f"{name}.onnx").write_bytes(part)
        with pytest.raises(GuardError) as refused:
            build(tmp_path / f"{name}.onnx", "digits@holdout", tmp_path / "store", FEW, SilentReport())
        assert "\n" not in str(refused.value)
    assert onnx.load(case).graph.node
