"""A served guard for the endpoint tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from httpx import AsyncClient

from service.guard_service import GuardService
from tests.support.service import serving, settings_for


@pytest.fixture
async def client(digits_store: Path, anyio_backend: str) -> AsyncIterator[AsyncClient]:
    """A client of a server with a cache and small limits."""
    settings = settings_for(digits_store, cache_seconds=60.0, max_body_bytes=20_000, max_pixels=10_000)
    async with serving(GuardService(settings)) as client:
        yield client
