"""What the figures were measured on, and with."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

from mutant_guard.bank.cores import available_cores

_CPUINFO = Path("/proc/cpuinfo")
_PACKAGES = ("torch", "onnxruntime", "numpy")


def cpu_model(cpuinfo: Path = _CPUINFO) -> str:
    """Name of the processor, or of its architecture where the system does not say."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def hardware() -> str:
    """Processor and cores used."""
    return f"{cpu_model()}, {available_cores()} cores used"


def load() -> float:
    """Mean number of running processes over the last minute: well above 0 before a start, others use the cores."""
    return os.getloadavg()[0]


def versions() -> dict[str, str]:
    """Name → version of Python and the packages whose speed is measured."""
    return {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}}
