from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from typer import Typer
from typer.testing import CliRunner

from evaluation.paths import draw, main
from mutant_guard.runtime.judgement import Judgement
from mutant_guard.wire.verdict import Explanation, UndecidedBecause, Verdict
from tests.support.service import digits, encode

app = Typer()
app.command()(main)


Told = tuple[Judgement, Explanation]


def judgement(verdict: Verdict, path: list[float | None]) -> Told:
    """Make the answer of a test with log ratios; null stands for an infinite one."""
    explanation = Explanation(
        log_ratio=path,
        label_changed=[False] * len(path),
        evidence=[0.0] * len(path),
        own_evidence=0.0,
        operators=["nai"] * len(path),
        adversarial_bound=-2.9,
        normal_bound=2.9,
        normal_at_most=[-1] * len(path),
        adversarial_at_least=[9] * len(path),
    )
    return judged(verdict, explanation)


def counted(verdict: Verdict, changed: list[bool]) -> Told:
    """Make the answer of a test that compares the label changes among four mutants with 2."""
    explanation = Explanation(
        log_ratio=None,
        label_changed=changed,
        evidence=[float(each) for each in changed],
        own_evidence=0.0,
        operators=["nai"] * len(changed),
        adversarial_bound=None,
        normal_bound=None,
        normal_at_most=[-1.0, -1.0, -1.0, 1.0][: len(changed)],
        adversarial_at_least=[2.0, 3.0, 4.0, 2.0][: len(changed)],
    )
    return judged(verdict, explanation)


def judged(verdict: Verdict, explanation: Explanation) -> Told:
    found = Judgement(
        label=0,
        class_name="0",
        confidence=1,
        raw_scores=bytes(40),
        verdict=verdict,
        undecided_because=UndecidedBecause.DEADLINE if verdict == Verdict.UNDECIDED else None,
        mutants=len(explanation.label_changed),
        label_changes=sum(explanation.label_changed),
        labels=[int(changed) for changed in explanation.label_changed],
        evidence=[int(changed) for changed in explanation.label_changed],
        own_evidence=0,
        operators=explanation.operators,
    )
    return found, explanation


def drawn(given: list[Told]) -> Axes:
    judgements, told = zip(*given, strict=True)
    (axes,) = draw(list(judgements), list(told), "title").axes
    return axes


def lines(axes: Axes, style: str) -> list[list[float]]:
    """Return the heights of the lines of a style that have more than one point."""
    shown = [np.asarray(line.get_ydata()) for line in axes.get_lines() if line.get_linestyle() == style]
    return [heights.tolist() for heights in shown if len(heights) > 1]


def texts(axes: Axes) -> set[str]:
    return {text.get_text() for text in axes.texts}


def test_every_image_is_a_line_and_every_verdict_is_counted() -> None:
    given = [judgement(Verdict.NORMAL, [1.0, 2.0, 3.0])] * 2 + [judgement(Verdict.ADVERSARIAL, [-1.5, -3.0])]
    axes = drawn(given)
    assert lines(axes, "-") == [[0, 1, 2, 3]] * 2 + [[0, -1.5, -3]]
    assert [set(bound) for bound in lines(axes, "--")] == [{2.9}, {-2.9}]
    assert texts(axes) == {"sure that it is normal", "sure that it is not"}
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["2 normal", "1 adversarial"]


def test_an_infinite_ratio_ends_in_an_arrow_at_the_edge_and_hides_nothing_else() -> None:
    given = [
        judgement(Verdict.NORMAL, [1.0, 2.0, None]),
        judgement(Verdict.ADVERSARIAL, [-1.0, None]),
        judgement(Verdict.UNDECIDED, [1.0]),
    ]
    axes = drawn(given)
    low, high = axes.get_ylim()
    assert lines(axes, "-") == [[0, 1, 2, high], [0, -1, low], [0, 1]]
    assert low < -2.9 < 2.9 < high < 5
    assert [line.get_marker() for line in axes.get_lines() if len(np.asarray(line.get_ydata())) == 1] == [
        "^",
        "v",
        "o",
    ]


def test_a_policy_without_ratios_is_drawn_by_its_label_changes() -> None:
    given = [counted(Verdict.NORMAL, [False, True, False, False]), counted(Verdict.ADVERSARIAL, [True] * 4)]
    axes = drawn(given)
    assert lines(axes, "-") == [[0, 0, 1, 1, 1], [0, 1, 2, 3, 4]]
    normal, adversarial = (np.array(bound) for bound in lines(axes, "--"))
    assert np.array_equal(normal, [np.nan] * 4 + [1], equal_nan=True)
    assert np.array_equal(adversarial, [np.nan] * 4 + [2], equal_nan=True)
    assert texts(axes) == {"sure that it is normal", "sure that it is not"}
    assert axes.get_ylabel() == "label changes"


def test_a_test_that_ended_before_it_could_decide_has_no_bounds_to_show() -> None:
    axes = drawn([counted(Verdict.UNDECIDED, [False, True])])
    assert lines(axes, "-") == [[0, 0, 1]]
    assert texts(axes) == set()


@pytest.mark.parametrize("policy", ["calibrated", "fixed", "paper"])
def test_the_command_writes_a_picture(policy: str, demo_store: Path, tmp_path: Path) -> None:
    images = [tmp_path / f"{i}.png" for i in range(3)]
    for path, pixels in zip(images, digits(3), strict=True):
        path.write_bytes(encode(pixels))
    out = tmp_path / "docs" / "paths.png"
    options = ["--store", str(demo_store), "--out", str(out), "--policy", policy]
    result = CliRunner().invoke(app, [*map(str, images), *options])
    assert result.exit_code == 0, result.output
    assert out.read_bytes().startswith(b"\x89PNG")
