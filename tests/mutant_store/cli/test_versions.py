"""Commands on published versions: their output, and refusals in one line."""

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from mutant_guard.store.reader import CALIBRATION, CURRENT, MANIFEST, Store, load_store
from mutant_guard.store.signature import SIGNATURE
from mutant_store.cli.app import app
from tests.support.versions import add_version, copy_of, damage


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "80"})


def error_of(result: Result) -> str:
    """Return the one line of error that a refused command prints."""
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    return line


@pytest.fixture
def two(published_store: tuple[Path, Store], tmp_path: Path) -> tuple[Path, str, str]:
    """Return a store, its older version, and its current one."""
    copy = copy_of(published_store[0], tmp_path)
    first = load_store(copy).version
    os.utime(copy / first / MANIFEST, (0, 0))
    return copy, first, add_version(copy, rate=0.125)


def test_versions_are_shown_in_a_row_each(two: tuple[Path, str, str]) -> None:
    store, first, second = two
    shown = run("versions", store)
    assert shown.exit_code == 0, shown.output
    header, older, newer = [line for line in shown.stdout.splitlines() if line.strip(" ─")]
    assert header.split() == ["version", "published", "operator", "rate", "mutants", "size", "signed"]
    assert older.split()[0] == first
    assert older.split()[1][:4] in {"1969", "1970"}
    assert older.split()[-1] == "no"
    assert newer.split()[0] == second
    assert newer.split()[3:6] == ["nai", "0.125", "60"]
    assert newer.split()[-2:] == ["no", "current"]


def test_versions_says_which_cannot_be_used_and_why(two: tuple[Path, str, str]) -> None:
    store, first, second = two
    damage(store / first / CALIBRATION)
    damage(store / second / CALIBRATION)
    shown = run("versions", store)
    assert shown.exit_code == 0
    rows = {line.split()[0]: line for line in shown.stdout.splitlines() if line.strip()}
    assert f"{first}: {store / first / CALIBRATION} is damaged" in shown.stdout
    assert rows[first + ":"]
    assert rows[first].split()[-1] == "unusable"
    assert rows[second].split()[-1] == "current"
    assert rows["unusable"]  # on the line below its "current"


def test_versions_of_a_store_without_any(tmp_path: Path) -> None:
    assert "has no published version" in run("versions", tmp_path).stdout
    assert "no such store" in error_of(run("versions", tmp_path / "gone"))


def test_use_rolls_back_and_says_so(two: tuple[Path, str, str]) -> None:
    store, first, second = two
    shown = run("use", store, first[:5])
    assert (shown.exit_code, shown.stdout) == (0, f"{store} now serves version {first}\n")
    assert load_store(store).version == first
    damage(store / second / CALIBRATION)
    assert f"{store / second / CALIBRATION} is damaged" in error_of(run("use", store, second))
    assert f"it has {', '.join(sorted((first, second)))}" in error_of(run("use", store, "ffff000"))
    assert load_store(store).version == first


def test_inspect_takes_the_start_of_a_versions_name(two: tuple[Path, str, str]) -> None:
    store, first, _ = two
    assert f"version {first}" in run("inspect", store, "--version", first[:4]).stdout
    assert "has no version 'ffff000'" in error_of(run("inspect", store, "--version", "ffff000"))


def test_collect_garbage_says_what_went_and_how_much(two: tuple[Path, str, str]) -> None:
    store, first, second = two
    assert run("collect-garbage", store).stdout == "0 bytes freed\n"
    (store / f".{CURRENT}.01234567").write_bytes(b"12345")
    size = sum(path.stat().st_size for path in (store / first).iterdir())
    would = run("collect-garbage", store, "--keep", 0, "--dry-run").stdout.splitlines()
    assert would == [
        f"would remove {first} ({size:,} bytes)",
        f"would remove .{CURRENT}.01234567 (5 bytes)",
        f"{size + 5:,} bytes would be freed",
    ]
    assert (store / first).is_dir()
    did = run("collect-garbage", store, "--keep", 0).stdout.splitlines()
    assert did[0] == f"removed {first} ({size:,} bytes)"
    assert did[-1] == f"{size + 5:,} bytes freed"
    assert {path.name for path in store.iterdir()} == {".lock", CURRENT, second}


def test_an_unfinished_build_goes_when_it_is_named(two: tuple[Path, str, str]) -> None:
    store = two[0]
    (store / ".building").mkdir()
    assert run("collect-garbage", store).stdout == "0 bytes freed\n"
    assert "removed .building" in run("collect-garbage", store, "--unfinished").stdout
    assert not (store / ".building").exists()


def test_a_key_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    name = tmp_path / "keys" / "prod.eu"
    shown = run("keygen", name)
    assert (shown.exit_code, shown.stdout) == (0, f"wrote {name}.key and {name}.pub\n")
    private, public = Path(f"{name}.key"), Path(f"{name}.pub")
    assert (private.stat().st_mode & 0o777, public.stat().st_mode & 0o777) == (0o600, 0o644)
    before = private.read_bytes(), public.read_bytes()
    assert f"{name}.key is there already; choose another NAME" in error_of(run("keygen", name))
    assert (private.read_bytes(), public.read_bytes()) == before
    private.unlink()
    assert f"{name}.pub is there already" in error_of(run("keygen", name))
    assert not private.exists()


def test_a_signed_store_is_verified_and_another_is_not(two: tuple[Path, str, str], tmp_path: Path) -> None:
    store, first, second = two
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for name in (ours, theirs):
        run("keygen", name)
    refused = error_of(run("verify", store, "--require-signature", f"{ours}.pub"))
    assert f"{store / second / SIGNATURE} is missing: the store is not signed" in refused
    shown = run("sign", store, "--key", f"{ours}.key")
    assert (shown.exit_code, shown.stdout) == (0, f"signed {store} version {second}\n")
    verified = run("verify", store, "--mutants", 2, "--require-signature", f"{ours}.pub")
    assert verified.exit_code == 0, verified.output
    assert "files as published" in verified.stdout
    assert "another key signed it" in error_of(run("verify", store, "--require-signature", f"{theirs}.pub"))
    assert not (store / first / SIGNATURE).exists()
    assert f"version {first}" in run("sign", store, "--key", f"{ours}.key", "--version", first[:4]).stdout
    assert (store / first / SIGNATURE).exists()


def test_keys_that_are_the_wrong_half_are_said(two: tuple[Path, str, str], tmp_path: Path) -> None:
    store, name = two[0], tmp_path / "ours"
    run("keygen", name)
    assert f"{name}.pub is no private key" in error_of(run("sign", store, "--key", f"{name}.pub"))
    assert f"{name}.key is no public key" in error_of(
        run("verify", store, "--require-signature", f"{name}.key")
    )


def test_a_build_with_a_bad_key_is_refused_before_it_reads_the_model(tmp_path: Path) -> None:
    out = tmp_path / "store"
    (tmp_path / "bad.key").write_text("no key")
    options = ["--data", "digits@holdout", "--out", out, "--sign-key", tmp_path / "bad.key"]
    assert "bad.key is no private key in PEM" in error_of(run("build", "gone.onnx", *options))
    assert not out.exists()
