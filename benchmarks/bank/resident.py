"""``python -m benchmarks.bank.resident original|bank FOLDER``: memory of one of the two.

The process loads it, runs it and prints its memory. It imports onnxruntime and what a bank needs
and no more: the rest of a server would hide how the two differ.
"""

import json
import sys
from pathlib import Path

import numpy as np

from mutant_guard.bank.bank_session import BankSession
from mutant_guard.bank.cores import available_cores
from mutant_guard.bank.session import IMAGES, open_session, run_session
from mutant_guard.bank.tail import TailRecord

ORIGINAL, DESCRIPTION, IMAGE = "original.onnx", "bank.json", "image.npy"
ROWS = 64


def main(kind: str, folder: Path) -> None:
    """Print resident bytes, now and at most, as JSON; load only mutants that share weights."""
    image = np.load(folder / IMAGE)
    if kind == "original":
        session = open_session(folder / ORIGINAL, threads=available_cores())
        run_session(session, IMAGES, image)
    else:
        described = json.loads((folder / DESCRIPTION).read_text())
        tails = [
            TailRecord(folder / entry["file"], True, entry["features"], entry["mutants"])
            for entry in described["tails"]
        ]
        bank = BankSession(folder / described["prefix"], tails)
        mutants = max(max(tail.mutants) for tail in tails)
        chosen = np.linspace(0, mutants, ROWS, dtype=np.int64)
        bank.scores(bank.features(image), np.zeros(ROWS, dtype=np.int64), chosen)
    sys.stdout.write(json.dumps({name: _status(name) for name in ("VmRSS", "VmHWM")}))


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(f"{name}:")).split()[1])


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
