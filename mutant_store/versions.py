"""Versions of the software that builds a store."""

import platform
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = ("mutant-guard", "numpy", "onnx", "onnxruntime", "onnxruntime-gpu", "pillow", "safetensors")


def built_with() -> dict[str, str]:
    """Return name → version of Python and of the installed packages that a store depends on."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
