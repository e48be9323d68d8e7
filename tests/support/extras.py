"""Installed packages that an extra brings, and a process that has these alone."""

import json
import re
import subprocess
import sys
from importlib.metadata import distribution, packages_distributions

from packaging.requirements import Requirement

_PROJECT = "mutant-guard"

_PROGRAM = """
import contextlib, importlib.abc, io, json, sys

class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
found = []
for command in COMMANDS:
    out, err, status = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            if command[0] == "python":
                exec(command[1], {})
            else:
                sys.argv = list(command)
                package = {"mutant-guard": "service", "mutant-store": "mutant_store"}[command[0]]
                importlib.import_module(package + ".cli").main()
        except SystemExit as end:
            status = end.code
            if isinstance(status, str):
                print(status, file=sys.stderr)
                status = 1
        except ImportError as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            status = 1
    found.append((status or 0, out.getvalue(), err.getvalue()))
print(json.dumps(found))
"""


def brought(*extras: str) -> set[str]:
    """Return the names of the installed distributions that the project needs with these extras."""
    found: set[str] = set()
    waiting = [(_PROJECT, frozenset(extras))]
    while waiting:
        name, wanted = waiting.pop()
        found.add(name)
        for text in distribution(name).requires or ():
            requirement = Requirement(text)
            marker = requirement.marker
            if marker is not None and not any(marker.evaluate({"extra": extra}) for extra in wanted or {""}):
                continue
            needed = _normal(requirement.name)
            if needed not in found:
                waiting.append((needed, frozenset(requirement.extras)))
    return found


def run_with(extras: tuple[str, ...], commands: list[tuple[str, ...]]) -> list[tuple[int, str, str]]:
    """Run commands, or Python code, as if only these extras were installed.

    Returns:
        Status, output and errors of each command.
    """
    there = brought(*extras)
    blocked = {
        module
        for module, distributions in packages_distributions().items()
        if not there & {_normal(name) for name in distributions}
    }
    assert not blocked & {"service", "mutant_guard", "mutant_store"}
    program = f"import importlib\nBLOCKED = {blocked!r}\nCOMMANDS = {commands!r}\n{_PROGRAM}"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return [tuple(entry) for entry in json.loads(done.stdout.splitlines()[-1])]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
