"""Lists of class names in the forms that people have."""

import json

import pytest

from mutant_store.loading.name_list import in_order_of_numbers, names_in

PAIRS = {"1": ["n01443537", "goldfish"], "0": ["n01440764", "tench"]}
CONFIG = {"model_type": "vit", "id2label": {"1": "goldfish", "0": "tench, Tinca tinca"}, "label2id": {"x": 1}}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("tench\r\n goldfish \n\n", ["tench", "goldfish"]),
        ("[unknown]\n{other}\n", ["[unknown]", "{other}"]),
        ('["tench", "goldfish"]', ["tench", "goldfish"]),
        ("{0: 'tench, Tinca tinca',\n 1: 'goldfish'}", ["tench, Tinca tinca", "goldfish"]),
        (json.dumps(PAIRS), ["n01440764 tench", "n01443537 goldfish"]),
        (json.dumps(list(PAIRS.values())), ["n01443537 goldfish", "n01440764 tench"]),
        (json.dumps(CONFIG), ["tench, Tinca tinca", "goldfish"]),
        ('{"goldfish": 1, "tench": 0}', ["tench", "goldfish"]),
        ('{"n01443537": "goldfish", "n01440764": "tench"}', ["n01443537 goldfish", "n01440764 tench"]),
        *(
            (text, None)
            for text in ('{"0": "a", "2": "b"}', "[1.5]", "[]", "{}", '{"0": {"a": 1}}', "[null]")
        ),
        *(
            (text, None)
            for text in ('{"a": "b"}', '{"id2label": 3}', '{"id2label": "ab"}', '{"a": 0, "b": 0}')
        ),
    ],
)
def test_a_list_is_read_in_its_form(text: str, names: list[str] | None) -> None:
    assert names_in(text) == names


@pytest.mark.parametrize("separator", [" ", "\t", ": ", ",", " - "])
def test_numbers_before_all_names_are_taken_off(separator: str) -> None:
    listed = [f"2{separator}owl", f"0{separator}cat", f"1{separator}dog"]
    expected = ["cat", "dog", "owl"] if separator != " - " else ["- cat", "- dog", "- owl"]
    assert in_order_of_numbers(listed, ["cat"]) == expected


@pytest.mark.parametrize(
    ("names", "known"),
    [
        (["1 euro", "2 euro", "3 euro"], ["2_euro"]),
        (["0 cat", "1 dog"], ["0 cat"]),
        (["0 cat", "2 dog"], ["cat"]),
        (["0 cat", "dog"], ["cat"]),
        (["0", "1"], ["cat"]),
        (["2 cats", "3 dogs"], ["cats"]),
    ],
)
def test_other_numbers_belong_to_the_name(names: list[str], known: list[str]) -> None:
    assert in_order_of_numbers(names, known) == names
