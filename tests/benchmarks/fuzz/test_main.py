"""A short run of fuzzing, started as ``make fuzz`` starts it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]


def test_it_says_what_it_came_to_and_that_it_was_too_little(demo_store: Path, tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="atheris has no wheel for this machine")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "benchmarks.fuzz",
            "bodies",
            "--store",
            demo_store,
            "--executions",
            "600",
            "--out",
            tmp_path,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    entries = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    figures = {entry["figure"]: entry for entry in entries}
    assert figures["fuzzed_bodies"]["value"] == 600
    assert [name for name, entry in figures.items() if entry["met"] is False] == ["fuzzed_bodies"]
    assert done.returncode == 1
    assert "edges of Python code" in done.stdout
    assert len(list((tmp_path / "corpus").iterdir())) > 300
