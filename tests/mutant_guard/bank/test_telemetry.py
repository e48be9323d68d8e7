"""Tests that onnxruntime reports nothing about the models it runs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

# Variables that would keep onnxruntime quiet anyway.
QUIET = ("CI", "GITHUB_ACTIONS", "TF_BUILD", "ORT_RUNNING_UNIT_TESTS", "ORT_DISABLE_TELEMETRY")
SESSION = "import {module}, onnxruntime, sys; onnxruntime.InferenceSession(sys.argv[1])"


@pytest.mark.parametrize(
    "module", ["mutant_guard.runtime.engine", "mutant_guard.bank.session", "mutant_store.graph.classifier"]
)
def test_a_session_leaves_no_trace_of_telemetry(digits_model: Path, tmp_path: Path, module: str) -> None:
    kept = {name: value for name, value in os.environ.items() if name not in QUIET}
    places = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"), str(tmp_path))
    command = [sys.executable, "-c", SESSION.format(module=module), str(digits_model)]
    done = subprocess.run(command, env=kept | places, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "telemetry" not in done.stderr.lower()
    assert not [path for path in tmp_path.rglob("*") if "onnxruntime" in path.name]
