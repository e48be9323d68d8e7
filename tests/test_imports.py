"""Import rules between packages.

The library and the service never import torch, onnx, or anything that unpickles.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

from tests.support.service import digits, encode

ROOT = Path(__file__).parents[1]
PACKAGES = ("mutant_guard", "mutant_store", "service", "evaluation", "benchmarks")
MAY_IMPORT = {
    "mutant_guard": {"mutant_guard"},
    "mutant_store": {"mutant_store", "mutant_guard"},
    "service": {"service", "mutant_guard"},
    "evaluation": {"evaluation", "mutant_store", "service", "mutant_guard"},
    "benchmarks": set(PACKAGES),
}
UNPICKLING = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
OFFLINE = {"torch", "onnx", "sklearn", "art", "ray"}
SERVER = {"fastapi", "starlette", "uvicorn", "redis", "prometheus_client", "structlog", "pydantic_settings"}
COMMANDS = {"typer", "rich", "click"}
MOST_MODULES = 16
BLOCKED = {*OFFLINE, "tests", "evaluation", "benchmarks", "mutant_store"}

SCRIPT = f"""
import asyncio, importlib.abc, sys

class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {BLOCKED}:
            raise ImportError(f"{{name}} is not to be imported")

sys.meta_path.insert(0, Blocker())
import service.cli.app
from service.guard_service import GuardService
from service.settings import Settings

async def judge(store, image):
    guard = GuardService(Settings(store=store, device="cpu", threads=1, order_key="a key for this test"))
    guard.start()
    answer = await guard.judge(open(image, "rb").read())
    await guard.close()
    return answer.judgement

judgement = asyncio.run(judge(*sys.argv[1:]))
assert judgement.mutants > 0
print(sorted({BLOCKED} & {{name.partition(".")[0] for name in sys.modules}}))
"""


def modules(package: str) -> Iterator[Path]:
    yield from sorted((ROOT / package).rglob("*.py"))


def imported(path: Path) -> Iterator[tuple[str, str]]:
    """Yield every import of a file: the module, and the name taken from it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            yield from ((node.module or "", alias.name) for alias in node.names)


def top(module: str) -> str:
    return module.partition(".")[0]


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def taken(folder: str) -> dict[str, set[str]]:
    """Return the top-level names that the files below a folder import, with these files."""
    found: dict[str, set[str]] = {}
    for path in modules(folder):
        for module, _ in imported(path):
            found.setdefault(top(module), set()).add(str(path.relative_to(ROOT)))
    assert found, f"{folder} is empty, or the test looks in the wrong place"
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_one_way(package: str) -> None:
    assert taken(package).keys() & {*PACKAGES, "tests"} <= MAY_IMPORT[package]


@pytest.mark.parametrize("package", ["mutant_guard", "service"])
def test_neither_torch_nor_onnx_nor_pickle_is_imported(package: str) -> None:
    assert not taken(package).keys() & {*OFFLINE, *UNPICKLING}


def test_the_library_is_neither_a_server_nor_a_command_and_configures_no_logs() -> None:
    assert not taken("mutant_guard").keys() & {*SERVER, *COMMANDS, "logging"}


def test_decisions_are_numpy_and_the_standard_library() -> None:
    assert taken("mutant_guard/decision").keys() <= {"mutant_guard", "numpy", *sys.stdlib_module_names}
    inner = chain.from_iterable(imported(path) for path in modules("mutant_guard/decision"))
    assert {
        m for m, _ in inner if top(m) == "mutant_guard" and not m.startswith("mutant_guard.decision")
    } == set()


@pytest.mark.parametrize("folder", ["mutant_guard/client", "mutant_guard/wire"])
def test_the_client_is_httpx_and_pydantic(folder: str) -> None:
    found = taken(folder).keys() - sys.stdlib_module_names
    assert found <= {"mutant_guard", "httpx", "pydantic", "annotated_types"}


@pytest.mark.parametrize("package", ["mutant_store", "service"])
def test_only_commands_know_of_typer(package: str) -> None:
    found = taken(package)
    files = set().union(*(found.get(name, set()) for name in COMMANDS))
    assert files
    assert {file for file in files if not file.startswith(f"{package}/cli/")} == set()


@pytest.mark.parametrize("package", PACKAGES)
def test_no_folder_has_more_modules_than_a_person_keeps_in_mind(package: str) -> None:
    for folder in [ROOT / package, *(path for path in (ROOT / package).rglob("*") if path.is_dir())]:
        found = [path.stem for path in folder.glob("*.py") if path.stem != "__init__"]
        assert len(found) <= MOST_MODULES, folder
        assert not {f"{name}s" for name in found} & set(found), f"{folder} has names that differ by an s"


@pytest.mark.parametrize("package", PACKAGES)
def test_no_modules_import_each_other_in_a_circle(package: str) -> None:
    """Imports of any kind count, those for type checking and those in functions included."""
    names = {dotted(path) for path in modules(package)}
    graph = {}
    for path in modules(package):
        name = dotted(path)
        edges = set()
        for module, member in imported(path):
            edges |= {f"{module}.{member}"} & names or {module} & names
        graph[name] = edges - {name}
    while leaves := {name for name, edges in graph.items() if not edges & graph.keys()}:
        graph = {name: edges for name, edges in graph.items() if name not in leaves}
    assert graph == {}


def test_an_image_is_classified_where_the_offline_half_is_not_installed(
    demo_store: Path, tmp_path: Path
) -> None:
    image = tmp_path / "digit.png"
    image.write_bytes(encode(digits(1)[0]))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, demo_store, image],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "GUARD_ORDER_KEY_FILE": str(tmp_path / "key")},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def test_opentelemetry_is_not_loaded_unless_it_is_asked_for() -> None:
    """FastAPI imports OpenTelemetry's interface, and redis its metrics where it is installed."""
    script = """
import sys
import service.cli.app
import service.http.server
from service.settings import Settings
from service.telemetry.tracing import load_tracing

load_tracing(Settings())
parts = ("service.telemetry.otel", "opentelemetry.sdk.trace", "opentelemetry.exporter", "opentelemetry.proto")
print([name for name in sys.modules if name.startswith(parts)])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "[]\n"
    assert taken("service")["opentelemetry"] == {"service/telemetry/otel.py"}


@pytest.mark.parametrize("module", ["mutant_guard", "mutant_guard.client", "service.cli.app"])
def test_client_and_commands_load_neither_engine_nor_server(module: str) -> None:
    heavy = ("numpy", "onnxruntime", "fastapi", "starlette", "uvicorn", "redis", "PIL", "prometheus_client")
    script = f"import sys, {module}\nprint([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "[]\n"
