"""Sizes of the files a build would write, and memory a server would load."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.bank.memory import resident, write
from benchmarks.bank.networks import load_network
from benchmarks.bank.pools import Pool, draw_pool
from benchmarks.bank.storage import stand_alone_bytes, version_bytes
from mutant_guard.store.reader import CALIBRATION, MANIFEST, RECORDINGS, load_store
from mutant_store.bank.builder import BankBuilder
from mutant_store.bank.export import open_mutants
from mutant_store.bank.files import bank_files
from mutant_store.datasets import load
from mutant_store.graph.activations import Activations
from mutant_store.graph.classifier import load_classifier
from mutant_store.graph.graph import Graph
from mutant_store.graph.neurons import find_layers

SCRIPT = """
import runpy, sys
runpy.run_module("benchmarks.bank.resident", run_name="__main__")
heavy = {"torch", "onnx", "sklearn", "matplotlib", "pydantic", "cryptography", "evaluation"}
print(sorted(heavy & {name.partition(".")[0] for name in sys.modules}))
"""


def test_a_version_is_counted_as_a_build_writes_it(digits_model: Path, demo_store: Path) -> None:
    store, classifier = load_store(demo_store), load_classifier(digits_model)
    probe = store.manifest.input.tensor(load("digits@holdout[0:8]").images)
    layers = find_layers(Graph(classifier.model))
    bank = BankBuilder(classifier, layers, Activations(classifier, probe)).build(open_mutants(store).pool)
    written = {path.name: path.read_bytes() for path in store.path.iterdir()}
    small = len(written.pop(MANIFEST)) + len(written.pop(CALIBRATION))
    label_changes = written.pop(RECORDINGS)
    assert bank_files(bank)[0] == written
    parts = (store.manifest.data.choice, store.manifest.data.certification)
    recorded = sum(part.stop - part.start for part in parts)
    allowed = version_bytes(bank, recorded) - sum(map(len, (*written.values(), label_changes)))
    assert small <= allowed <= small + 16 * 1024


def test_stand_alone_files_are_as_large_as_they_are(pool: Pool) -> None:
    sizes = [len(pool.stand_alone.model(number).SerializeToString()) for number in range(1, 7)]
    assert stand_alone_bytes(pool) == pytest.approx(sum(sizes))


def test_the_processes_load_what_they_are_to_and_nothing_heavy(tmp_path: Path) -> None:
    write(draw_pool(load_network("lenet"), "nai", 9), tmp_path)
    for kind in ("original", "bank"):
        now = resident(kind, tmp_path)
        assert 0 < now["VmRSS"] <= now["VmHWM"]
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, kind, str(tmp_path)], capture_output=True, text=True, check=True
        )
        assert done.stdout.endswith("}[]\n")
