"""Every recipe of docs/embedding.md, run with the real package, and ended as supervisors end it."""

import json
import re
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import numpy as np
import onnxruntime
import pytest

from mutant_guard import Guard
from tests.recipes.conftest import PAGE, RECIPES, Start
from tests.support.service import KEY, digits, encode

pytestmark = pytest.mark.slow

CLEAN, NOISY = digits(12), digits(12, noise=0.5)
HEADERS = {"Content-Type": "image/png"}


@pytest.fixture(scope="module")
def expected(demo_store: Path) -> list[tuple[int, str, int]]:
    """Label, verdict and mutants of the images, as the library itself gives them."""
    with Guard(demo_store, order_key=KEY) as guard:
        answers = [guard.classify(encode(image)) for image in (*CLEAN, *NOISY)]
    return [(answer.label, answer.verdict.value, answer.mutants) for answer in answers]


def asked(url: str, expected: list[tuple[int, str, int]], *, same_order: bool) -> None:
    """Every image gets the label it should; under the same order key verdict and mutants as well."""
    with httpx.Client(timeout=30) as http:
        for image, (label, verdict, mutants) in zip((*CLEAN, *NOISY), expected, strict=True):
            answer = http.post(url, content=encode(image), headers=HEADERS)
            assert answer.status_code == 200, answer.text
            told = answer.json()
            assert told["label"] == label
            assert told["verdict"] in {"normal", "adversarial", "undecided"}
            if same_order:
                assert (told["verdict"], told["mutants"]) == (verdict, mutants)


def test_every_recipe_is_run_here() -> None:
    source = Path(__file__).read_text(encoding="utf-8")
    assert set(RECIPES) == set(re.findall(r'start\(\s*"(\w+\.py)"', source))
    assert len(re.findall("```python", PAGE)) == len(RECIPES) + 1  # the first block has a test of its own


def test_the_first_block_runs(
    demo_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(demo_store, tmp_path / "stores/mine")
    (tmp_path / "images").mkdir()
    for number, image in enumerate(CLEAN):
        (tmp_path / f"images/{number:02}.png").write_bytes(encode(image))
    (tmp_path / "image.png").write_bytes(encode(NOISY[0]))
    monkeypatch.chdir(tmp_path)
    first = re.search("```python\n(.*?)```", PAGE, re.DOTALL)
    assert first is not None
    exec(first[1], {})  # noqa: S102 - our own documentation
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) in {1 + len(CLEAN), 2 + len(CLEAN)}
    assert re.fullmatch(r"\d \d (normal|adversarial) (True|False) \d+", lines[0])
    assert all(re.fullmatch(r"\d (normal|adversarial)", line) for line in lines[-len(CLEAN) :])


def test_fastapi_with_a_route_of_ones_own(start: Start, expected: list[tuple[int, str, int]]) -> None:
    with start("fastapi_own.py", ready="/predict", asgi=True) as recipe:
        asked(f"{recipe.url}/predict", expected, same_order=False)
        assert recipe.stop() in {0, -signal.SIGTERM}  # uvicorn raises the signal again once it is done
    assert "Application shutdown complete" in recipe.log.read_text()


def test_all_routes_under_a_prefix(start: Start, expected: list[tuple[int, str, int]]) -> None:
    with start("mounted.py", ready="/guard/classify", asgi=True) as recipe:
        asked(f"{recipe.url}/guard/classify", expected, same_order=True)
        assert httpx.get(f"{recipe.url}/").json() == {"guard": "/guard/"}
        for path in ("livez", "readyz", "metrics", "v2/health/ready", "v2/models", ""):
            assert httpx.get(f"{recipe.url}/guard/{path}").status_code == 200, path
        assert "guard_verdicts_total" in httpx.get(f"{recipe.url}/guard/metrics").text
        assert recipe.stop() in {0, -signal.SIGTERM}
    assert "Application shutdown complete" in recipe.log.read_text()


def test_ray_serve(start: Start, expected: list[tuple[int, str, int]]) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'ray[serve]'")
    with start("ray_serve.py", ready="/predict") as recipe:
        asked(f"{recipe.url}/predict", expected, same_order=True)
        assert recipe.stop(60) == 0, recipe.log.read_text()


def test_litserve(start: Start, expected: list[tuple[int, str, int]]) -> None:
    pytest.importorskip("litserve", reason="LitServe is not installed: pip install litserve")
    with start("litserve_app.py", ready="/predict") as recipe:
        children = _children(recipe.process.pid)
        asked(f"{recipe.url}/predict", expected, same_order=False)
        assert recipe.stop() == 0, recipe.log.read_text()
    assert children
    until = time.monotonic() + 20
    while any(_runs(child) for child in children):
        assert time.monotonic() < until, recipe.log.read_text()
        time.sleep(0.1)


def _children(pid: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(status.parent.name))
    return found


def _runs(pid: int) -> bool:
    """Whether a process is there and not merely waiting to be noticed."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.fixture
def classifier(digits_model: Path) -> Iterator[tuple[str, dict[str, int]]]:
    """A server of the classifier alone that speaks the Open Inference Protocol, and what it adds to its labels."""
    session = onnxruntime.InferenceSession(str(digits_model), providers=["CPUExecutionProvider"])
    changed = {"by": 0}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            (tensor,) = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["inputs"]
            assert (tensor["name"], tensor["datatype"]) == (session.get_inputs()[0].name, "FP32")
            inputs = np.array(tensor["data"], dtype=np.float32).reshape(tensor["shape"])
            scores = np.roll(session.run(None, {tensor["name"]: inputs})[0], changed["by"], axis=1)
            output = {"name": "scores", "datatype": "FP32", "shape": list(scores.shape)}
            output["data"] = scores.ravel().tolist()
            body = json.dumps({"model_name": "digits", "outputs": [output]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v2/models/digits/infer", changed
    server.shutdown()
    thread.join()
    server.server_close()


def test_beside_a_server_that_serves_the_label(
    start: Start, expected: list[tuple[int, str, int]], classifier: tuple[str, dict[str, int]]
) -> None:
    upstream, changed = classifier
    with start("sidecar.py", ready="/predict", asgi=True, UPSTREAM=upstream) as recipe:
        asked(f"{recipe.url}/predict", expected, same_order=False)
        changed["by"] = 1  # another classifier than the store's
        told = httpx.post(f"{recipe.url}/predict", content=encode(CLEAN[0]), headers=HEADERS).json()
        assert told["label"] == (expected[0][0] + 1) % 10
        assert not told["same_label"]
        assert told["verdict"] != "normal"
        counted = httpx.get(f"{recipe.url}/metrics/").text
        same = re.findall(r'sidecar_answers_total\{same_label="True",.*?\} (\S+)', counted)
        other = re.findall(r'sidecar_answers_total\{same_label="False",.*?\} (\S+)', counted)
        assert sum(map(float, same)) == len(expected)
        assert sum(map(float, other)) == 1
        assert recipe.stop() in {0, -signal.SIGTERM}


def test_without_that_server_there_is_no_answer(start: Start) -> None:
    with start("sidecar.py", ready="/predict", asgi=True, UPSTREAM="http://127.0.0.1:9/infer") as recipe:
        answer = httpx.post(f"{recipe.url}/predict", content=encode(CLEAN[0]), headers=HEADERS)
    assert answer.status_code == 502
    assert "gave no label" in answer.json()["detail"]
