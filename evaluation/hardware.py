"""Hardware and software that the figures were measured with."""

import os
import platform
from importlib import import_module
from pathlib import Path

from mutant_guard.bank.cores import available_cores

_CPUINFO = Path("/proc/cpuinfo")
_PACKAGES = ("torch", "onnxruntime", "numpy")


def cpu_model(cpuinfo: Path = _CPUINFO) -> str:
    """Return the name of the processor, or of its architecture where the system does not say."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def hardware() -> str:
    """Return the processor and the number of cores used."""
    return f"{cpu_model()}, {available_cores()} cores used"


def load() -> float:
    """Return the mean number of running processes over the last minute.

    Well above 0 before a start, it says that others use the cores.
    """
    return os.getloadavg()[0]


def versions() -> dict[str, str]:
    """Return the versions, by name, of Python and the packages whose speed is measured."""
    found = {
        name: str(import_module(name).__version__) for name in _PACKAGES
    }  # onnxruntime has several packages
    return {"python": platform.python_version(), **found}
