"""The whole application in this process, asked request by request and watched meanwhile."""

import asyncio
import json
from asyncio.events import Handle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Any

import PIL.Image
from PIL import ImageFile, WebPImagePlugin

from benchmarks.fuzz.asks import Request
from service.guard_service import GuardService
from service.http.app import create_app
from service.settings import Settings

_RESET_PEAK = "5"
_TICK_SECONDS = 0.002
_PROBLEM = b"application/problem+json"
_SERVER_ERRORS, _DEADLINE = 500, 504


@dataclass(frozen=True)
class Answered:
    """Outcome of a request.

    Attributes:
        status: status of the answer, 0 where there is none.
        fault: description of what went wrong, empty where all is well.
        seconds: time until the answer.
        held: longest time in seconds that the event loop was with one of its callbacks.
        stalled: longest delay in seconds of the event loop, where it was asked for.
        memory: bytes that the process grew by at most meanwhile.
        pixels: number of pixels of the largest image that was decoded.
    """

    status: int
    fault: str
    seconds: float
    held: float
    stalled: float
    memory: int
    pixels: int


class Application:
    """Application that serves stores, for the length of a block, to callers without sockets.

    Attributes:
        stores: names of the stores.
        limit: most pixels of an image.
    """

    def __init__(self, stores: Sequence[Path], *, max_pixels: int, max_body_bytes: int) -> None:
        """Prepare the application.

        Args:
            stores: directories of the stores.
            max_pixels: the setting, most pixels of an image.
            max_body_bytes: the setting, most bytes of a body.
        """
        settings = Settings(
            store=tuple(stores),
            order_key="a key for fuzzing only",  # type: ignore[arg-type]
            device="cpu",
            threads=1,
            cache_seconds=0,
            max_pixels=max_pixels,
            max_body_bytes=max_body_bytes,
        )
        self.stores, self.limit = [path.name for path in stores], max_pixels
        self._loop = asyncio.new_event_loop()
        self._guard = GuardService(settings)
        self._app = create_app(self._guard)
        self._lifespan = self._app.router.lifespan_context(self._app)
        paths = self._app.openapi()["paths"]
        self._documented = {
            "/classify": _statuses(paths["/classify"]),
            **{
                f"/v2/models/{name}/infer": _statuses(paths["/v2/models/{name}/infer"])
                for name in self.stores
            },
        }
        self._undo: list[Callable[[], None]] = []
        self._held, self._stalled, self._pixels = 0.0, 0.0, 0

    def __enter__(self) -> "Application":
        """Start the application, and watch the event loop and the decoders."""
        self._loop.run_until_complete(self._lifespan.__aenter__())
        self._watch(Handle, "_run", self._timed)
        self._watch(ImageFile.ImageFile, "load", self._measured)
        self._watch(WebPImagePlugin.WebPImageFile, "load", self._measured)
        self._watch(PIL.Image.Image, "frombytes", self._measured)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the application and the watching."""
        for undo in self._undo:
            undo()
        self._loop.run_until_complete(self._lifespan.__aexit__(None, None, None))
        self._loop.close()

    def ask(self, request: Request, *, ticking: bool = False) -> Answered:
        """Send a request and observe its outcome.

        Args:
            request: request to send.
            ticking: whether a task beside it ticks, to measure the delays of the event loop.
        """
        self._held, self._stalled, self._pixels = 0.0, 0.0, 0
        Path("/proc/self/clear_refs").write_text(_RESET_PEAK, encoding="ascii")
        before = _memory("VmRSS")
        sent: list[Any] = []
        ticker = self._loop.create_task(self._tick()) if ticking else None
        started = perf_counter()
        try:
            self._loop.run_until_complete(self._app(_scope(request), _receiver(request.body), _sender(sent)))
            fault = self._fault(request, sent)
        except Exception as error:  # any error is a finding
            fault = f"raised {type(error).__name__}: {error} at {_place(error)}"
        seconds = perf_counter() - started
        if ticker is not None:
            ticker.cancel()
        status = sent[0]["status"] if sent else 0
        if self._pixels > self.limit:
            fault = fault or f"decoded {self._pixels:,} pixels"
        grown = max(0, _memory("VmHWM") - before)
        return Answered(status, fault, seconds, self._held, self._stalled, grown, self._pixels)

    async def _tick(self) -> None:
        while True:
            due = perf_counter() + _TICK_SECONDS
            await asyncio.sleep(_TICK_SECONDS)
            self._stalled = max(self._stalled, perf_counter() - due)

    def _fault(self, request: Request, sent: list[Any]) -> str:
        if not sent or sent[-1].get("more_body"):
            return "not answered"
        status, headers = sent[0]["status"], dict(sent[0]["headers"])
        if status == _DEADLINE and b"timeout" in request.body:
            return ""  # the request says itself how long it may take
        if status >= _SERVER_ERRORS or status not in self._documented[request.path]:
            return f"status {status} is not one it should have"
        body = b"".join(part.get("body", b"") for part in sent[1:])
        try:
            json.loads(body[: int(headers.get(b"inference-header-content-length", len(body)))])
        except ValueError:
            return f"an answer {status} that is no JSON"
        if (status != 200) != (headers.get(b"content-type") == _PROBLEM):
            return f"an answer {status} of type {headers.get(b'content-type')!r}"
        return ""

    def _watch(self, owner: Any, name: str, around: Callable[[Any], Any]) -> None:
        before = getattr(owner, name)
        setattr(owner, name, around(before))
        self._undo.append(lambda: setattr(owner, name, before))

    def _timed(self, run: Callable[[Handle], None]) -> Callable[[Handle], None]:
        def timed(handle: Handle) -> None:
            started = perf_counter()
            run(handle)
            self._held = max(self._held, perf_counter() - started)

        return timed

    def _measured(self, load: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def measured(image: Any, *given: Any) -> Any:
            self._pixels = max(self._pixels, image.size[0] * image.size[1])
            return load(image, *given)

        return measured


def _statuses(path: dict[str, Any]) -> set[int]:
    return {int(status) for status in path["post"]["responses"]}


def _scope(request: Request) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": request.path,
        "raw_path": request.path.encode(),
        "query_string": request.query,
        "root_path": "",
        "headers": [
            (b"host", b"localhost"),
            (b"content-length", str(len(request.body)).encode()),
            *request.headers,
        ],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
    }


def _receiver(body: bytes) -> Callable[[], Any]:
    """Return a receiver of the body in two pieces, and of nothing after that: the client stays."""
    pieces = [body[len(body) // 2 :], body[: len(body) // 2]]

    async def receive() -> dict[str, Any]:
        if not pieces:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": pieces.pop(), "more_body": bool(pieces)}

    return receive


def _sender(sent: list[Any]) -> Callable[[Any], Any]:
    async def send(message: Any) -> None:
        sent.append(message)

    return send


def _memory(name: str) -> int:
    """Return bytes of this process's memory: VmRSS now, VmHWM at its peak."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(f"{name}:")).split()[1])


def _place(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
