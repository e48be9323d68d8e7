"""Files of API keys for tests."""

from datetime import UTC, datetime
from pathlib import Path

from service.keys import key_file
from service.keys.api_keys import ApiKey, make_key


def new_key(name: str = "alice", **changes: object) -> tuple[str, ApiKey]:
    """Make a key, and return its secret and its stored form."""
    secret, digest = make_key()
    kept = {"name": name, "sha256": digest, "created": datetime(2026, 1, 2, tzinfo=UTC)}
    return secret, ApiKey.model_validate(kept | changes)


def add_key(path: Path, name: str = "alice", **changes: object) -> str:
    """Add a key to a file, and return its secret."""
    secret, key = new_key(name, **changes)
    key_file.add(path, key)
    return secret
