"""What the serving process imports: never torch, never onnx, never anything that unpickles."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import detection
import mutant_store
import service
from tests.support.service import digits, encode

BLOCKED = {"torch", "onnx", "sklearn", "art", "tests", "evaluation", "benchmarks"}
PROJECT = {"service", "mutant_store", "detection", "evaluation", "benchmarks", "tests"}
LIGHT = {
    "atomic",
    "bank_session",
    "calibration_record",
    "cores",
    "doubts_record",
    "errors",
    "manifest",
    "model_card",
    "own_tail",
    "pace",
    "pool",
    "preprocessing",
    "reader",
    "session",
    "session_tail",
    "shared_tail",
    "signature",
    "tail",
    "workers",
}
UNPICKLING = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}

SCRIPT = f"""
import asyncio, importlib.abc, sys

class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {BLOCKED}:
            raise ImportError(f"{{name}} is not to be imported")

sys.meta_path.insert(0, Blocker())
import service.cli
from service.guard import Guard
from service.settings import Settings

async def judge(store, image):
    guard = Guard(Settings(store=store, device="cpu", threads=1, order_key="a key for this test"))
    guard.start()
    answer = await guard.judge(open(image, "rb").read())
    await guard.close()
    return answer.judgement

judgement = asyncio.run(judge(*sys.argv[1:]))
assert judgement.mutants > 0
print(sorted({BLOCKED} & {{name.partition(".")[0] for name in sys.modules}}))
"""


def imported(package: Path) -> Iterator[tuple[Path, str, str]]:
    """Every import of a package's files: file, module, and what is taken from it."""
    for path in sorted(package.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from ((path, alias.name, "") for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path} has a relative import"
                yield from ((path, node.module or "", alias.name) for alias in node.names)


def folder(package: object) -> Path:
    file = getattr(package, "__file__", None)
    assert isinstance(file, str)
    return Path(file).parent


def top(module: str) -> str:
    return module.partition(".")[0]


def test_an_image_is_classified_where_the_offline_half_is_not_installed(
    digits_store: Path, tmp_path: Path
) -> None:
    image = tmp_path / "digit.png"
    image.write_bytes(encode(digits(1)[0]))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, digits_store, image],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=folder(service).parent,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def test_opentelemetry_is_not_loaded_unless_it_is_asked_for() -> None:
    """FastAPI imports its interface, and redis its metrics where it is installed."""
    script = """
import sys
import service.cli
import service.http.server
from service.settings import Settings
from service.tracing import load_tracing

load_tracing(Settings())
parts = ("service.otel", "opentelemetry.sdk.trace", "opentelemetry.exporter", "opentelemetry.proto")
print([name for name in sys.modules if name.startswith(parts)])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "[]\n"
    taken = {path.name for path, module, _ in imported(folder(service)) if top(module) == "opentelemetry"}
    assert taken == {"otel.py"}


@pytest.mark.parametrize("module", ["service.client", "service.cli"])
def test_client_and_commands_load_neither_engine_nor_server(module: str) -> None:
    heavy = ("numpy", "onnxruntime", "fastapi", "starlette", "uvicorn", "redis", "PIL", "prometheus_client")
    script = f"import sys, {module}\nprint([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("package", [service, detection], ids=["service", "detection"])
def test_neither_torch_nor_onnx_nor_pickle_is_imported_anywhere(package: object) -> None:
    found = [
        (path.name, module)
        for path, module, _ in imported(folder(package))
        if top(module) in {"torch", "onnx", *UNPICKLING}
    ]
    assert found == []


def test_the_server_takes_only_the_light_modules_of_the_offline_half() -> None:
    taken = {
        (module + "." + name).split(".")[1]
        for _, module, name in imported(folder(service))
        if top(module) == "mutant_store"
    }
    assert taken  # or the test would look in the wrong place
    assert taken <= LIGHT
    others = {top(module) for _, module, _ in imported(folder(service))} & PROJECT
    assert others == {"service", "mutant_store", "detection"}


def test_the_light_modules_take_only_each_other_and_detection() -> None:
    for name in LIGHT:
        path = folder(mutant_store) / f"{name}.py"
        for file, module, _ in imported(folder(mutant_store)):
            if file != path:
                continue
            assert top(module) not in {"torch", "onnx", "sklearn", *UNPICKLING}, file
            if top(module) == "mutant_store":
                assert module.split(".")[1] in LIGHT, file
            elif top(module) in PROJECT:
                assert top(module) == "detection", file


def test_detection_is_numpy_and_the_standard_library() -> None:
    taken = {top(module) for _, module, _ in imported(folder(detection))}
    assert taken <= {"detection", "numpy", *sys.stdlib_module_names}
