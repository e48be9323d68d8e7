"""The bare classifier behind LitServe and MLServer.

Each is installed from PyPI into an environment of its own.
"""

import base64
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.alternatives.public import bare
from benchmarks.subjects import ServedStore
from evaluation.server import Server, free_port, started
from mutant_guard.errors import GuardError
from mutant_guard.store.resizing import ResizeRule
from mutant_store.bank.export import open_mutants

FOLDER = Path(__file__).parents[2] / "runs" / "servers"
"""Folder of the environments, which are kept between runs, and of the servers' files."""

_APPS = Path(bare.__file__).parent
_BATCH = 16
_START_SECONDS = 120.0
_INSTALLED = "installed"


class NotInstalledError(GuardError):
    """Error for a public model server that cannot be installed here."""


@dataclass(frozen=True)
class PublicServer:
    """Public model server: its installation, start and requests.

    Attributes:
        title: name of the server, with what is not its default.
        package: name of its package on PyPI.
        version: version of the package that was tried.
        start: function that returns the command, given its environment's programs, its folder and a
            port.
        path: path that images are posted to.
        ready: path that answers 200 once the server is ready.
        body: function that returns what is posted for an image file.
        label: function that returns the label of an answer.
    """

    title: str
    package: str
    version: str
    start: Callable[[Path, Path, int], list[str]]
    path: str
    ready: str
    body: Callable[[bytes], object]
    label: Callable[[dict[str, object]], object]

    @property
    def key(self) -> str:
        """Title as figures have it."""
        return re.sub(r"\W+", "_", self.title.lower())

    def bodies(self, subject: ServedStore) -> list[bytes]:
        """Return all images as the server takes them."""
        return [json.dumps(self.body(image)).encode() for image in subject.bodies]


def _litserve(batch: int) -> Callable[[Path, Path, int], list[str]]:
    def start(programs: Path, folder: Path, port: int) -> list[str]:
        return [str(programs / "python"), str(folder / "litserve_app.py"), str(port), str(batch), "1"]

    return start


def _mlserver(programs: Path, folder: Path, port: int) -> list[str]:
    settings = {
        "debug": False,
        "host": "127.0.0.1",
        "http_port": port,
        "grpc_port": free_port(),
        "metrics_port": free_port(),
        "parallel_workers": 0,
    }
    model = {"name": "classifier", "implementation": "mlserver_runtime.MLServerClassifier"}
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(json.dumps(model))
    return [str(programs / "mlserver"), "start", str(folder)]


def _text(image: bytes) -> str:
    return base64.b64encode(image).decode()


def _tensor(image: bytes) -> object:
    tensor = {"name": "image", "shape": [1], "datatype": "BYTES", "data": [_text(image)]}
    return {"inputs": [tensor | {"parameters": {"content_type": "base64"}}]}


def _first_value(answer: dict[str, object]) -> object:
    outputs = answer["outputs"]
    return outputs[0]["data"][0] if isinstance(outputs, list) else None


def _of_litserve(title: str, batch: int) -> PublicServer:
    return PublicServer(
        title,
        "litserve",
        "0.2.19",
        _litserve(batch),
        "/predict",
        "/health",
        lambda image: {"image": _text(image)},
        lambda answer: answer["label"],
    )


SERVERS = [
    _of_litserve("LitServe", 1),
    _of_litserve(f"LitServe, batches of {_BATCH}", _BATCH),
    PublicServer(
        "MLServer, no workers",
        "mlserver",
        "1.7.1",
        _mlserver,
        "/v2/models/classifier/infer",
        "/v2/models/classifier/ready",
        _tensor,
        _first_value,
    ),
]


def install(server: PublicServer, folder: Path) -> Path:
    """Return the folder of an environment's programs; the environment is made if there is none.

    Raises:
        NotInstalledError: the environment cannot be made; the message says why.
    """
    where = folder / f".venv-{server.package}"
    done = where / _INSTALLED
    wanted = [f"{server.package}=={server.version}", "onnxruntime", "pillow", "numpy"]
    if not done.exists() or done.read_text() != " ".join(wanted):
        shutil.rmtree(where, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(where)])
        _run([str(where / "bin" / "pip"), "install", "--quiet", *wanted])
        done.write_text(" ".join(wanted))
    return where / "bin"


@contextmanager
def serving_bare(server: PublicServer, subject: ServedStore, threads: int, folder: Path) -> Iterator[Server]:
    """Run a public server of the subject's original, its session of this many threads.

    Raises:
        NotInstalledError: the server cannot be installed here.
        ServerError: the server does not start.
    """
    programs = install(server, folder)
    port = free_port()
    place = folder / f"{server.package}-{port}"
    shutil.copytree(_APPS, place, ignore=shutil.ignore_patterns("__*"))
    try:
        command = server.start(programs, place, port)
        environment = {
            bare.VARIABLE: json.dumps(described(subject, place, threads)),
            "PYTHONPATH": str(place),
        }
        with started(
            command, port, environment=environment, ready=server.ready, within=_START_SECONDS, cwd=place
        ) as running:
            yield running
    finally:
        shutil.rmtree(place)


def described(subject: ServedStore, place: Path, threads: int) -> Mapping[str, object]:
    """Write a subject's original to a folder and return the description that ``Bare`` reads."""
    model, spec = place / "classifier.onnx", subject.store.manifest.input
    model.write_bytes(open_mutants(subject.store).model(0, original_names=False).SerializeToString())
    return {
        "model": str(model),
        "mean": spec.mean,
        "std": spec.std,
        "layout": spec.layout,
        "threads": threads,
        "size": [spec.height, spec.width],
        "shorter": ResizeRule.parse(spec.resize).shorter,
    }


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise NotInstalledError(f"{' '.join(command)} failed: {done.stderr.strip()[-500:]}")
