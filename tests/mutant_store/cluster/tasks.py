"""Tasks that note each run in a file; their imports are light, as every worker has them anew."""

import os
from pathlib import Path

from mutant_guard.errors import ModelError


def refuse(runs: Path) -> None:
    with runs.open("a") as file:
        file.write("run\n")
    raise ModelError("this cannot be done")


def vanish(runs: Path) -> None:
    with runs.open("a") as file:
        file.write("run\n")
    os._exit(3)
