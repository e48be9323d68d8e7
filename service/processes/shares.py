"""Settings of one of several processes that serve together."""

from typing import Any

from pydantic import SecretStr
from pydantic_core import to_json

from mutant_guard.bank.cores import available_cores
from mutant_guard.bank.memory import LEAST_BYTES, free_memory
from service.settings import Settings

_QUARTER = 4
_SHARED_OUT = ("max_in_flight", "max_bytes_in_flight", "max_connections", "cache_entries")


def share_of(settings: Settings) -> Settings:
    """Return the settings of each process, so that all together keep the limits that were set.

    A request that is larger than what one process may take is refused as too large. Without a
    Redis there is no review queue: each process would have its own.
    """
    processes = settings.processes
    shared = {name: max(1, getattr(settings, name) // processes) for name in _SHARED_OUT}
    memory = free_memory() // _QUARTER if settings.memory is None else settings.memory
    return settings.model_copy(
        update={
            **shared,
            "memory": max(LEAST_BYTES, memory // processes),
            "threads": settings.threads or max(1, available_cores() // processes),
            "max_images": min(settings.max_images, shared["max_in_flight"]),
            "max_body_bytes": min(settings.max_body_bytes, shared["max_bytes_in_flight"]),
            "review_entries": 0 if settings.redis_url is None else settings.review_entries,
        }
    )


def as_json(settings: Settings) -> Any:
    """Return settings with their secrets, to be put into JSON."""
    return {
        name: value.get_secret_value() if isinstance(value, SecretStr) else value
        for name, value in ((name, getattr(settings, name)) for name in Settings.model_fields)
    }


def text_of(message: dict[str, Any]) -> bytes:
    """Return a line of JSON that may hold paths and other values of settings."""
    return to_json(message) + b"\n"
