import json
from pathlib import Path

import numpy as np
import pytest
from typer import Typer
from typer.testing import CliRunner

from evaluation.over_http import counted, full_pool_rate, main
from evaluation.server import served
from mutant_guard.store.reader import load_store
from mutant_store.datasets import load
from mutant_store.loading.input_spec import InputOptions
from tests.support.demo import build_digits_store

pytestmark = pytest.mark.slow

app = Typer()
app.command()(main)


def test_every_policy_of_the_store_is_measured_on_the_real_server(demo_store: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "results.json"
    result = CliRunner().invoke(
        app, ["--store", str(demo_store), "--data", "digits@test[0:80]", "--out", str(out)]
    )
    assert result.exit_code == 0, result.output
    figures = json.loads(out.read_bytes())
    data, opened = load("digits@test[0:80]"), load_store(demo_store)
    original = opened.session().labels(opened.manifest.input.tensor(data.images), np.zeros(1, np.int64))[:, 0]
    right = int((original == data.labels).sum())
    for policy in figures["policies"]:
        assert (policy["accuracy"]["count"], policy["accuracy"]["trials"]) == (right, 80)
        assert policy["false_alarms"]["trials"] == right
        assert 1 <= policy["mean_mutants"] <= 60
        assert policy["policy"] in result.output
    assert [policy["policy"] for policy in figures["policies"]] == ["calibrated", "fixed", "paper"]
    assert figures["label_change_rate"]["images"] == right


def test_rates_are_counted_over_the_right_images() -> None:
    def answer(label: int, verdict: str) -> dict[str, object]:
        alarm = verdict == "adversarial"
        return {"label": label, "verdict": verdict, "adversarial": alarm, "mutants": 10, "elapsed_ms": 1.0}

    answers = [
        answer(0, "normal"),
        answer(1, "adversarial"),
        answer(2, "adversarial"),
        answer(3, "undecided"),
    ]
    found = counted("paper", answers, np.array([0, 1, 9, 3]))
    assert (found.accuracy.count, found.accuracy.trials) == (3, 4)
    assert (found.false_alarms.count, found.false_alarms.trials) == (1, 3)
    assert (found.alarms.count, found.undecided.count) == (2, 1)


def test_label_change_rate_is_that_of_the_whole_pool(demo_store: Path) -> None:
    opened, data = load_store(demo_store), load("digits@test[0:50]")
    labels = opened.session().labels(opened.manifest.input.tensor(data.images), np.arange(61))
    right = labels[:, 0] == data.labels
    expected = (labels[right, 1:] != labels[right, :1]).mean()
    assert full_pool_rate(opened, data).mean == pytest.approx(expected)


def test_a_store_that_is_not_there_is_said(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["--store", str(tmp_path / "gone"), "--data", "digits@test"])
    assert result.exit_code == 1
    assert "no such store" in result.stderr


def test_a_store_that_crops_every_file_is_refused(digits_model: Path, tmp_path: Path) -> None:
    build_digits_store(digits_model, tmp_path / "crops", mutants=4, input=InputOptions(resize="crop:9"))
    result = CliRunner().invoke(app, ["--store", str(tmp_path / "crops"), "--data", "digits@test"])
    assert result.exit_code == 1
    assert "resizes and crops every file (crop:9)" in " ".join(result.stderr.split())


def test_a_server_that_does_not_start_is_said(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError, match="the server ended with status 1"),
        served(tmp_path, policy="paper"),
    ):
        pass
