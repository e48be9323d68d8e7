"""Order of the classes, judged by what the model answers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from PIL import Image

from mutant_guard.errors import DataError, ModelError
from mutant_guard.store.model_card import DataRange, ModelCard
from mutant_store.build import build
from mutant_store.datasets import ImageData, load
from mutant_store.graph.classifier import Classifier
from mutant_store.loading.class_names import Naming, choose_classes, match_classes
from tests.support.demo import SETTINGS, SilentReport, perceptron

NATURAL = [str(number) for number in range(12)]
TEXT = sorted(NATURAL)
ANIMALS = [f"animal {number}" for number in range(12)]


def images(names: list[str], *, numbered: bool = False, count: int = 240) -> ImageData:
    where = DataRange(spec="npz:set.npz", source="0", start=0, stop=count)
    labels = np.arange(count) % len(names)
    return ImageData(np.zeros((count, 1, 1, 1), np.uint8), labels, tuple(names), where, numbered=numbered)


def model(names: list[str] | None = None, **card: object) -> Classifier:
    return Classifier(onnx.ModelProto(), "x", (4,), "y", "logits", ModelCard(**card), names)  # type: ignore[arg-type]


def answers(data: ImageData, order: list[str], right: float = 0.95) -> NDArray[np.int64]:
    """Return what a model with this order of classes says of images, a share of it right."""
    position = {name: number for number, name in enumerate(order)}
    said = np.array([position[data.class_names[label]] for label in data.labels.tolist()])
    wrong = np.arange(len(said)) >= right * len(said)
    return np.where(wrong, (said + 1) % len(order), said)


def chosen(
    data: ImageData, classifier: Classifier, order: list[str], given: list[str] | None = None
) -> Naming:
    return choose_classes(data, given, classifier, answers(data, order), 12)


@pytest.mark.parametrize("order", [NATURAL, TEXT])
def test_numbers_as_names_are_ordered_as_the_model_was_trained(order: list[str]) -> None:
    data = images(NATURAL)
    found = chosen(data, model(), order)
    assert found.names == order
    assert (answers(data, order) == found.labels).mean() == 0.95
    told = [note for note in found.notes if note.startswith("WARNING")]
    assert bool(told) is (order == TEXT)
    assert any("95.0% of 240 images right, 12 classes in the" in note for note in found.notes)
    if told:
        assert "the text order of the data's names 95.0%: that order is used (0, 1, 10, 11, 2, …)" in told[0]


def test_the_models_own_names_are_taken() -> None:
    data = images(sorted(ANIMALS))
    found = chosen(data, model(ANIMALS), ANIMALS)
    assert (found.names, found.source) == (ANIMALS, "the model's own order")
    assert not any(note.startswith("WARNING") for note in found.notes)


def test_names_of_the_models_own_take_the_place_of_numbers() -> None:
    data = images(NATURAL, numbered=True)
    found = chosen(data, model(ANIMALS), NATURAL)
    assert found.names == ANIMALS
    np.testing.assert_array_equal(found.labels, data.labels)


def test_names_of_the_models_own_that_are_others_are_passed_over_and_said() -> None:
    data = images(NATURAL)
    found = chosen(data, model(ANIMALS), NATURAL)
    assert found.names == NATURAL
    assert found.notes[0].startswith("the model's own class names (animal 0, animal 1,")
    assert "are not used: the data has classes the model does not name" in found.notes[0]


def test_an_order_that_fits_far_better_is_taken_and_said() -> None:
    data = images(NATURAL)
    for classifier in (model(TEXT), model(classes=TEXT)):
        found = chosen(data, classifier, NATURAL)
        assert found.names == NATURAL
        assert any("WARNING: " in note and "that order is used" in note for note in found.notes)


def test_an_order_that_was_given_is_refused_where_another_fits_far_better() -> None:
    with pytest.raises(
        DataError, match=r"order of --classes the classifier gets \d+\.\d% .* natural order .* 95\.0%"
    ):
        chosen(images(NATURAL), model(), NATURAL, given=TEXT)
    assert chosen(images(NATURAL), model(TEXT), NATURAL, given=NATURAL).names == NATURAL


def test_two_classes_that_are_exchanged_are_pointed_out() -> None:
    data = images(ANIMALS)
    swapped = [ANIMALS[1], ANIMALS[0], *ANIMALS[2:]]
    notes = chosen(data, model(), swapped).notes
    assert (
        "WARNING: images of class 'animal 0' are mostly answered 'animal 1'; check the order of the classes"
        in notes
    )
    assert not any("WARNING" in note for note in chosen(data, model(), ANIMALS).notes)


@pytest.mark.parametrize(
    ("right", "said", "warned"),
    [
        (0.95, 0.97, None),
        (0.75, 0.95, "gets 75.0% of the images right, and its metadata says 95.0%"),
        (0.4, None, "gets most of the images wrong"),
        (0.6, None, None),
    ],
)
def test_an_accuracy_that_is_not_plausible_is_pointed_out(
    right: float, said: float | None, warned: str | None
) -> None:
    data = images(ANIMALS, count=1200)
    predicted = answers(data, ANIMALS, right)
    notes = choose_classes(data, None, model(accuracy=said), predicted, 12).notes
    found = [note for note in notes if note.startswith("WARNING: the classifier")]
    assert [warned in note for note in found] == [True] if warned else not found


def test_an_accuracy_far_below_what_training_wrote_down_is_refused() -> None:
    data = images(ANIMALS)
    with pytest.raises(
        ModelError, match=r"gets 40\.0% of the images right, and its metadata says 98\.0%; check"
    ):
        choose_classes(data, None, model(accuracy=0.98), answers(data, ANIMALS, 0.4), 12)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a", "b", "a"], "class name 'a' is there 2 times"),
        (["a", "", "c"], "a class name is empty"),
        (["a", "b\nc", "c"], "a class name 'b�c' has a line break or the like in it"),
    ],
)
def test_names_that_are_none_or_there_twice_are_refused(names: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        match_classes(images(["a", "b", "c"]), names, 3)
    with pytest.raises(DataError, match=message):
        match_classes(images(names), None, 3)


def test_numbers_are_matched_by_name_where_the_names_are_numbers() -> None:
    data = images(NATURAL, numbered=True)
    assert match_classes(data, TEXT, 12)[1][2] == TEXT.index("2")
    assert match_classes(data, ANIMALS, 12)[1][2] == 2
    fewer = replace(data, class_names=tuple(NATURAL[:10]), labels=data.labels % 10)
    assert match_classes(fewer, ANIMALS, 12)[0] == ANIMALS


def stripes(folder: Path) -> None:
    """Write a folder for each of 12 classes, a bright column or row telling them apart."""
    for number in range(12):
        (folder / str(number)).mkdir(parents=True)
        for shade in range(25):
            pixels = np.full((6, 6), shade, np.uint8)
            pixels[(number - 6, slice(None)) if number > 5 else (slice(None), number)] = 200 + shade
            Image.fromarray(pixels).save(folder / str(number) / f"{shade}.png")


def detector(order: list[str]) -> onnx.ModelProto:
    weight = np.zeros((6, 6, 12), np.float32)
    for position, name in enumerate(order):
        number = int(name)
        weight[(number - 6, slice(None)) if number > 5 else (slice(None), number)][..., position] = 1
    return perceptron([(weight.reshape(36, 12), np.zeros(12, np.float32))], (1, 6, 6))


@pytest.mark.parametrize("order", [NATURAL, TEXT])
def test_a_build_says_the_name_that_the_folder_has(order: list[str], tmp_path: Path) -> None:
    stripes(tmp_path / "set")
    onnx.save(detector(order), tmp_path / "m.onnx")
    report = SilentReport()
    settings = replace(SETTINGS, selection=replace(SETTINGS.selection, mutants=4, accuracy_ratio=0.8))
    store = build(tmp_path / "m.onnx", f"imagefolder:{tmp_path}/set", tmp_path / "s", settings, report)
    assert store.manifest.classes == order
    assert store.manifest.original_accuracy == 1
    told = [number for number, step in enumerate(report.steps) if "100.0% of 300 images right" in step]
    drawing = next(number for number, step in enumerate(report.steps) if step.startswith("drawing"))
    assert told
    assert told[0] < drawing
    data = load(f"imagefolder:{tmp_path}/set")
    assert list(data.class_names) == NATURAL
