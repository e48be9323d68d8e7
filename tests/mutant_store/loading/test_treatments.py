"""A treatment of images with which the classifier does much better is noticed, and a right one never asked about."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from sklearn.neural_network import MLPClassifier

from mutant_guard.errors import ModelError
from mutant_guard.store.calibration_record import CalibrationSettings
from mutant_guard.store.manifest import InputSpec
from mutant_store.build import build
from mutant_store.cli.app import app
from mutant_store.datasets import load
from mutant_store.loading.companions import CompanionSource, load_companions
from mutant_store.loading.input_spec import InputOptions
from mutant_store.loading.model_source import ModelSource
from mutant_store.loading.subject import Subject, load_subject
from mutant_store.loading.treatments import Dialogue, other_treatments
from tests.support.demo import SETTINGS, SilentReport, perceptron

DIGITS = "digits@holdout"
TINTS = np.array([0.7, 0.85, 1.0])
IMAGENET = InputSpec(
    height=8,
    width=8,
    channels=3,
    mean=[0.485, 0.456, 0.406],
    std=[0.229, 0.224, 0.225],
    layout="nchw",
    resize="crop:9",
)


class Asked:
    """A person who is asked, remembers the question and gives one answer."""

    def __init__(self, answer: bool = False) -> None:
        self.questions: list[str] = []
        self._answer = answer

    def __call__(self, question: str) -> bool:
        self.questions.append(question)
        return self._answer


def subject(
    model: Path, spec: str, asked: Asked, report: SilentReport | None = None, **options: Any
) -> Subject:
    return load_subject(
        model,
        spec,
        InputOptions(**options),
        output=None,
        output_kind=None,
        classes=None,
        layers_pattern=None,
        calibration=CalibrationSettings(max_false_alarm=0.1),
        dialogue=Dialogue(report or SilentReport(), asked),
    )


def saved(path: Path, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> str:
    np.savez(path, x=images, y=labels)
    return f"npz:{path}"


@pytest.fixture(scope="module")
def coloured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return a network that tells red, green and blue digits apart, and such digits."""
    folder = tmp_path_factory.mktemp("coloured")
    data = load("digits@train")
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, len(data))
    images = np.repeat(data.images, 3, axis=3) * TINTS[(labels[:, None] + range(3)) % 3][:, None, None]
    images = np.clip(images + rng.normal(0, 8, images.shape), 0, 255).astype(np.uint8)
    rows = IMAGENET.tensor(images[:600]).reshape(600, -1)
    net = MLPClassifier((8,), random_state=0, max_iter=300, tol=0.01).fit(rows, labels[:600])
    weights = [
        (w.astype(np.float32), b.astype(np.float32)) for w, b in zip(net.coefs_, net.intercepts_, strict=True)
    ]
    onnx.save(perceptron(weights, (3, 8, 8)), folder / "model.onnx")
    return folder / "model.onnx", saved(folder / "x.npz", images[600:], labels[600:])


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        ({"mean": [0.5], "std": [0.5]}, "with pixels from 0 to 1 (--mean 0 --std 1) the classifier gets 9"),
        ({"mean": [0.0], "std": [8.0]}, "with pixels from 0 to 1 (--std 1) the classifier gets 9"),
    ],
)
def test_a_wrong_normalisation_is_noticed(digits_model: Path, options: dict[str, Any], remedy: str) -> None:
    asked = Asked()
    with pytest.raises(ModelError, match="give these options, or go on as it is with --yes") as error:
        subject(digits_model, DIGITS, asked, **options)
    assert remedy in str(error.value)
    assert asked.questions == [str(error.value).partition(": give these")[0]]


def test_answers_no_better_than_chance_name_the_remedy_as_well(digits_model: Path) -> None:
    asked = Asked(True)
    with pytest.raises(ModelError, match=r"no better than chance .*; with pixels from 0 to 1 .*: give these"):
        subject(digits_model, DIGITS, asked, mean=[125.0], std=[60.0])
    assert asked.questions == []


def test_exchanged_channels_and_a_foreign_mean_are_noticed(coloured: tuple[Path, str]) -> None:
    model, spec = coloured
    right: dict[str, Any] = {"mean": IMAGENET.mean, "std": IMAGENET.std}
    asked = Asked()
    assert subject(model, spec, asked, **right).filter.correct.mean() > 0.9
    assert asked.questions == []
    with pytest.raises(ModelError, match=r"with blue and red exchanged \(--channel-order rgb\) "):
        subject(model, spec, asked, **right, channel_order="bgr")
    with pytest.raises(
        ModelError, match=r"with ImageNet's mean and standard deviation \(--mean 0\.485,0\.456,0\.406\) "
    ):
        subject(model, spec, asked, mean=[0.9, 0.5, 0.1], std=IMAGENET.std)


def test_blue_green_and_red_are_taken_but_not_trained_again(
    coloured: tuple[Path, str], tmp_path: Path
) -> None:
    """A network of red, green and blue is one of blue, green and red for images with exchanged channels."""
    model, spec = coloured
    data, asked = load(spec), Asked()
    turned = saved(tmp_path / "turned.npz", data.images[..., ::-1], data.labels)
    options = InputOptions(mean=IMAGENET.mean, std=IMAGENET.std, channel_order="bgr")
    settings = replace(SETTINGS, operator="retrain", input=options)
    with pytest.raises(ModelError, match="blue, green and red cannot be trained again as it is"):
        build(model, turned, tmp_path / "store", settings, SilentReport(), asked)
    assert asked.questions == []


def test_squashed_images_of_a_network_that_wants_the_centre_are_noticed(
    digits_model: Path, tmp_path: Path
) -> None:
    data = load(DIGITS)
    tall = np.random.default_rng(0).integers(0, 256, (len(data), 18, 9, 1)).astype(np.uint8)
    tall[:, 5:13, :8] = data.images
    tall[:, 5:13, 8] = 0
    spec = saved(tmp_path / "tall.npz", tall, data.labels)
    asked = Asked()
    with pytest.raises(ModelError, match=r"with the centre cropped \(--resize crop:9\)"):
        subject(digits_model, spec, asked, resize="bilinear")
    assert subject(digits_model, spec, asked, resize="crop:9").filter.correct.mean() > 0.8
    assert len(asked.questions) == 1


def test_whoever_says_yes_goes_on(digits_model: Path) -> None:
    asked = Asked(True)
    found = subject(digits_model, DIGITS, asked, mean=[0.5], std=[0.5])
    assert len(asked.questions) == 1
    assert f"WARNING: {asked.questions[0]}; gone on all the same" in found.notes


def test_a_companions_wrong_treatment_is_noticed(digits_model: Path) -> None:
    own, asked = subject(digits_model, DIGITS, Asked()), Asked()
    source = CompanionSource(ModelSource(str(digits_model)), InputOptions(mean=[0.5], std=[0.5]))
    with pytest.raises(ModelError, match=r"\(mean=0;std=1\) companion digits\.onnx gets 9.*--yes"):
        load_companions([source], own, DIGITS, accuracy_ratio=0.5, dialogue=Dialogue(SilentReport(), asked))
    assert len(asked.questions) == 1


@pytest.mark.parametrize("spread", [40.0, 70.0])
def test_the_right_treatment_of_hard_images_is_never_asked_about(
    digits_model: Path, tmp_path: Path, spread: float
) -> None:
    """Digits under noise, of which the network gets a half to nine in ten right."""
    data = load(DIGITS)
    noise = np.random.default_rng(0).normal(0, spread, data.images.shape)
    images = np.clip(data.images + noise, 0, 255).astype(np.uint8)
    asked = Asked()
    found = subject(digits_model, saved(tmp_path / "x.npz", images, data.labels), asked)
    assert 0.4 < found.filter.correct.mean() < 0.95
    assert "the classifier: 2 other treatments of images tried, none of them much better" in found.notes
    assert asked.questions == []


def test_the_race_ends_when_its_time_is_up_and_tells_what_may_be_chance(
    digits_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mutant_store.loading.treatments._SECONDS", 0.0)
    asked, report = Asked(), SilentReport()
    found = subject(digits_model, DIGITS, asked, report, mean=[0.0], std=[14.0])
    assert report.calls == [(16, 600)]
    assert asked.questions == []
    assert any(note.endswith("; that may be chance: try it") for note in found.notes)


def test_the_usual_treatments_are_those_that_are_not_in_use() -> None:
    options = {other.name: other.options for other in other_treatments(IMAGENET)}
    assert options == {
        "pixels from 0 to 1": {"mean": "0,0,0", "std": "1,1,1"},
        "pixels from 0 to 255": {"mean": "0,0,0", "std": "0.003922,0.003922,0.003922"},
        "pixels from -1 to 1": {"mean": "0.5,0.5,0.5", "std": "0.5,0.5,0.5"},
        "blue and red exchanged": {"channel-order": "bgr"},
        "blue and red exchanged, in mean and std as well": {
            "channel-order": "bgr",
            "mean": "0.406,0.456,0.485",
            "std": "0.225,0.224,0.229",
        },
        "Caffe's": {
            "channel-order": "bgr",
            "mean": "0.4076,0.458,0.485",
            "std": "0.003922,0.003922,0.003922",
        },
        "images squashed": {"resize": "bilinear"},
    }
    grey = IMAGENET.model_copy(update={"channels": 1, "mean": [0.0], "std": [1.0], "resize": "bicubic"})
    assert [other.name for other in other_treatments(grey)] == [
        "pixels from 0 to 255",
        "pixels from -1 to 1",
        "the centre cropped",
    ]


@pytest.mark.slow
def test_build_ends_with_one_line_and_goes_on_with_yes(
    digits_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def built(*more: str) -> int | str | None:
        options = ["--mean", "0.5", "--std", "0.5", "--mutants", "2", "--rate", "0.02"]
        with pytest.raises(SystemExit) as ended:
            app(["build", str(digits_model), "--data", DIGITS, "--out", str(tmp_path / "s"), *options, *more])
        return ended.value.code

    assert built() == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: with pixels from 0 to 1 (--mean 0 --std 1)")
    assert last.endswith("give these options, or go on as it is with --yes")
    assert built("--yes") == 0
    assert "gone on all the same" in capsys.readouterr().err
