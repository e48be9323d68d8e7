"""Fixtures for the tests of the service."""

from tests.support.fixtures import (  # noqa: F401
    _logs_as_before,
    _no_settings_from_outside,
    _session_redis,
    anyio_backend,
    digits_store,
    held_decoders,
    held_guard_session,
    inputs,
    quick_looks,
    redis_server,
    running_redis,
    store,
)
