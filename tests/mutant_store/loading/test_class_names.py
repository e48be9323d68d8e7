"""Order of the classes, judged by what the model answers."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from PIL import Image

from mutant_guard.errors import DataError, ModelError
from mutant_guard.store.calibration_record import CalibrationSettings
from mutant_guard.store.model_card import DataRange, ModelCard
from mutant_store.build import build
from mutant_store.calibrating.recalibrate import recalibrate
from mutant_store.datasets import ImageData, load
from mutant_store.graph.classifier import Classifier
from mutant_store.loading.class_names import Naming, choose_classes
from mutant_store.loading.data_labels import match_classes
from mutant_store.loading.imagenet import imagenet_classes, imagenet_names
from tests.support.demo import SETTINGS, SilentReport, perceptron

NATURAL = [str(number) for number in range(12)]
TEXT = sorted(NATURAL)
LETTERS = list("abcdefghijkl")
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
    data = images(LETTERS)
    found = chosen(data, model(ANIMALS), LETTERS)
    assert found.names == LETTERS
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


def some(names: list[str], kept: list[int], **options: bool) -> ImageData:
    """Return images of some of the classes, named in the data's own order."""
    return images([names[place] for place in kept], **options)


@pytest.mark.parametrize("numbered", [False, True])
@pytest.mark.parametrize("names", [ANIMALS, None])
def test_numbers_are_positions_of_some_of_the_models_classes(names: list[str] | None, numbered: bool) -> None:
    data = images(["0", "1", "10"], numbered=numbered)
    found = choose_classes(data, None, model(names), np.array([0, 1, 10])[data.labels], 12)
    assert found.names == (names or NATURAL)
    assert (np.unique(found.labels).tolist(), found.accuracy(found.labels)) == ([0, 1, 10], 1)
    assert any(note.startswith("the images are of 3 of the 12 classes: ") for note in found.notes)
    if not numbered:
        with pytest.raises(DataError, match=r"model has 10 classes and the data has 3"):
            match_classes(data, None, 10)


def test_some_of_the_classes_are_found_by_any_spelling() -> None:
    names = [
        "n02012849 crane",
        "tench, Tinca tinca",
        "great white shark, white shark",
        "pug",
        "tabby",
        "n03126707 crane",
    ]
    data = images(["PUG", "Great_White_Shark", "n03126707", "tinca tinca"])
    found, labels = match_classes(data, names, 6)
    assert found == names
    np.testing.assert_array_equal(labels[:4], [3, 2, 5, 1])
    with pytest.raises(
        DataError, match=r"the data's class 'crane' fits the model's classes n02012849 crane, n0312"
    ):
        match_classes(images(["crane"]), names, 6)
    with pytest.raises(
        DataError, match=r"the data's classes Tench, tinca tinca are one class of the model, 'tench"
    ):
        match_classes(images(["Tench", "tinca tinca"]), names, 6)
    with pytest.raises(DataError, match=r"classes the model does not name: lion, n00000001; check --classes"):
        match_classes(images(["pug", "n00000001", "lion"]), names, 6)


def test_names_that_are_there_twice_get_their_position_unless_the_data_has_them() -> None:
    names = [*ANIMALS[:10], "crane", "crane"]
    found = chosen(images(ANIMALS[:10]), model(), ANIMALS, given=names)
    assert found.names == [*ANIMALS[:10], "crane (10)", "crane (11)"]
    assert any(
        note.endswith("have their position behind them: crane (10), crane (11)") for note in found.notes
    )
    with pytest.raises(DataError, match="class name 'crane' is there 2 times"):
        chosen(images([*ANIMALS[:10], "crane"]), model(), [*ANIMALS[:10], "crane"], given=names)


@pytest.mark.parametrize("background", [0, 1])
@pytest.mark.parametrize("named", [True, False])
def test_some_of_imagenets_folders_are_found_among_its_1000_classes(background: int, named: bool) -> None:
    places = np.sort(np.random.default_rng(0).permutation(1000)[:300])
    data = images([imagenet_classes()[place].split()[0] for place in places], count=600)
    right = places[data.labels] + background
    names = [*(f"thing {number}" for number in range(998)), "crane", "crane"] if named else None
    found = choose_classes(data, names, model(), right, 1000 + background)
    np.testing.assert_array_equal(found.labels, right)
    own = names or [line.partition(" ")[2] for line in imagenet_classes()]
    assert found.names[: 100 + background] == [*["background"] * background, *own[:100]]
    assert len(set(found.names)) == 1000 + background
    assert match_classes(data, found.names, 1000 + background)[1].tolist() == right.tolist()
    with pytest.raises(ModelError, match=r"gets only 0\.\d% of .* right, no better than chance for 1"):
        choose_classes(data, names, model(), np.roll(right, 1), 1000 + background)


@pytest.mark.parametrize("cranes", [True, False])
def test_imagenets_names_in_any_order_are_put_into_its_own(cranes: bool) -> None:
    lines = imagenet_classes()
    kept = [*range(0, 300, 3), *([134, 517] if cranes else [])]
    data = images([lines[place].split()[0] for place in sorted(kept)], count=600)
    right = np.array(sorted(kept))[data.labels]
    names = imagenet_names(1000)
    mixed = [names[place] for place in np.random.default_rng(8).permutation(1000)]
    found = choose_classes(data, mixed, model(), right, 1000)
    assert [found.names[place] for place in (0, 134, 517, 999)] == [
        "tench",
        "crane (134)",
        "crane (517)",
        names[999],
    ]
    np.testing.assert_array_equal(found.labels, right)
    assert found.source == "the order of the WordNet numbers"
    if not cranes:
        ordered = np.array([mixed.index(names[place]) for place in right])
        assert choose_classes(data, mixed, model(), ordered, 1000).names[:100] == mixed[:100]


def test_numbers_before_the_names_are_their_order() -> None:
    for first in (0, 1):
        given = [f"{number + first}: {name}" for number, name in enumerate(ANIMALS)][::-1]
        assert chosen(some(ANIMALS, [7, 2]), model(), ANIMALS, given=given).names == ANIMALS
    coins = [f"{number} cent" for number in range(12)]
    assert chosen(some(coins, [7, 2]), model(), coins, given=coins).names == coins


def test_names_in_another_order_follow_their_wordnet_numbers_or_the_metadata() -> None:
    numbers = [f"n{1000 + number:08d} {name}" for number, name in enumerate(ANIMALS)]
    mixed = [numbers[place] for place in np.random.default_rng(5).permutation(12)]
    found = chosen(images(ANIMALS), model(), ANIMALS, given=mixed)
    assert found.names == numbers
    assert any(
        "WARNING: " in note and "the order of the WordNet numbers 95.0%" in note for note in found.notes
    )
    upper = [name.upper() for name in ANIMALS]
    for own in (model(ANIMALS), model(classes=ANIMALS)):
        assert chosen(images(ANIMALS), own, ANIMALS, given=upper[::-1]).names == upper


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


def test_a_store_of_some_of_the_classes_names_all_and_calibrates_again(tmp_path: Path) -> None:
    stripes(tmp_path / "set")
    names = [f"{word} stripe" for word in "abcdefghijkl"]
    for number in (0, 2, 3, 4, 5, 6, 7, 8):
        shutil.rmtree(tmp_path / "set" / str(number))
    for name in ("10", "11"):
        (tmp_path / "set" / name).rename(tmp_path / "set" / names[int(name)].upper())
    for number in (1, 9):
        (tmp_path / "set" / str(number)).rename(tmp_path / "set" / f"{'abcdefghijkl'[number]}_stripe")
    onnx.save(detector(NATURAL), tmp_path / "m.onnx")
    selection = replace(SETTINGS.selection, mutants=8, rate=0.1, accuracy_ratio=0.5)
    easy = CalibrationSettings(max_false_alarm=0.15)
    settings = replace(SETTINGS, selection=selection, classes=names, calibration=easy)
    spec = f"imagefolder:{tmp_path}/set"
    store = build(tmp_path / "m.onnx", spec, tmp_path / "s", settings, SilentReport())
    assert (store.manifest.classes, store.manifest.original_accuracy) == (names, 1)
    certified = recalibrate(tmp_path / "s", SilentReport(), spec=f"{spec}[50:]").calibration.policies
    assert all(policy.certificate for name, policy in certified.items() if name != "paper")
