from pathlib import Path

from typer import Typer
from typer.testing import CliRunner

from evaluation.paths import draw, main
from service.verdict import Explanation, Judgement, Verdict
from tests.support.service import digits, encode

app = Typer()
app.command()(main)


def judgement(verdict: Verdict, path: list[float]) -> Judgement:
    explanation = Explanation(
        log_ratio=path, label_changed=[False] * len(path), adversarial_bound=-2.9, normal_bound=2.9
    )
    return Judgement(
        label=0,
        class_name="0",
        confidence=1,
        verdict=verdict,
        mutants=len(path),
        label_changes=0,
        explanation=explanation,
    )


def test_every_image_is_a_line_and_every_verdict_is_counted() -> None:
    judged = [judgement(Verdict.NORMAL, [1.0, 2.0, 3.0])] * 2 + [judgement(Verdict.ADVERSARIAL, [-1.5, -3.0])]
    (axes,) = draw(judged, "title").axes
    lines = [line for line in axes.get_lines() if len(line.get_xdata()) > 2]  # type: ignore[arg-type]
    assert [list(line.get_ydata()) for line in lines] == [[0, 1, 2, 3]] * 2 + [[0, -1.5, -3]]  # type: ignore[arg-type]
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["2 normal", "1 adversarial"]


def test_the_command_writes_a_picture(demo_store: Path, tmp_path: Path) -> None:
    images = [tmp_path / f"{i}.png" for i in range(3)]
    for path, pixels in zip(images, digits(3), strict=True):
        path.write_bytes(encode(pixels))
    out = tmp_path / "docs" / "paths.png"
    result = CliRunner().invoke(app, [*map(str, images), "--store", str(demo_store), "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert out.read_bytes().startswith(b"\x89PNG")
