"""Log lines: one event each, as text for people or as JSON."""

import json
import logging
import sys
from contextlib import nullcontext
from typing import Literal

import structlog
from pydantic_core import PydanticSerializationError, to_json
from structlog.typing import EventDict, Processor, WrappedLogger

from service.telemetry.line_writer import LineWriter
from service.telemetry.shared_lock import SharedLock

_ALL = structlog.make_filtering_bound_logger(logging.INFO)
"""Logger that keeps all that the server logs."""

_STAMP = structlog.processors.TimeStamper(fmt="iso", utc=True)


def log_frequent(event: str, facts: EventDict) -> None:
    """Log an event of every request, as ``structlog.get_logger().info(event, **facts)`` does.

    Where lines are JSON, structlog's chain is left out: it takes several times as long as all it
    does here.
    """
    config = structlog.get_config()
    if config["wrapper_class"] is not _ALL or _as_json not in config["processors"]:
        structlog.get_logger().info(event, **facts)
        return
    line = _STAMP(None, "info", {"timestamp": None, "level": "info", "event": event, **facts})
    config["logger_factory"]().msg(_encoded(line))


def configure_logs(
    form: Literal["console", "json"], *, quiet: bool = False, shared: int | None = None
) -> None:
    """Send log events of structlog and of the standard library to standard error.

    Start uvicorn with ``log_config=None``, or it formats its own lines. A log call never waits long
    for a reader and never fails for want of one (``service.telemetry.line_writer``).

    Args:
        form: form of the lines.
        quiet: whether only warnings and worse are logged. This is always so for the standard
            library's loggers (uvicorn's, asyncio's).
        shared: descriptor of a file that all processes have inherited which write to this standard
            error, so that lines stay whole; None where it is this process's alone.
    """
    writer = LineWriter(sys.stderr, nullcontext(True) if shared is None else SharedLock(shared))
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            _STAMP,
            *(_JSON if form == "json" else _console(colours=bool(sys.stderr and sys.stderr.isatty()))),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING) if quiet else _ALL,
        logger_factory=lambda *_: writer,
        # Every call makes its logger anew, which takes half a microsecond. A cached logger would
        # miss a change of the configuration.
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers = [handler for handler in root.handlers if not isinstance(handler, _ToStructlog)]
    root.addHandler(_ToStructlog())


class _ToStructlog(logging.Handler):
    """Handler that passes events of the standard library's loggers on to structlog."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            level = min(record.levelno // 10 * 10, logging.CRITICAL)  # a level that structlog knows
            failure = {"exc_info": record.exc_info} if record.exc_info else {}
            structlog.get_logger().log(level, record.getMessage().strip(), logger=record.name, **failure)
        except Exception:
            self.handleError(record)


_BEFORE_OTHERS: EventDict = dict.fromkeys(("timestamp", "level", "event"))


def _as_json(_: WrappedLogger, __: str, event: EventDict) -> bytes:
    return _encoded({**_BEFORE_OTHERS, **event})


def _encoded(line: EventDict) -> bytes:
    try:
        return to_json(line, inf_nan_mode="null", fallback=repr)
    except PydanticSerializationError:  # half of a surrogate pair, or bytes that are no text
        return json.dumps(line, default=repr).encode()


_JSON: tuple[Processor, ...] = (structlog.processors.format_exc_info, _as_json)


def _console(*, colours: bool) -> tuple[Processor, ...]:
    # Plain tracebacks only. Others show local variables, which include images and keys.
    renderer = structlog.dev.ConsoleRenderer(
        colors=colours, exception_formatter=structlog.dev.plain_traceback
    )

    def as_text(logger: WrappedLogger, name: str, event: EventDict) -> bytes:
        return renderer(logger, name, event).encode(errors="backslashreplace")

    return structlog.dev.set_exc_info, _on_one_line, as_text


def _on_one_line(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Quote texts with control characters, so that callers cannot start or colour a line."""
    return {
        name: value if not isinstance(value, str) or value.isprintable() else repr(value)
        for name, value in event.items()
    }
