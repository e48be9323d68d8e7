"""Classes of a companion that stand for those of the original."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mutant_guard.errors import DataError, ModelError
from mutant_store.loading.class_map import ClassMap, map_classes, read_class_map

FULL = [
    "tench, Tinca tinca",
    "great white shark, white shark, man-eater",
    "crane",
    "Cardigan, Cardigan Welsh corgi",
    "cardigan",
    "crane",
    "maillot",
    "maillot, tank suit",
    "missile",
    "projectile, missile",
    "jack-o'-lantern",
    "sunglasses, dark glasses, shades",
]
WNIDS = [
    *("n01440764", "n01484850", "n02012849", "n02113186", "n02963159", "n03126707"),
    *("n03710637", "n03710721", "n03773504", "n04008634", "n03590841", "n04356056"),
]
SHORT = [
    *("tench", "great_white_shark", "crane", "Cardigan", "cardigan", "crane", "maillot", "maillot"),
    *("missile", "projectile", "Jack o lantern", "sunglasses"),
]
SHUFFLED = np.random.default_rng(3).permutation(len(FULL))
PLAIN = [f"animal {number}" for number in range(10)]


def answers(places: NDArray[np.int64], labels: NDArray[np.int64], right: float = 0.9) -> NDArray[np.int64]:
    """Return what a companion with its classes at these places says, a share of it right."""
    said = np.maximum(places[labels], 0)
    wrong = np.random.default_rng(1).random(len(said)) >= right
    return np.where(wrong, (said + 1) % (places.max() + 1), said)


def mapped(
    original: list[str],
    companion: list[str] | None,
    places: list[int] | NDArray[np.int64],
    *,
    outputs: int | None = None,
    right: float = 0.9,
    **options: dict[str, str | int | None],
) -> ClassMap:
    labels = np.arange(300) % len(original)
    said = answers(np.asarray(places), labels, right)
    count = outputs or (len(companion) if companion else len(original))
    return map_classes(original, companion, count, said, labels, name="lite1.onnx", **options)


@pytest.mark.parametrize(
    ("original", "companion"),
    [
        (FULL, FULL),
        (FULL, SHORT),
        (SHORT, FULL),
        (FULL, [name.upper() for name in SHORT]),
        (WNIDS, [f"{wnid} {name}" for wnid, name in zip(WNIDS, FULL, strict=True)]),
        ([f"{wnid}_{name}" for wnid, name in zip(WNIDS, SHORT, strict=True)], WNIDS),
    ],
    ids=["same", "short", "long", "upper case", "numbers", "underscores"],
)
def test_one_order_of_classes_is_matched_whatever_the_spelling(
    original: list[str], companion: list[str]
) -> None:
    found = mapped(original, companion, np.arange(len(FULL)))
    np.testing.assert_array_equal(found.to_companion, np.arange(len(FULL)))
    assert found.notes[0].startswith(
        "lite1.onnx: 12 of 12 classes matched by name; it answers the label on 90.7% of "
    )
    with_background = mapped(original, ["background", *companion], np.arange(1, len(FULL) + 1))
    np.testing.assert_array_equal(with_background.to_companion, np.arange(1, len(FULL) + 1))


def test_positions_behind_names_that_are_there_twice_are_no_part_of_them() -> None:
    served = ["cat", "crane (1)", "dog", "crane (3)"]
    found = mapped(served, ["cat", "crane", "dog", "crane"], np.arange(4))
    np.testing.assert_array_equal(found.to_companion, np.arange(4))
    found = mapped(served, ["dog", "cat"], [1, -1, 0, -1], chosen={"crane (1)": None})
    np.testing.assert_array_equal(found.to_companion, [1, -1, 0, -1])


def test_another_order_is_matched_by_wordnet_number() -> None:
    original = [f"{wnid} {name}" for wnid, name in zip(WNIDS, SHORT, strict=True)]
    companion = [f"{FULL[place]} ({WNIDS[place]})" for place in SHUFFLED]
    found = mapped(original, companion, np.argsort(SHUFFLED))
    np.testing.assert_array_equal(found.to_companion, np.argsort(SHUFFLED))


def test_a_name_that_fits_several_classes_is_refused_unless_the_user_maps_it() -> None:
    companion, places = [FULL[place] for place in SHUFFLED], np.argsort(SHUFFLED)
    with pytest.raises(
        ModelError, match=r"class 'crane' \(2\) fits the classes crane \(\d+\), crane \(\d+\) of"
    ):
        mapped(SHORT, companion, places)
    chosen: dict[str, str | int | None] = {"2": int(places[2]), "5": str(places[5])}
    chosen |= {"6": int(places[6]), "7": "maillot, tank suit"}
    found = mapped(SHORT, companion, places, chosen=chosen)
    np.testing.assert_array_equal(found.to_companion, places)
    with pytest.raises(
        ModelError, match=r"--class-map: class 'crane' fits crane \(2\), crane \(5\) of the orig"
    ):
        mapped(SHORT, companion, places, chosen={"crane": 1})


def test_several_classes_may_be_synonyms_of_one_of_the_companion() -> None:
    found = mapped(["tench", "goldfish", "pug", "cat"], ["cat", "fish, tench, goldfish", "pug"], [1, 1, 2, 0])
    np.testing.assert_array_equal(found.to_companion, [1, 1, 2, 0])


def test_a_file_maps_to_coarser_classes_and_names_do_the_rest(tmp_path: Path) -> None:
    (tmp_path / "map.json").write_text('{"beagle": "dog", "pug": "Dog", "n01440764 tench": 2, "crane": null}')
    original = ["n01440764", "pug", "tabby", "crane", "beagle"]
    chosen = read_class_map(tmp_path / "map.json")
    found = mapped(original, ["dog", "tabby cat, tabby", "fish"], [2, 0, 1, -1, 0], chosen=chosen)
    np.testing.assert_array_equal(found.to_companion, [2, 0, 1, -1, 0])
    assert found.notes[1] == "lite1.onnx has no class for crane"
    assert 0.8 < found.agreement < 0.97


@pytest.mark.parametrize("entry", [{"lion": "dog"}, {"pug": "lion"}, {"pug": 3}, {"pug": -1}, {"9": 0}])
def test_an_entry_that_is_no_class_is_refused_by_name(entry: dict[str, str | int | None]) -> None:
    wrong = next(text for text in (*entry, *entry.values()) if text not in {"pug", "dog", 0})
    with pytest.raises(ModelError, match=f"--class-map: class '{wrong}' is none of"):
        mapped(["pug", "tabby"], ["dog", "tabby", "fish"], [0, 1], chosen=entry)


def test_half_of_the_classes_suffice_and_fewer_are_refused() -> None:
    places = [*range(5), *[-1] * 5]
    found = mapped(PLAIN, PLAIN[:5], places)
    np.testing.assert_array_equal(found.to_companion, places)
    assert "lite1.onnx has no class for animal 5, animal 6, animal 7, animal 8, animal 9" in found.notes
    with pytest.raises(
        ModelError,
        match=r"lite1.onnx has only 4 of the original's 10 classes: it has none of animal 4, .*6 in all",
    ):
        mapped(PLAIN, PLAIN[:4], [*range(4), *[-1] * 6])


@pytest.mark.parametrize(
    ("original", "companion"),
    [(PLAIN, None), (list("0123456789"), PLAIN), (PLAIN, list("0123456789")), (PLAIN, list("abcdefghij"))],
    ids=["no names", "numbers here", "numbers there", "nothing in common"],
)
def test_without_names_the_order_is_taken_and_checked(
    original: list[str], companion: list[str] | None
) -> None:
    found = mapped(original, companion, np.arange(10), right=0.5)
    np.testing.assert_array_equal(found.to_companion, np.arange(10))
    assert "10 of 10 classes" in found.notes[0]
    with pytest.raises(ModelError, match=r"answers the label on \d+\.\d% of 300 images, and .* --class-map"):
        mapped(original, companion, np.roll(np.arange(10), 1))


def test_a_background_class_before_the_others_is_left_out() -> None:
    found = mapped(PLAIN, None, np.arange(1, 11), outputs=11)
    np.testing.assert_array_equal(found.to_companion, np.arange(1, 11))
    with pytest.raises(ModelError, match="has 12 classes and the original 10, and there are no names"):
        mapped(PLAIN, None, np.arange(10), outputs=12)


def test_names_that_the_answers_belie_are_refused() -> None:
    with pytest.raises(ModelError, match=r"its classes matched by name, answers the label on"):
        mapped(PLAIN, PLAIN, np.roll(np.arange(10), 1))
    with pytest.raises(ModelError, match="has 10 classes and 3 names of classes"):
        mapped(PLAIN, PLAIN[:3], np.arange(10), outputs=10)


def test_an_answer_that_never_changes_is_chance() -> None:
    labels = np.repeat([0, 1], [270, 30])
    constant, right = np.zeros(300, np.int64), labels.copy()
    with pytest.raises(ModelError, match=r"answers the label on 90\.0% of 300 images, and 95\.2% would be"):
        map_classes(["cat", "dog"], None, 2, constant, labels)
    assert map_classes(["cat", "dog"], None, 2, right, labels).agreement == 1
    assert map_classes(["cat", "dog"], None, 2, constant, constant).agreement == 1


def test_images_of_none_of_the_shared_classes_are_refused() -> None:
    labels = np.full(80, 9)
    with pytest.raises(ModelError, match="has none of the classes of the 80 images"):
        map_classes(PLAIN, PLAIN[:9], 9, np.zeros(80, np.int64), labels)


@pytest.mark.parametrize(
    "content",
    [
        *(
            b"",
            b"{",
            b"[1]",
            b"{}",
            b'{"a": 1.5}',
            b'{"a": true}',
            b'{"a": ["b"]}',
            b'{"a": 1, "a": 2}',
            b"\xff",
        ),
        *(b"[" * 10_000, b'"' + b"x" * (1 << 24) + b'"', b'[["a", 1]]'),
    ],
    ids=lambda content: repr(content[:12]),
)
def test_a_file_that_is_no_map_is_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "map.json").write_bytes(content)
    with pytest.raises(DataError, match=r"--class-map: .*map\.json") as refused:
        read_class_map(tmp_path / "map.json")
    assert "\n" not in str(refused.value)
    with pytest.raises(DataError, match=r"--class-map: cannot read .*gone"):
        read_class_map(tmp_path / "gone.json")
