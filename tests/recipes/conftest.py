"""The code of docs/embedding.md, as files that a process can run."""

import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.support.service import KEY, free_port

PAGE = (Path(__file__).parents[2] / "docs/embedding.md").read_text(encoding="utf-8")
RECIPES = dict(re.findall(r"<!-- recipe: (\w+\.py) -->\n```python\n(.*?)```", PAGE, re.DOTALL))
START_SECONDS = 150


@dataclass(frozen=True)
class Recipe:
    """A recipe that runs: where it listens, its process, and what it printed so far."""

    url: str
    process: "subprocess.Popen[bytes]"
    log: Path

    def stop(self, seconds: float = 30) -> int:
        """End it as supervisors do, and return its status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)


Start = Callable[..., AbstractContextManager[Recipe]]


@pytest.fixture
def start(demo_store: Path) -> Iterator[Start]:
    """Starts a recipe of the page by its name, and waits until it answers."""
    # Short: Unix sockets of Ray lie in it, and their paths are limited to 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="r-"))

    @contextmanager
    def started(name: str, *, ready: str, asgi: bool = False, **variables: str) -> Iterator[Recipe]:
        (folder / name).write_text(RECIPES[name], encoding="utf-8")
        port, log = free_port(), folder / "log"
        command = [sys.executable, str(folder / name)]
        if asgi:
            command = [
                sys.executable,
                "-m",
                "uvicorn",
                f"{name.removesuffix('.py')}:app",
                "--port",
                str(port),
            ]
        kept = {
            variable: value
            for variable, value in os.environ.items()
            if not variable.startswith(("PYTEST", "PYTHONWARNINGS", "RAY_", "GUARD_"))
        }
        own = {
            "HOME": str(folder),
            "PORT": str(port),
            "STORE": str(demo_store),
            "ORDER_KEY": KEY,
            "GUARD_ORDER_KEY": KEY,
            "RAY_TMPDIR": str(folder),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # one node, on the loopback address
            "RAY_AUTH_TOKEN": secrets.token_hex(32),  # it would write one below the home directory
        }
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, env=kept | own | variables, cwd=folder, stdout=output, stderr=subprocess.STDOUT
            )
        try:
            recipe = Recipe(f"http://127.0.0.1:{port}", process, log)
            _wait(recipe, ready)
            yield recipe
        finally:
            if process.poll() is None:
                process.terminate()  # it ends what it has started
                try:
                    process.wait(60)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    yield started
    shutil.rmtree(folder, ignore_errors=True)


def _wait(recipe: Recipe, path: str) -> None:
    """Wait until a body that is no image is refused as such: then the guard is there."""
    until = time.monotonic() + START_SECONDS
    while True:
        assert recipe.process.poll() is None, recipe.log.read_text()
        assert time.monotonic() < until, recipe.log.read_text()
        try:
            answer = httpx.post(recipe.url + path, content=b"no image", headers={"Content-Type": "image/png"})
            if answer.status_code == 422:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
