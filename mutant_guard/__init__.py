"""Inference guard for image classifiers.

For an image it gives a label, a verdict on whether to trust the label, and the number of mutants
that the verdict took.

    from mutant_guard import Guard

    with Guard("stores/mine") as guard:
        answer = guard.classify(image)
        print(answer.class_name, answer.verdict, answer.mutants)

``Guard`` judges images in this process. ``GuardClient`` and ``AsyncGuardClient`` ask a server that
judges them. Names are loaded when they are first used, so clients need neither NumPy nor
onnxruntime.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mutant_guard import errors
    from mutant_guard.client import AsyncGuardClient, GuardClient
    from mutant_guard.guard import Guard
    from mutant_guard.runtime.answer import Answer
    from mutant_guard.runtime.observer import Observer
    from mutant_guard.runtime.verdict_cache import MemoryCache
    from mutant_guard.store.reader import load_store
    from mutant_guard.wire.verdict import Explanation, UndecidedBecause, Verdict

__all__ = [
    "Answer",
    "AsyncGuardClient",
    "Explanation",
    "Guard",
    "GuardClient",
    "MemoryCache",
    "Observer",
    "UndecidedBecause",
    "Verdict",
    "errors",
    "load_store",
]

# Since 1.29 onnxruntime reports every session to its makers, with the model's names and hashes
# among other things, and keeps a database below the home directory. It reads this variable when it
# is loaded.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

_HOME = {
    "Answer": "runtime.answer",
    "AsyncGuardClient": "client",
    "Explanation": "wire.verdict",
    "Guard": "guard",
    "GuardClient": "client",
    "MemoryCache": "runtime.verdict_cache",
    "Observer": "runtime.observer",
    "UndecidedBecause": "wire.verdict",
    "Verdict": "wire.verdict",
    "load_store": "store.reader",
}
_ENGINE = {"numpy", "onnxruntime", "PIL", "safetensors", "cryptography"}


def __getattr__(name: str) -> object:
    """Load a public name when it is first used.

    Raises:
        AttributeError: no public name is called so.
        ImportError: the name needs packages that are not installed.
    """
    if name == "errors":
        return import_module("mutant_guard.errors")
    if name not in _HOME:
        raise AttributeError(f"module 'mutant_guard' has no attribute '{name}'")
    try:
        return getattr(import_module(f"mutant_guard.{_HOME[name]}"), name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in _ENGINE:
            raise
        raise ImportError(
            f"mutant_guard.{name} needs {error.name}, which is not installed; pip install 'mutant-guard[cpu]', or [gpu]"
        ) from error
