"""Effect of images made to take long on a server with the limits it is shipped with."""

from pathlib import Path

import structlog

from benchmarks.figures import Figure, milliseconds, quantity
from benchmarks.fuzz.application import Answered, Application
from benchmarks.fuzz.asks import Ask, Route
from benchmarks.fuzz.bombs import SMALL, bombs
from benchmarks.sections import Section, Table
from service.settings import Settings

_TIMES = 5
"""Times that each is sent: the best counts, since the machine also does other work."""

_HELD_MS, _STALLED_MS, _SECONDS_MS, _BYTES_A_PIXEL = 20.0, 250.0, 5000.0, 64
_NOTES = [
    "held: longest callback of the event loop; late: how long others of its callbacks waited.",
    f"The best of {_TIMES} each.",
]


def measure(store: Path) -> Section:
    """Send each image to a store that resamples."""
    structlog.configure(processors=[], logger_factory=structlog.ReturnLoggerFactory())
    fields = Settings.model_fields
    pixels, length = fields["max_pixels"].default, fields["max_body_bytes"].default
    found: dict[str, tuple[int, Answered]] = {}
    with Application([store], max_pixels=pixels, max_body_bytes=length) as application:
        for name, make in bombs():
            body = make()
            found[name] = len(body), _best(application, body)
    rows = [
        [
            name,
            f"{length:,}",
            str(one.status),
            *(milliseconds(took) for took in (one.seconds, one.held, one.stalled)),
            quantity(one.memory / 1e6, ""),
        ]
        for name, (length, one) in found.items()
    ]
    columns = ["image", "bytes", "status", "ms", "held, ms", "late, ms", "MB"]
    return Section(
        "Bombs", [Table("Images made to take long", columns, rows, _NOTES)], _figures(found, pixels)
    )


def _best(application: Application, body: bytes) -> Answered:
    asked = Ask(Route.RAW, 0, body).request(application.stores)
    outcomes = [application.ask(asked, ticking=True) for _ in range(_TIMES)]
    faults = [outcome.fault for outcome in outcomes if outcome.fault]
    return Answered(
        outcomes[0].status,
        faults[0] if faults else "",
        min(outcome.seconds for outcome in outcomes),
        min(outcome.held for outcome in outcomes),
        min(outcome.stalled for outcome in outcomes),
        max(outcome.memory for outcome in outcomes),
        max(outcome.pixels for outcome in outcomes),
    )


def _figures(found: dict[str, tuple[int, Answered]], pixels: int) -> list[Figure]:
    everything = [outcome for _, outcome in found.values()]
    small = [outcome.held for length, outcome in found.values() if length <= SMALL]
    most_memory = _BYTES_A_PIXEL * pixels / 1e6
    return [
        Figure("bombs", len(everything), ""),
        Figure("bomb_faults", sum(bool(outcome.fault) for outcome in everything), "", 0, at_most=True),
        Figure("bomb_small_held", 1000 * max(small), "ms", _HELD_MS, at_most=True),
        Figure("bomb_held", 1000 * max(one.held for one in everything), "ms", _STALLED_MS, at_most=True),
        Figure("bomb_late", 1000 * max(one.stalled for one in everything), "ms", _STALLED_MS, at_most=True),
        Figure("bomb_took", 1000 * max(one.seconds for one in everything), "ms", _SECONDS_MS, at_most=True),
        Figure("bomb_memory", max(one.memory for one in everything) / 1e6, "MB", most_memory, at_most=True),
    ]
