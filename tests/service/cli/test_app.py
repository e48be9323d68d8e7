"""``mutant-guard classify`` without a server, and refusals of ``serve``."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from service.cli.app import app
from tests.support.service import FIELDS, KEY, digits, encode


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Write four digits of growing noise."""
    paths = []
    for number in range(4):
        path = tmp_path / f"{number}.png"
        path.write_bytes(encode(digits(4, noise=number * 0.2)[number]))
        paths.append(path)
    return paths


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUARD_ORDER_KEY", KEY)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})


def answers(result: Result) -> list[dict[str, object]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_json_has_one_object_a_file_with_the_fields_of_the_server(
    digits_store: Path, files: list[Path]
) -> None:
    result = run("classify", *files, "--store", digits_store, "--json")
    assert result.exit_code == 0
    found = answers(result)
    assert [one["image"] for one in found] == [str(path) for path in files]
    assert {tuple(one) for one in found} == {("image", *FIELDS)}
    assert [one["cached"] for one in found] == [False] * 4


def test_a_verdict_is_the_same_in_every_run_with_the_same_key(digits_store: Path, files: list[Path]) -> None:
    keep = ("label", "verdict", "mutants", "label_changes")
    runs = [answers(run("classify", *files, "--store", digits_store, "--json")) for _ in range(2)]
    assert [[one[k] for k in keep] for one in runs[0]] == [[one[k] for k in keep] for one in runs[1]]


def test_the_policy_is_the_one_asked_for(digits_store: Path, files: list[Path]) -> None:
    result = run("classify", files[0], "--store", digits_store, "--policy", "paper", "--json")
    assert answers(result)[0]["policy"] == "paper"


@pytest.mark.parametrize("environment", [False, True], ids=["option", "environment"])
def test_no_more_mutants_are_used_than_are_allowed(
    environment: bool, digits_store: Path, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["classify", *files, "--store", digits_store, "--policy", "paper"]
    if environment:
        monkeypatch.setenv("GUARD_MAX_MUTANTS", "5")
    else:
        arguments += ["--max-mutants", "5"]
    found = answers(run(*arguments, "--json"))
    assert [one["mutants"] for one in found] == [5] * 4
    assert [one["undecided_because"] for one in found] == ["max_mutants"] * 4


def test_a_limit_below_one_is_refused(digits_store: Path, files: list[Path]) -> None:
    result = run("classify", files[0], "--store", digits_store, "--max-mutants", "0")
    assert result.exit_code == 2
    assert "--max-mutants" in result.stderr


@pytest.mark.parametrize(
    ("limit", "reason"),
    [([], "pool exhausted"), (["--max-mutants", 5], "max mutants")],
    ids=["pool", "limit"],
)
def test_the_table_says_why_an_image_is_undecided(
    limit: list[object], reason: str, digits_store: Path, files: list[Path]
) -> None:
    arguments = ["classify", *files, "--store", digits_store, "--policy", "paper", *limit]
    found = answers(run(*arguments, "--json"))
    rows = {name: row for row in run(*arguments).stdout.splitlines() for name in row.split()[:1]}
    for one in found:
        row = rows[Path(str(one["image"])).name]
        assert (f"undecided ({reason})" in row) is (one["verdict"] == "undecided")
    assert "undecided" in {one["verdict"] for one in found}


def test_an_option_wins_over_its_environment_variable(
    digits_store: Path, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GUARD_STORE", "/nowhere")
    monkeypatch.setenv("GUARD_POLICY", "paper")
    result = run("classify", files[0], "--store", digits_store, "--json")
    assert answers(result)[0]["policy"] == "paper"
    result = run("classify", files[0], "--store", digits_store, "--policy", "calibrated", "--json")
    assert answers(result)[0]["policy"] == "calibrated"


def test_a_table_shows_every_file_with_its_verdict(digits_store: Path, files: list[Path]) -> None:
    result = run("classify", *files, "--store", digits_store)
    assert result.exit_code == 0
    for one in answers(run("classify", *files, "--store", digits_store, "--json")):
        (row,) = [line for line in result.stdout.splitlines() if Path(str(one["image"])).name in line]
        assert str(one["verdict"]) in row
        assert f" {one['mutants']} " in row


@pytest.mark.parametrize("form", [["--json"], []], ids=["json", "table"])
def test_a_file_that_cannot_be_classified_is_named_and_the_others_are_answered(
    form: list[str], digits_store: Path, files: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "[bold]text.png").write_text("no image")
    odd = [tmp_path / "[bold]text.png", tmp_path / "missing.png", tmp_path]
    result = run("classify", *odd, *files, "--store", digits_store, *form)
    assert result.exit_code == 1
    said = result.stdout if form else result.stderr
    assert f"{odd[0]}" in said
    assert "no PNG, JPEG or WebP image" in said
    assert "cannot be read: No such file" in said
    assert all(path.name in result.stdout for path in files)
    if form:
        found = answers(result)
        assert [set(one) == {"image", "error"} for one in found] == [True] * 3 + [False] * 4


@pytest.mark.parametrize("command", [["serve"], ["classify", "image.png"]])
@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("GUARD_THREADS", "-1", "error: GUARD_THREADS: Input should be greater than or equal to 0"),
        (
            "GUARD_REDIS_URL",
            "localhost",
            "error: GUARD_REDIS_URL: a Redis URL starts with redis://",
        ),
        (
            "GUARD_API_KEY_FILE",
            "keys.json",
            "error: GUARD_API_KEY_FILE is no setting; did you mean GUARD_API_KEYS_FILE?",
        ),
        (
            "GUARD_REQUIRE_SIGNATURES",
            "prod.pub",
            "error: GUARD_REQUIRE_SIGNATURES is no setting; did you mean GUARD_REQUIRE_SIGNATURE?",
        ),
    ],
)
def test_a_bad_setting_is_one_line_that_names_it(
    command: list[str], variable: str, text: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, text)
    result = run(*command)
    assert result.exit_code == 1
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert result.stdout == ""


@pytest.mark.parametrize("command", [["serve"], ["classify", "image.png"]])
def test_a_store_that_is_not_there_is_one_line_with_the_remedy(command: list[str], tmp_path: Path) -> None:
    result = run(*command, "--store", tmp_path / "none")
    assert result.exit_code == 1
    assert f"error: {tmp_path / 'none'}: no such store; make one with mutant-store build" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_policy_the_store_has_not_is_refused(digits_store: Path, files: list[Path]) -> None:
    result = run("classify", files[0], "--store", digits_store, "--policy", "bayes")
    assert result.exit_code == 1
    assert "has no policy 'bayes'; it has calibrated, fixed, paper" in result.stderr


@pytest.mark.parametrize("file", ["bank-0.onnx", "prefix.onnx", "calibration.json"])
def test_a_store_with_a_flipped_byte_is_refused_by_the_name_of_the_file(
    file: str, digits_store: Path, files: list[Path], tmp_path: Path
) -> None:
    copy = tmp_path / "digits"
    shutil.copytree(digits_store, copy)
    damaged = next(copy.glob(f"*/{file}"))
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    result = run("classify", files[0], "--store", copy)
    assert result.exit_code == 1
    assert f"{damaged} is damaged" in result.stderr


def test_help_names_the_variables_behind_the_options() -> None:
    result = run("serve", "--help")
    assert result.exit_code == 0
    for name in ("STORE", "POLICY", "MAX_MUTANTS", "DEVICE", "REQUIRE_SIGNATURE"):
        assert f"GUARD_{name}" in result.stdout
    assert "calibrated, fixed or paper" in result.stdout
