"""All that is measured of a store, and the JSON file that it is kept in."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from benchmarks.scale.redis_cost import RedisCost
from benchmarks.scale.service_times import ServiceTimes
from mutant_guard.errors import DataError, one_line
from mutant_guard.store.atomic import write_atomically


@dataclass(frozen=True)
class Measured:
    """What was measured of a store.

    Attributes:
        times: service times for a simulation.
        replica: processor seconds of a replica for an answer, under load.
        proxy: the same of the proxy.
        request_bytes: bytes of a request on the wire, the mean over images.
        answer_bytes: bytes of an answer on the wire.
        alarms: share of clean images that raise an alarm, by the store's calibration.
        redis: cost of Redis for each use that is made of it; empty where that was not measured.
    """

    times: ServiceTimes
    replica: float
    proxy: float
    request_bytes: float
    answer_bytes: float
    alarms: float
    redis: list[RedisCost]

    @property
    def name(self) -> str:
        """Name of the store."""
        return self.times.name


_ALL = TypeAdapter(list[Measured])


def write(path: Path, measured: Sequence[Measured]) -> None:
    """Write what was measured to a file.

    Raises:
        OSError: the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, _ALL.dump_json(list(measured)))


def read(path: Path) -> list[Measured]:
    """Read what ``write`` wrote.

    Raises:
        DataError: the file is not there, or holds something else.
    """
    try:
        return _ALL.validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise DataError(
            f"{path} holds no service times; measure them with make bench-scale ({one_line(error)})"
        ) from error
