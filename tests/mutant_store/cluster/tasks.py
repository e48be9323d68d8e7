"""Tasks that note each run in a file; their imports are light, as every worker has them anew."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mutant_guard.errors import ModelError


def refuse(runs: Path) -> None:
    with runs.open("a") as file:
        file.write("run\n")
    raise ModelError("this cannot be done")


def vanish(runs: Path) -> None:
    with runs.open("a") as file:
        file.write("run\n")
    os._exit(3)


def hold(job: Any, number: int, tell: Callable[[str], None]) -> None:
    """Tell of a checkpoint and stay for ever; a run that finds it goes on and ends."""
    unfinished = job.folder / f"held-{number:04}.checkpoint"
    images = (job.folder / "images.npy").read_bytes()
    if not unfinished.exists():
        unfinished.write_bytes(images[:4])
        tell("held")
        time.sleep(3600)
    tell("gone on")
    (job.folder / f"held-{number:04}.safetensors").write_bytes(unfinished.read_bytes() + images)
