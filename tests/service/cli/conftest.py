"""A server process that commands ask, the same that the clients are tested with."""

from tests.mutant_guard.client.conftest import (  # noqa: F401
    _no_server_from_outside,
    entries,
    guarded,
)
