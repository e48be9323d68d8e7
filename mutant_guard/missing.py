"""Message of a command that needs a package which is not installed.

This module imports nothing but the standard library.
"""

import sys
from importlib import import_module

_EXTRA_OF = {
    "PIL": "cpu",
    "cryptography": "cpu",
    "numpy": "cpu",
    "onnxruntime": "cpu",
    "safetensors": "cpu",
    "fastapi": "server",
    "platformdirs": "server",
    "prometheus_client": "server",
    "pydantic_settings": "server",
    "redis": "server",
    "starlette": "server",
    "structlog": "server",
    "uvicorn": "server",
    "matplotlib": "build",
    "onnx": "build",
    "sklearn": "build",
    "onnx2fx": "retrain",
    "onnxscript": "retrain",
    "ray": "ray",
    "torch": "retrain",
}
_OF_COMMANDS = {"rich", "typer"}


def remedy(module: str | None, own_extra: str) -> str | None:
    """Return a message that names the missing package and the extra that brings it.

    Args:
        module: name of the module that was not found.
        own_extra: extra that brings the command itself.

    Returns:
        The message, or None for a module that no extra brings.
    """
    name = (module or "").partition(".")[0]
    extra = own_extra if name in _OF_COMMANDS else _EXTRA_OF.get(name)
    if extra is None:
        return None
    either = " (or [gpu])" if extra == "cpu" else ""
    return f"this needs {name}, which is not installed; pip install 'mutant-guard[{extra}]'{either}"


def run(module: str, own_extra: str) -> None:
    """Run the typer application ``app`` of a module.

    Where a package is missing, print an error of one line and exit with status 1.

    Args:
        module: dotted name of the module.
        own_extra: extra that brings the command itself.
    """
    try:
        import_module(module).app()
    except ModuleNotFoundError as error:
        said = remedy(error.name, own_extra)
        if said is None:
            raise
        sys.exit(f"error: {said}")
