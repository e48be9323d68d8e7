"""The server process that commands call, which is the one that tests of clients use."""

from tests.mutant_guard.client.conftest import (  # noqa: F401
    _no_server_from_outside,
    entries,
    guarded,
)
