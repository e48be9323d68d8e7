import numpy as np
import pytest

from benchmarks.agreement import DisagreementError
from benchmarks.bank import retrained
from benchmarks.bank.networks import Network, load_network
from benchmarks.bank.retrained import Rivals, drawn_rows, measure, prepared, race, ratios, whole_pool
from benchmarks.interleave import Timing

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["lenet", "resnet20"])
def rivals(request: pytest.FixtureRequest, untrained: Network) -> Rivals:
    network = untrained if request.param == "resnet20" else load_network("lenet")
    return prepared(network, 3, threads=1)


@pytest.mark.parametrize("pattern", ["every", "one"])
def test_all_ways_answer_alike(rivals: Rivals, pattern: str, untrained: Network) -> None:
    shape = rivals.bank._prefix.get_inputs()[0].shape[1:]
    images = np.random.default_rng(0).standard_normal((5, *shape)).astype(np.float32)
    timings = race(rivals, images, *drawn_rows(pattern, 5, 3), repetitions=1)
    assert set(timings) == {"bank", "inputs", "one graph"}


def test_a_way_that_answers_otherwise_is_not_timed(rivals: Rivals) -> None:
    shape = rivals.bank._prefix.get_inputs()[0].shape[1:]
    wrong = Rivals(rivals.bank, rivals.inputs, lambda *_: np.zeros((4, 10), np.float32))
    with pytest.raises(DisagreementError, match="bank and one graph do not agree"):
        race(wrong, np.ones((4, *shape), np.float32), *drawn_rows("one", 4, 3), repetitions=1)


def test_rows_are_all_pairs_or_a_mutant_an_image() -> None:
    rows, mutants = drawn_rows("every", 2, 3)
    assert sorted(zip(rows.tolist(), mutants.tolist(), strict=True)) == [
        (image, mutant) for image in (0, 1) for mutant in (1, 2, 3)
    ]
    rows, mutants = drawn_rows("one", 32, 4)
    assert rows.tolist() == list(range(32))
    assert set(mutants.tolist()) == {1, 2, 3, 4}


def test_no_parameter_is_the_originals(untrained: Network) -> None:
    original = untrained.builder.parameters.values
    for mutant in whole_pool(untrained, 2).mutants:
        assert (mutant.choice["values"] == original).mean() < 1e-3


def test_figures_say_how_many_times_as_long_the_others_take() -> None:
    timings = {"bank": Timing((2,)), "inputs": Timing((5,)), "one graph": Timing((1,))}
    assert [(figure.name, figure.value) for figure in ratios("k", timings)] == [
        ("k_vs_inputs", 2.5),
        ("k_vs_one_graph", 0.5),
    ]


def test_the_section_has_a_table_for_each_pattern_and_figures_of_one_pool(
    monkeypatch: pytest.MonkeyPatch, untrained: Network
) -> None:
    monkeypatch.setattr(retrained, "MUTANTS", (2, 8))
    monkeypatch.setattr(retrained, "IMAGE_COUNTS", (1,))
    monkeypatch.setattr(
        retrained, "load_network", lambda name: load_network(name) if name == "lenet" else untrained
    )
    section = measure(True, lambda _: None)
    assert [len(table.rows) for table in section.tables] == [4, 4]
    assert len(section.figures) == 8
    assert section.figures[0].name == "retrained_lenet_8_mutants_every_1_images_vs_inputs"
    assert any("untrained" in note for note in section.tables[-1].notes)
