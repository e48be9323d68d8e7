import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from mutant_guard.store.reader import Store, load_store
from mutant_store.cli.app import app
from mutant_store.cli.build import class_names
from mutant_store.cli.console import errors_shown
from mutant_store.datasets import load

runner = CliRunner()


def test_robust_mutants_are_shown_and_exported(certified_store: Path, tmp_path: Path) -> None:
    shown = runner.invoke(app, ["inspect", str(certified_store)], env={"COLUMNS": "250"}).output
    (row,) = [line.split() for line in shown.splitlines() if "perceptron" in line]
    assert " ".join(row[:4]) == "│ 1 │ perceptron"
    assert row[-2:] == ["yes", "│"]
    (policy,) = [line for line in shown.splitlines() if line.startswith("│ calibrated │ doubts")]
    assert policy.split("│")[3].count(" after 1, ") == 1  # the alarm of the first mutant, and the last
    written = tmp_path / "robust.onnx"
    result = runner.invoke(app, ["export", str(certified_store), "--mutant", "1", "-o", str(written)])
    assert result.exit_code == 0, result.output
    manifest, model = load_store(certified_store).manifest, onnx.load(written)
    ends = [model.graph.input[0].name, model.graph.output[0].name]
    assert ends == [manifest.input_name, manifest.output_name] == ["pixels", "scores"]


def test_build_publishes_and_says_where(digits_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "stores" / "demo"
    options = [
        "--data",
        "digits@holdout",
        "--mutants",
        "20",
        "--rate",
        "0.1",
        "--seed",
        "3",
        "--out",
        str(out),
    ]
    result = runner.invoke(app, ["build", str(digits_model), *options, "--classes", ",".join("0123456789")])
    assert result.exit_code == 0, result.output
    store = load_store(out)
    assert store.version in result.output
    assert (store.name, store.manifest.mutants, store.manifest.rate, store.manifest.seed) == (
        "demo",
        20,
        0.1,
        3,
    )


def test_a_build_and_a_calibration_tell_what_of_the_data_they_leave_out(
    digits_model: Path, tmp_path: Path
) -> None:
    digits = load("digits@holdout")
    for number, (pixels, label) in enumerate(zip(digits.images, digits.labels, strict=True)):
        folder = tmp_path / f"data/{digits.class_names[label]}"
        folder.mkdir(parents=True, exist_ok=True)
        # Half of the images are of another size.
        image = Image.fromarray(
            np.kron(pixels[:, :, 0], np.ones((2, 2), np.uint8)) if number % 2 else pixels[:, :, 0]
        )
        image.save(folder / f"{number}.png")
    (tmp_path / "data/3/junk.png").write_bytes(b"text")
    (tmp_path / "data/3/scan.ppm").write_bytes(b"text")
    model = onnx.load(digits_model)
    for axis, name in ((2, "height"), (3, "width")):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = name
    del model.graph.metadata_props[:]
    onnx.save(model, tmp_path / "open.onnx")
    source = ["--data", f"imagefolder:{tmp_path}/data"]
    options = ["--mutants", "20", "--rate", "0.1", "--size", "8", "--resize", "bilinear"]
    store = str(tmp_path / "store")
    built = runner.invoke(app, ["build", str(tmp_path / "open.onnx"), *source, *options, "--out", store])
    assert built.exit_code == 0, built.output
    calibrated = runner.invoke(app, ["calibrate", store, "--data", f"imagefolder:{tmp_path}/data[300:]"])
    for said in (built.stderr, calibrated.stderr):
        assert "1 of 601 image files cannot be read and are left out" in said
        assert "files passed over that are no PNG, JPEG, WEBP or BMP by their suffix: 1 .ppm" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["build", "gone.onnx", "--data", "digits@holdout", "--out", "s"], "gone.onnx: no such file"),
        (["build", "MODEL", "--data", "digits@train", "--out", "s"], "trained this classifier"),
        (["build", "MODEL", "--data", "digits", "--out", "s"], "digits"),
        (["inspect", "nowhere"], "no such store"),
        (["verify", "nowhere"], "no such store"),
        (["export", "nowhere", "--mutant", "1", "-o", "m.onnx"], "no such store"),
    ],
)
def test_errors_are_one_line_without_a_traceback(
    digits_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = runner.invoke(app, [str(digits_model) if part == "MODEL" else part for part in arguments])
    assert result.exit_code == 1
    lines = result.stderr.splitlines()
    assert lines[-1].startswith("error: ")
    assert message in lines[-1]
    assert "Traceback" not in result.output
    assert all(line.startswith("  • ") for line in lines[:-1])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "option",
    [
        *(["--rate", "0"], ["--rate", "1.5"], ["--mean", "a,b"], ["--layout", "chw"], ["--classes", "@gone"]),
        *(["--size", "0x8"], ["--size", "8,8"], ["--size", "8x8x3"]),
    ],
)
def test_bad_options_name_the_option(digits_model: Path, option: list[str]) -> None:
    result = runner.invoke(
        app, ["build", str(digits_model), "--data", "digits@holdout", "--out", "s", *option]
    )
    assert result.exit_code == 2
    assert option[0] in result.stderr


NAMES = [f"ziffer-é{number}" for number in range(10)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_class_names_are_read_in_any_utf_that_says_so(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_bytes("\r\n".join(NAMES).encode(encoding))
    assert class_names(f"@{tmp_path}/names.txt") == NAMES


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("\n".join(NAMES).encode("latin-1"), "the names are not UTF-8 text"),
        ("\n".join(NAMES).encode("utf-16-le"), "the names are not UTF-8 text"),
        (b"a\x00b", "the names are not UTF-8 text"),
        (b"\xff\xfe0", "the names are not UTF-8 text"),
        (b'["\\ud800", "b"]', "the names are not UTF-8 text"),
        (b"[0x" + b"f" * 9999 + b"]", "holds no names"),
        (b'{"0": "a", "2": "b"}', "holds no names"),
        (b" \n\n", "holds no names"),
        (b"x" * (1 << 24) + b"x", "it is too long"),
    ],
    ids=[
        *("latin-1", "utf-16 unsaid", "binary", "utf-16 cut", "half a character", "huge number", "gap"),
        *("empty", "long"),
    ],
)
def test_class_names_that_are_no_text_name_the_option(
    content: bytes, message: str, digits_model: Path, tmp_path: Path
) -> None:
    (tmp_path / "names.txt").write_bytes(content)
    options = [
        "--data",
        "digits@holdout",
        "--out",
        str(tmp_path / "s"),
        "--classes",
        f"@{tmp_path}/names.txt",
    ]
    result = runner.invoke(app, ["build", str(digits_model), *options], env={"COLUMNS": "300"})
    assert result.exit_code == 2
    assert "--classes" in result.stderr
    assert message in result.stderr


def test_a_name_that_is_not_utf_8_is_one_line_that_any_terminal_shows(
    digits_model: Path, tmp_path: Path
) -> None:
    arguments = ["build", str(digits_model), "--data", "npz:caf\udce9.npz", "--out", str(tmp_path / "s")]
    assert "error: --data is not UTF-8" in runner.invoke(app, arguments).stderr
    arguments[3], arguments[5] = "digits@holdout", str(tmp_path / "caf\udce9")
    assert "error: the directory of the store is not UTF-8" in runner.invoke(app, arguments).stderr
    shown = runner.invoke(
        app, ["build", "caf\udce9.onnx", *arguments[2:4], "--out", str(tmp_path / "s")]
    ).stderr
    assert "error: caf\\udce9.onnx: no such file" in shown


def test_a_lack_of_memory_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit), errors_shown():
        raise MemoryError
    assert capsys.readouterr().err == "error: there is not enough memory; give fewer images\n"


def test_inspect_shows_what_the_store_holds(published_store: tuple[Path, Store]) -> None:
    path, store = published_store
    shown = runner.invoke(app, ["inspect", str(path)], env={"COLUMNS": "200"}).output
    for part in (
        store.version,
        "60 by nai at rate 0.05",
        "digits@holdout[0:300]",
        "42 in 2 layers",
        "paper",
        "fixed",
        "calibrated",
        "≤ 0.05 with 95% confidence",
    ):
        assert part in shown
    machine = json.loads(runner.invoke(app, ["inspect", str(path), "--json"]).output)
    assert machine["manifest"]["mutants"] == 60
    assert set(machine["calibration"]["policies"]) == {"calibrated", "fixed", "paper"}


def test_verify_says_what_it_compared(published_store: tuple[Path, Store]) -> None:
    result = runner.invoke(app, ["verify", str(published_store[0])])
    assert result.exit_code == 0
    assert "6 files as published, 16 mutants and the original agree" in result.output


def test_export_writes_a_classifier(published_store: tuple[Path, Store], tmp_path: Path) -> None:
    target = tmp_path / "mutant.onnx"
    result = runner.invoke(app, ["export", str(published_store[0]), "--mutant", "7", "-o", str(target)])
    assert result.exit_code == 0
    onnx.checker.check_model(onnx.load(target))


def test_help_explains_every_option_and_argument() -> None:
    commands = typer.main.get_command(app)
    assert isinstance(commands, typer.core.TyperGroup)
    for command in commands.commands.values():
        assert command.help
        for parameter in command.params:
            if parameter.name != "help":
                assert getattr(parameter, "help", None), f"{command.name} {parameter.name}"


def test_help_shows_the_grammar_of_data_as_it_is() -> None:
    shown = runner.invoke(app, ["build", "--help"], env={"COLUMNS": "240"}).output
    assert "kind[:path][@split][[start:stop]]" in shown
    assert "npz:FILE[0:2000]" in shown


def test_layers_lists_blocks_and_proposes_one(digits_model: Path, tmp_path: Path) -> None:
    result = runner.invoke(app, ["layers", str(digits_model)])
    assert result.exit_code == 0, result.output
    assert "block 1" in result.output
    assert "proposed: --from 'block" in result.output
    model = onnx.load(digits_model)
    for axis, name in ((2, "height"), (3, "width")):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = name
    onnx.save(model, tmp_path / "open.onnx")
    again = runner.invoke(app, ["layers", str(tmp_path / "open.onnx")])
    assert again.exit_code == 1
    assert "say its size with --size HEIGHTxWIDTH, or give --data" in again.stderr
    for more in (["--size", "8"], ["--data", "digits@holdout"]):
        sized = runner.invoke(app, ["layers", str(tmp_path / "open.onnx"), *more])
        lines = [
            [line.split(" B")[0].split()[:4] for line in x.output.splitlines() if "block" in line]
            for x in (result, sized)
        ]
        assert lines[0] == lines[1]
