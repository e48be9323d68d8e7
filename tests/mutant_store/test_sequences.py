"""Commands of the documentation one after the other on one store, for every operator, to a server and back."""

import re
from pathlib import Path

import httpx
import numpy as np
import onnxruntime
import pytest
from typer.testing import CliRunner

from mutant_guard.bank.views import arrays_of
from mutant_guard.store.reader import WEIGHTS, load_store
from mutant_store.cli.app import app
from tests.support.api_keys import add_key
from tests.support.process import serve
from tests.support.service import digits, encode

pytestmark = pytest.mark.slow

DOCS = Path(__file__).parents[2] / "docs"
COMMANDS = {
    "build",
    "calibrate",
    "certify",
    "collect-garbage",
    "export",
    "inspect",
    "keygen",
    "layers",
    "sign",
    "simulate",
    "use",
    "verify",
    "versions",
}
RETRAIN = ["--train-data", "digits@train", "--epochs", "1", "--accuracy-ratio", "0.5"]
OPERATORS = {
    "nai": ["--rate", "0.05", "--mutants", "12"],
    "ns": ["--rate", "0.1", "--mutants", "12"],
    "gf": ["--rate", "0.01", "--mutants", "12"],
    "ws": ["--rate", "0.05", "--mutants", "12"],
    "mixed:nai,gf,ws": ["--rate", "0.02", "--mutants", "12"],
    "mixed:companion,nai": ["--rate", "0.05", "--mutants", "4"],
    "mixed:retrain,nai": ["--rate", "0.1", "--mutants", "4", *RETRAIN],
}


def run(*arguments: object) -> str:
    """Run a command of ``mutant-store`` that has to succeed, and return what it prints."""
    done = CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "200"})
    assert done.exit_code == 0, (arguments, done.output, done.exception)
    return done.output


def check_export(store: Path, number: int, folder: Path) -> None:
    """Export a mutant, and hold it against its row of the bank."""
    opened, path = load_store(store), folder / f"mutant-{number}.onnx"
    run("export", store, "--mutant", number, "--output", path)
    inputs = opened.manifest.tensors([digits(8)[..., None]] * len(opened.manifest.inputs))
    exported = onnxruntime.InferenceSession(path)
    alone = exported.run(None, {exported.get_inputs()[0].name: arrays_of(inputs)[-1 if number == 1 else 0]})[
        0
    ]
    session = opened.session(threads=1)
    rows = session.scores(session.features(inputs), np.arange(8), np.full(8, number))
    session.close()
    assert np.allclose(rows, alone, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("operator", OPERATORS)
def test_a_store_goes_from_its_build_to_a_server_and_back(
    operator: str, digits_model: Path, companion_store: Path, tmp_path: Path
) -> None:
    store, image = tmp_path / "stores" / "mine", encode(digits(1)[0])
    data, clean, reviewed = "digits@holdout[0:450]", "digits@holdout[450:600]", tmp_path / "reviewed.npz"
    np.savez(reviewed, x=digits(200), y=np.zeros(200, np.int64))
    build = ["build", digits_model, "--data", data, "--operator", operator, *OPERATORS[operator]]
    if "companion" in operator:
        build += ["--companion", companion_store.parent / "own.onnx"]

    run("layers", digits_model)
    run(*build, "--out", store)
    first = load_store(store).version
    assert "mine" in run("inspect", store)
    run("verify", store)

    run(
        "simulate",
        store,
        "--data",
        clean,
        "--suspicious",
        f"odd=npz:{reviewed}",
        "--no-grid",
        "--out",
        tmp_path / "report",
    )
    run("calibrate", store, "--max-false-alarm", "0.1")
    second = load_store(store).version
    assert second != first
    if WEIGHTS in load_store(store).manifest.files:
        assert (store / second / WEIGHTS).stat().st_nlink == 2  # the versions share it
    for version in (first, second):
        run("use", store, version[:4])
        run("verify", store, "--mutants", "12")
        for number in (0, 1, load_store(store).manifest.mutants):
            check_export(store, number, tmp_path)

    assert "nothing is proved" in run("certify", store, "--data", clean, "--epsilon", "0.05")
    key, public = tmp_path / "prod.key", tmp_path / "prod.pub"
    run("keygen", tmp_path / "prod")
    run("sign", store, "--key", key)
    run("verify", store, "--require-signature", public)

    variables = {"GUARD_REQUIRE_SIGNATURE": str(public), "GUARD_API_KEYS_FILE": str(tmp_path / "keys.json")}
    user = {"X-API-Key": add_key(tmp_path / "keys.json", "shop")}
    admin = {"X-API-Key": add_key(tmp_path / "keys.json", "ops", role="admin")}
    with serve(store, tmp_path / "log", **variables) as server, httpx.Client(base_url=server.url) as client:

        def check_served(version: str) -> None:
            answer = client.post("/classify", content=image, headers=user)
            assert answer.status_code == 200, answer.text
            assert answer.json()["store"] == {"name": "mine", "version": version}

        def load() -> httpx.Response:
            return client.post("/v2/repository/models/mine/load", headers=admin, timeout=30)

        check_served(second)
        run("calibrate", store, "--data", clean, "--max-false-alarm", "0.1", "--sign-key", key)
        third = load_store(store).version
        check_served(second)
        assert load().json()["version"] == third
        check_served(third)
        run("use", store, first)  # it was never signed
        assert load().status_code == 409
        check_served(third)
        run("sign", store, "--key", key, "--version", first[:6])
        assert load().json()["version"] == first
        check_served(first)
        run("collect-garbage", store, "--keep", "0")
        check_served(first)
    assert first in run("versions", store)
    assert {entry.name for entry in store.iterdir()} == {".lock", "CURRENT", first}

    run("keygen", tmp_path / "next")
    run("sign", store, "--key", tmp_path / "next.key")
    run("verify", store, "--require-signature", tmp_path / "next.pub")
    run("calibrate", store, "--max-false-alarm", "0.08")
    run("verify", store)
    check_export(store, 1, tmp_path)
    if "retrain" not in operator:  # that takes long
        run(*build, "--out", store)  # what is published already
        assert load_store(store).version == first
        run("verify", store, "--require-signature", tmp_path / "next.pub")


def test_every_documented_command_is_part_of_it() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in DOCS.glob("*.md"))
    assert set(re.findall(r"^ +mutant-store ([a-z-]+)", text, re.MULTILINE)) == COMMANDS
