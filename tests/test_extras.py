"""Every command with every extra alone: help and what must work do, the rest says in one line what it lacks."""

import shutil
from pathlib import Path

import pytest
import typer

from mutant_store.cli.app import app as store_app
from service.cli.app import app as guard_app
from tests.support.extras import run_with
from tests.support.service import digits, encode

pytestmark = pytest.mark.slow

ALONE = [(), ("cpu",), ("server",), ("build",), ("retrain",), ("otel",), ("evaluation",)]
TOGETHER = [("cpu", "server"), ("cpu", "build"), ("cpu", "build", "retrain")]


def names(app: typer.Typer, *before: str) -> list[tuple[str, ...]]:
    """Every command of an application, those of its groups as well."""
    found = [
        (*before, command.name or (command.callback.__name__.replace("_", "-") if command.callback else ""))
        for command in app.registered_commands
    ]
    for group in app.registered_groups:
        assert group.typer_instance is not None
        found += names(group.typer_instance, *before, *([group.name] if group.name else []))
    return found


GUARD = [("mutant-guard",), *(("mutant-guard", *name) for name in names(guard_app))]
STORE = [("mutant-store",), *(("mutant-store", *name) for name in names(store_app))]


def test_there_are_commands() -> None:
    assert ("mutant-guard", "keys", "create") in GUARD
    assert ("mutant-store", "collect-garbage") in STORE


@pytest.mark.parametrize("extras", [*ALONE, *TOGETHER], ids=lambda extras: ",".join(extras) or "base")
def test_every_command_helps_or_says_what_it_lacks(extras: tuple[str, ...]) -> None:
    commands = [*GUARD, *STORE]
    answers = run_with(extras, [(*command, "--help") for command in commands])
    for command, (status, out, err) in zip(commands, answers, strict=True):
        works = "server" in extras if command[0] == "mutant-guard" else {"server", "build"} & set(extras)
        if works:
            assert (status, err) == (0, ""), command
            assert "Usage: " in out
        else:
            assert (status, out) == (1, ""), command
            own = "server" if command[0] == "mutant-guard" else "build"
            (line,) = err.splitlines()
            assert line.startswith("error: this needs ")
            assert line.endswith(f", which is not installed; pip install 'mutant-guard[{own}]'")


@pytest.mark.parametrize("extras", [(), ("cpu",), ("server",)], ids=lambda extras: ",".join(extras) or "base")
def test_the_library_says_what_it_lacks(extras: tuple[str, ...]) -> None:
    client, guard = run_with(
        extras,
        [
            ("python", "from mutant_guard import AsyncGuardClient, GuardClient, Verdict, errors"),
            ("python", "from mutant_guard import Guard, load_store"),
        ],
    )
    assert client == (0, "", "")
    if extras == ("cpu",):
        assert guard == (0, "", "")
    else:
        status, _, err = guard
        assert status == 1
        assert "which is not installed; pip install 'mutant-guard[cpu]', or [gpu]" in err


def test_operators_can_do_their_work_where_the_server_is_installed(demo_store: Path, tmp_path: Path) -> None:
    """What docs/operations.md tells them to do in that image: list, roll back, check, sign, tidy up."""
    store, key, image = tmp_path / "digits", tmp_path / "prod", tmp_path / "digit.png"
    shutil.copytree(demo_store, store)
    version = (store / "CURRENT").read_text().strip()
    image.write_bytes(encode(digits(1)[0]))
    where = str(store)
    answers = run_with(
        ("cpu", "server"),
        [
            ("mutant-store", "versions", where),
            ("mutant-store", "use", where, version),
            ("mutant-store", "inspect", where),
            ("mutant-store", "inspect", where, "--json"),
            ("mutant-store", "keygen", str(key)),
            ("mutant-store", "sign", where, "--key", f"{key}.key"),
            ("mutant-store", "verify", where, "--require-signature", f"{key}.pub"),
            ("mutant-store", "collect-garbage", where),
            ("mutant-guard", "classify", str(image), "--store", where),
        ],
    )
    for status, out, err in answers:
        assert (status, err) == (0, "")
        assert out
    assert "6 files as published, the bank runs; to compare mutants" in " ".join(answers[6][1].split())


@pytest.mark.parametrize(
    ("extras", "command", "lacks"),
    [
        (("cpu", "server"), ("build", "model.onnx", "--data", "digits", "--out", "s"), "onnx', 'build"),
        (("cpu", "server"), ("layers", "model.onnx"), "onnx', 'build"),
        (("cpu", "server"), ("export", "STORE", "--mutant", "1", "-o", "m.onnx"), "onnx', 'build"),
        (("cpu", "build"), ("build", "lenet", "--data", "digits", "--out", "s"), "torch', 'retrain"),
        (
            ("cpu", "build"),
            ("build", "m.onnx", "--data", "digits", "--out", "s", "--ray", "auto"),
            "ray', 'ray",
        ),
        (("build",), ("versions", "STORE"), "safetensors', 'cpu"),
        (("server",), ("versions", "STORE"), "numpy', 'cpu"),
    ],
)
def test_what_a_command_lacks_is_one_line(
    extras: tuple[str, ...], command: tuple[str, ...], lacks: str, demo_store: Path, tmp_path: Path
) -> None:
    words = [str(demo_store) if word == "STORE" else word for word in command]
    words = [str(tmp_path / word) if word in ("s", "m.onnx") else word for word in words]
    ((status, out, err),) = run_with(extras, [("mutant-store", *words)])
    package, extra = lacks.split("', '")
    assert (status, out) == (1, "")
    assert err.splitlines()[-1].startswith(
        f"error: this needs {package}, which is not installed; pip install 'mutant-guard[{extra}]'"
    )
    assert "Traceback" not in err


def test_calibrating_on_digits_lacks_scikit_learn_alone(demo_store: Path) -> None:
    command = ("mutant-store", "calibrate", str(demo_store), "--data", "digits@test")
    ((status, _, err),) = run_with(("cpu", "server"), [command])
    assert status == 1
    assert err.splitlines()[-1] == "error: digits come with scikit-learn; pip install 'mutant-guard[build]'"


@pytest.mark.parametrize("extras", [("server",), ("build",)], ids=lambda extras: extras[0])
def test_without_an_engine_serving_is_refused_in_one_line(extras: tuple[str, ...], demo_store: Path) -> None:
    ((status, _, err),) = run_with(extras, [("mutant-guard", "serve", "--store", str(demo_store))])
    assert status == 1
    assert "Traceback" not in err
    assert "which is not installed; pip install 'mutant-guard[" in err.splitlines()[-1]
