"""Hardware and software that the figures were measured with."""

import os
import platform
from importlib import import_module
from pathlib import Path
from typing import Literal

from mutant_guard.bank.cores import available_cores
from mutant_guard.errors import DeviceError
from mutant_guard.runtime.options import Device

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


def chosen_device(device: Device) -> Literal["cpu", "cuda"]:
    """Return the device that torch computes on; ``auto`` stands for CUDA where there is a GPU.

    Raises:
        DeviceError: ``cuda`` is asked for, and torch sees no GPU.
    """
    import torch

    there = torch.cuda.is_available()
    if device == "cuda" and not there:
        raise DeviceError("torch sees no GPU; use --device cpu")
    return "cuda" if there and device != "cpu" else "cpu"


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
