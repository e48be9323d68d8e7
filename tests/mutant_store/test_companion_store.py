"""Stores of companions: evidence, orders and exports are those of the companions' own files."""

import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import PIL.Image
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from mutant_guard import Guard
from mutant_guard.decision.evidence.kinds import UNIT
from mutant_guard.errors import ModelError
from mutant_guard.store.manifest import InputSpec
from mutant_guard.store.reader import Store, load_store
from mutant_store.bank.export import open_mutants
from mutant_store.calibrating.clean_images import load_images
from mutant_store.calibrating.recalibrate import recalibrate
from mutant_store.calibrating.recordings import record
from mutant_store.cli.app import app
from mutant_store.datasets import load
from tests.support.demo import SilentReport, build_companion_store
from tests.support.service import encode
from tests.support.versions import copy_of

TEST = "digits@test[0:60]"


@pytest.fixture(scope="module")
def store(companion_store: Path) -> Store:
    return load_store(companion_store)


def softmax(logits: NDArray[np.float32], temperature: float) -> NDArray[np.float64]:
    powers = np.exp((logits - logits.max(axis=1, keepdims=True)).astype(np.float64) / temperature)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def answers(file: Path, pixels: NDArray[np.uint8], spec: InputSpec) -> NDArray[np.float32]:
    """Return the scores of an ONNX file for images uint8 [N, 8, 8, 1], resized by Pillow alone."""
    sized = np.stack(
        [
            np.asarray(
                PIL.Image.fromarray(image[:, :, 0]).resize(
                    (spec.width, spec.height), PIL.Image.Resampling.BILINEAR
                )
            )
            for image in pixels
        ]
    )
    values = (sized.astype(np.float32) / 255 - np.float32(spec.mean[0])) / np.float32(spec.std[0])
    values = values.reshape(len(values), -1) if spec.layout == "flat" else values[:, None]
    session = onnxruntime.InferenceSession(file)
    return np.asarray(session.run(None, {session.get_inputs()[0].name: values})[0])


def expected_evidence(
    store: Store, folder: Path, model: Path, pixels: NDArray[np.uint8]
) -> NDArray[np.float64]:
    """Return the evidence of both companions, float64 [N, 2], computed from the files with numpy alone."""
    doubts = store.calibration.doubts
    assert doubts is not None
    own = softmax(answers(model, pixels, store.manifest.input), doubts.own_temperature)
    label, found = own.argmax(axis=1), []
    for companion, temperature in zip(store.manifest.companions, doubts.temperatures, strict=True):
        scores = answers(folder / companion.source, pixels, companion.input)
        if companion.output_kind == "probabilities":
            scores = np.log(np.maximum(scores, 1e-12))
        if companion.class_map is not None:
            scores = scores[:, companion.class_map]
        theirs = softmax(scores, temperature)
        apart = 1 - np.sqrt(own * theirs).sum(axis=1)
        found.append((4 * apart + 1 - theirs[np.arange(len(label)), label]) / 5)
    return np.stack(found, axis=1)


def test_recorded_evidence_is_that_of_the_companions_files(
    store: Store, companion_store: Path, digits_model: Path
) -> None:
    images, doubts = load_images(store, TEST), store.calibration.doubts
    assert doubts is not None
    found = record(
        store.session(threads=1), 2, images.inputs, images.labels, lambda done: None, doubts.doubts
    )
    expected = expected_evidence(store, companion_store.parent, digits_model, load(TEST).images)
    assert found.doubts is not None
    np.testing.assert_allclose(found.doubts / UNIT, expected, atol=2e-4)
    assert 0.01 < expected.mean() < 0.5


def test_a_request_meets_the_companions_with_that_evidence_cheapest_first(
    store: Store, companion_store: Path, digits_model: Path
) -> None:
    pixels = load("digits@test[0:40]").images
    expected = expected_evidence(store, companion_store.parent, digits_model, pixels)
    first, second = np.argsort([companion.relative_cost for companion in store.manifest.companions])
    doubts, used = store.calibration.doubts, []
    assert doubts is not None
    weights = np.array(doubts.weights)
    assert weights.max() == 1 > weights.min() > 0
    with Guard(companion_store, order_key="k" * 16, device="cpu", threads=1) as guard:
        for image, row in zip(pixels, expected, strict=True):
            for given in (image, encode(image[:, :, 0])):  # pixels, and the file that holds them
                judged = guard.classify(given).judgement
                wanted = (row * weights)[[first, second]][: judged.mutants]
                np.testing.assert_allclose(np.array(judged.evidence) / UNIT, wanted, atol=2e-4)
                assert judged.operators == ["companion"] * judged.mutants
                used.append(judged.mutants)
    assert set(used) == {1, 2}


def test_contributions_are_those_of_the_recordings(store: Store) -> None:
    from mutant_store.calibrating.contributions import contributions
    from mutant_store.calibrating.recordings import kept_recordings

    found, kept = contributions(store), kept_recordings(store)
    assert [each.companion.source for each in found] == ["own.onnx", "wide.onnx"]
    doubts, correct = (
        np.concatenate([getattr(part, name) for part in kept.values()]) for name in ("doubts", "correct")
    )
    for each in found:
        mine = doubts[:, each.companion.mutant - 1] * each.weight
        bar = np.sort(mine[correct])[int(np.ceil(0.95 * (correct.sum() - 1)))]
        assert each.alone == pytest.approx((mine[~correct] > bar).mean(), abs=0.04)
        assert each.wrong == (~correct).sum() > 5
    assert found[1].together >= found[1].alone - 0.2


def test_views_belong_to_the_digest(store: Store, companion_store: Path) -> None:
    """An image that only a companion sees another way has an order and a cache entry of its own."""
    from mutant_guard.runtime.order import Order

    order = Order(b"k" * 32, pool=40, decks=1 << 16)
    same, other = np.zeros((8, 8, 1), np.uint8), np.ones((12, 12, 1), np.uint8)
    orders = {tuple(order.mutants(same, view)) for view in (np.zeros_like(other), other)}
    assert len(orders) == 2
    assert store.manifest.views[0].height == 12


def test_exported_companions_answer_in_the_originals_order(
    store: Store, companion_store: Path, tmp_path: Path
) -> None:
    pixels = load(TEST).images
    for number, companion in enumerate(store.manifest.companions, 1):
        file = tmp_path / f"{number}.onnx"
        file.write_bytes(open_mutants(store).model(number).SerializeToString())
        found = answers(file, pixels, companion.input)
        given = answers(companion_store.parent / companion.source, pixels, companion.input)
        order = companion.class_map or list(range(10))
        assert np.array_equal(found.argmax(axis=1), given[:, order].argmax(axis=1))
        assert (found.argmax(axis=1) == load(TEST).labels).mean() > 0.85


def test_every_command_works_on_the_store(companion_store: Path, tmp_path: Path) -> None:
    copy = copy_of(companion_store, tmp_path)
    for command in (["verify", copy], ["inspect", copy], ["simulate", copy, "--no-grid"], ["versions", copy]):
        ran = CliRunner().invoke(app, [str(part) for part in command])
        assert ran.exit_code == 0, ran.output
    shown = " ".join(CliRunner().invoke(app, ["inspect", str(copy)], env={"COLUMNS": "200"}).output.split())
    assert "companions, cheapest first" in shown
    assert shown.index("own.onnx") < shown.index("wide.onnx")
    again = recalibrate(copy, SilentReport(), max_false_alarm=0.1)
    anew = recalibrate(copy, SilentReport(), spec="digits@test[0:280]")
    for made in (again, anew):
        doubts = made.calibration.doubts
        assert doubts is not None
        assert (doubts.companions, len(doubts.temperatures), doubts.own_weight) == (2, 2, 2.0)
        assert doubts.energy_spread > 0


def test_pools_of_companions_and_mutants(digits_model: Path, companion_store: Path, tmp_path: Path) -> None:
    folder = companion_store.parent
    made = build_companion_store(
        digits_model,
        folder / "wide.onnx",
        folder / "own.onnx",
        tmp_path / "digits",
        operator="mixed:companion,nai",
        mutants=4,
    )
    assert made.operators() == ["companion"] * 2 + ["nai"] * 4
    assert sorted(set(made.manifest.ranks[2:])) == [2]
    assert sorted(made.manifest.ranks[:2]) == [0, 1]
    with Guard(tmp_path / "digits", policy="fixed", order_key="k" * 16, device="cpu") as guard:
        judged = guard.classify(load(TEST).images[0]).judgement
    assert judged.operators[: min(2, judged.mutants)] == ["companion"] * min(2, judged.mutants)


def test_what_does_not_fit_is_refused_in_one_line(
    digits_model: Path, companion_store: Path, tmp_path: Path
) -> None:
    folder, out = companion_store.parent, tmp_path / "digits"
    with pytest.raises(ModelError, match=r"own\.onnx gets .* lower --accuracy-ratio"):
        build_companion_store(
            digits_model, folder / "wide.onnx", folder / "own.onnx", out, accuracy_ratio=1.0
        )
    with pytest.raises(ModelError, match="add it, as in mixed:companion,nai"):
        build_companion_store(digits_model, folder / "wide.onnx", folder / "own.onnx", out, operator="nai")
    arguments = ["build", str(digits_model), "--data", "digits@holdout", "--out", str(out), "--companion"]
    for text, said in (
        ("wide.onnx;size", "is no setting of its own"),
        ("wide.onnx;layout=x", "layout is one of"),
        (f"{folder / 'wide.onnx'};size=12x12;mean=1,2", "--mean and --std need 1 value"),
    ):
        ran = CliRunner().invoke(app, [*arguments, text])
        assert ran.exit_code
        assert said in " ".join(ran.output.split())
    shutil.rmtree(out, ignore_errors=True)
