"""Versions of what built a store."""

import platform
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = ("mutant-guard", "numpy", "onnx", "onnxruntime", "onnxruntime-gpu", "pillow", "safetensors")


def built_with() -> dict[str, str]:
    """Name → version of Python and of the packages a store depends on, those that are installed."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
