"""Kind of scores, decided by what they are."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import parser

from mutant_guard.errors import ModelError
from mutant_store.graph.classifier import check_scores, load_classifier
from mutant_store.graph.score_kind import Decided, decide

RNG = np.random.default_rng(0)
REAL = RNG.standard_normal((80, 4)).astype(np.float32)
NOISE = 3 * RNG.standard_normal((40, 4)).astype(np.float32)
WEIGHTS = ", ".join(f"{value:.3f}" for value in 2 * RNG.standard_normal(24))


def decided(
    tmp_path: Path, body: str, *, classes: int = 3, output: str = "float[n,k] y", given: str | None = None
) -> Decided:
    text = (
        f'<ir_version: 8, opset_import: ["": 17]> g (float[n,4] x) => ({output}) '
        f"<float[4,{classes}] w = {{{', '.join(WEIGHTS.split(', ')[: 4 * classes])}}}, int64[1] first = {{0}}, "
        "int64[1] second = {1}, int64[1] third = {2}, int64[1] three = {3}, float one = {1.0}, float low = {1e-7}, "
        "float high = {0.9999999}, float half = {0.5}, float hundred = {100.0}, int64[1] last = {-1}> "
        f"{{ z = MatMul (x, w) {body} }}"
    )
    onnx.save(parser.parse_model(text), tmp_path / "m.onnx")
    classifier = load_classifier(tmp_path / "m.onnx")
    check_scores(classifier, REAL[:4])
    return decide(classifier, classifier.scores(REAL), NOISE, given)  # type: ignore[arg-type]


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


PROBABILITIES = {
    "softmax": "y = Softmax (z)",
    "clip": "p = Softmax (z) y = Clip (p, low, high)",
    "slice": "p = Softmax (z) y = Slice (p, first, three, second)",
    "transpose": "a = Transpose <perm = [1, 0]> (z) p = Softmax <axis = 0> (a) y = Transpose <perm = [1, 0]> (p)",
    "unsqueeze": "p = Softmax (z) u = Unsqueeze (p, first) y = Squeeze (u, first)",
    "mean": "a = Neg (z) p = Softmax (z) q = Softmax (a) y = Mean (p, q)",
    "by hand": "m = ReduceMax <axes = [1]> (z) a = Sub (z, m) e = Exp (a) s = ReduceSum (e, second) y = Div (e, s)",
    "exp of a log-softmax": "l = LogSoftmax (z) y = Exp (l)",
    "half precision": "h = Cast <to = 10> (z) p = Softmax (h) y = Cast <to = 1> (p)",
    "normalised sigmoids": "a = Sigmoid (z) s = ReduceSum (a, second) y = Div (a, s)",
}


@pytest.mark.parametrize("body", PROBABILITIES.values(), ids=PROBABILITIES.keys())
def test_rows_in_0_to_1_that_sum_to_1_are_probabilities_wherever_they_come_from(
    body: str, tmp_path: Path
) -> None:
    found = decided(tmp_path, body)
    assert (found.classifier.output_kind, found.reason) == (
        "probabilities",
        "every row is in 0 to 1 and sums to 1",
    )


def test_one_minus_p_beside_p_are_probabilities(tmp_path: Path) -> None:
    found = decided(tmp_path, "p = Sigmoid (z) q = Sub (one, p) y = Concat <axis = 1> (q, p)", classes=1)
    assert (found.classifier.output_kind, found.single) == ("probabilities", False)


@pytest.mark.parametrize(
    ("body", "kind", "reason"),
    [
        ("y = Identity (z)", "logits", "not all in 0 to 1"),
        ("y = LogSoftmax (z)", "logits", "logarithms of probabilities"),
        ("p = Softmax (z) y = Log (p)", "logits", "logarithms of probabilities"),
        ("y = Sigmoid (z)", "probabilities", "each in 0 to 1, from a softmax or sigmoids"),
        (
            "p = Softmax (z) y = Slice (p, first, last, second)",
            "probabilities",
            "each in 0 to 1, from a softmax",
        ),
        (
            "a = Sigmoid (z) y = Clip (a, low, high)",
            "probabilities",
            "each in 0 to 1, from a softmax or sigmoids",
        ),
        (
            "a = Atan (z) b = Div (a, hundred) y = Add (b, half)",
            "logits",
            "WARNING: each in 0 to 1, but neither",
        ),
    ],
)
def test_what_else_there_is(body: str, kind: str, reason: str, tmp_path: Path) -> None:
    found = decided(tmp_path, body)
    assert found.classifier.output_kind == kind
    assert found.reason.startswith(reason)


def test_logits_that_pass_for_probabilities_on_real_images_do_not_on_noise(tmp_path: Path) -> None:
    classifier = decided(tmp_path, "y = Identity (z)").classifier
    kind = decide(
        classifier, classifier.scores(np.zeros((80, 4), np.float32)), NOISE, None
    ).classifier.output_kind
    assert kind == "logits"


def test_probabilities_in_percent_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="every row of the model's scores sums to 100: they look like"):
        decided(tmp_path, "p = Softmax (z) y = Mul (p, hundred)")


def test_the_users_word_stands_and_a_contradiction_is_said(tmp_path: Path) -> None:
    assert decided(tmp_path, "y = Identity (z)", given="logits").reason == "as --output-kind says"
    found = decided(tmp_path, "y = Softmax (z)", given="logits")
    assert found.classifier.output_kind == "logits"
    assert "WARNING: although every row is in 0 to 1 and sums to 1" in found.reason


COLUMNS = {"float[n,1] y": "", "float[n] y": " y = Squeeze (r, second)"}


@pytest.mark.parametrize("output", COLUMNS)
@pytest.mark.parametrize(("sigmoid", "kind"), [(True, "probabilities"), (False, "logits")])
def test_one_score_an_image_is_a_classifier_of_two_classes(
    output: str, sigmoid: bool, kind: str, tmp_path: Path
) -> None:
    inner = COLUMNS[output]
    body = f"{'r' if inner else 'y'} = {'Sigmoid' if sigmoid else 'Identity'} (z){inner}"
    found = decided(tmp_path, body, classes=1, output=output)
    logit = REAL @ np.array([float(value) for value in WEIGHTS.split(", ")[:4]])
    expected = 1 / (1 + np.exp(-logit))
    assert (found.single, found.classifier.output_kind) == (True, kind)
    scores = check_scores(found.classifier, REAL)
    assert scores.shape == (80, 2)
    given = scores if sigmoid else softmax(scores.astype(np.float64))
    np.testing.assert_allclose(given, np.stack([1 - expected, expected], axis=1), atol=1e-5)
    np.testing.assert_allclose(found.scores, scores, atol=1e-6)
    as_given = load_classifier(tmp_path / "m.onnx").scores(REAL)
    np.testing.assert_allclose(found.widened(as_given), scores, atol=1e-6)


@pytest.mark.parametrize(
    ("body", "given", "message"),
    [
        (
            "y = Tanh (z)",
            None,
            r"one score an image, from -\S+ to \S+, which may be a probability, a logit or",
        ),
        ("y = Exp (z)", None, "which may be a probability, a logit or neither: say --output-kind"),
        ("y = Identity (z)", "probabilities", "leaves the range 0 to 1; use --output-kind logits"),
    ],
)
def test_one_score_that_may_be_anything_is_refused(
    body: str, given: str | None, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=message):
        decided(tmp_path, body, classes=1, given=given)


def test_one_score_is_read_as_the_user_says(tmp_path: Path) -> None:
    assert decided(tmp_path, "y = Tanh (z)", classes=1, given="logits").classifier.output_kind == "logits"
