"""API keys: their stored form, how they are found, and when the file is read again."""

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest

from mutant_guard.errors import GuardError
from service.keys import key_file
from service.keys.api_keys import Detail, KeyFile, KeyFileError, Role, make_key
from service.keys.key_ring import KeyRing
from tests.support.api_keys import add_key, new_key

ENTRY: dict[str, Any] = {"name": "alice", "sha256": "ab" * 32, "created": "2026-01-02T03:04:05Z"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def test_keys_are_long_random_and_known_by_their_digest() -> None:
    made = [make_key() for _ in range(100)]
    assert len({key for key, _ in made}) == 100
    for key, digest in made:
        assert key.startswith("mg_")
        assert len(key) == 3 + 43  # 256 bits, six bits in a character
        assert hashlib.sha256(key.encode()).hexdigest() == digest


def test_the_file_holds_no_key(path: Path) -> None:
    secrets = [add_key(path, f"key-{number}") for number in range(5)]
    content = path.read_text()
    assert not any(secret[3:] in content for secret in secrets)
    assert all(hashlib.sha256(secret.encode()).hexdigest() in content for secret in secrets)


def test_without_a_file_the_ring_is_open_and_knows_nobody() -> None:
    ring = KeyRing(None)
    assert ring.open
    assert not ring.has_admin
    assert ring.find(make_key()[0]) is None


def test_every_key_is_found_and_nothing_else_is(path: Path) -> None:
    known = {add_key(path, f"key-{number}"): f"key-{number}" for number in range(20)}
    ring = KeyRing(path)
    assert not ring.open
    for secret, name in known.items():
        found = ring.find(secret)
        assert found is not None
        assert found.name == name
        near = secret[:-1] + ("A" if secret[-1] != "A" else "B")
        digest = hashlib.sha256(secret.encode()).hexdigest()
        for other in (near, secret[:-1], secret + "A", secret[3:], secret.upper(), digest):
            assert ring.find(other) is None
    for other in ("", "é", make_key()[0]):
        assert ring.find(other) is None


@pytest.mark.parametrize("place", [0, 5, 9, None])
def test_every_entry_is_compared_wherever_the_key_is(
    place: int | None, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = [add_key(path, f"key-{number}") for number in range(10)]
    ring, compared = KeyRing(path), []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append(other)
        return hmac.compare_digest(one, other)

    monkeypatch.setattr(
        "service.keys.key_ring.hmac", type("Hmac", (), {"compare_digest": staticmethod(compare)})
    )
    found = ring.find("unknown" if place is None else secrets[place])
    assert (found and found.name) == (None if place is None else f"key-{place}")
    assert compared == [hashlib.sha256(secret.encode()).digest() for secret in secrets]


def test_a_key_is_kept_with_all_that_is_said_of_it(path: Path) -> None:
    _, key = new_key(
        "ops-1.eu",
        role=Role.ADMIN,
        response_detail=Detail.VERDICT,
        requests_per_second=0.5,
        burst=3,
    )
    _, plain = new_key("bob")
    for one in (key, plain):
        key_file.add(path, one)
    assert KeyFile.read(path).keys == (key, plain)
    assert (plain.role, plain.response_detail) == (Role.CLIENT, Detail.FULL)
    assert (plain.requests_per_second, plain.burst) == (None, None)


@pytest.mark.parametrize(("role", "there"), [("client", False), ("admin", True)])
def test_it_is_known_whether_there_is_an_admin(role: str, there: bool, path: Path) -> None:
    add_key(path, role=role)
    assert KeyRing(path).has_admin is there


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ([ENTRY | {"key": "mg_secret"}], "keys.0.key: Extra inputs"),
        ([{k: v for k, v in ENTRY.items() if k != "sha256"}], "keys.0.sha256: Field required"),
        ([ENTRY | {"sha256": "AB" * 32}], "keys.0.sha256: String should match"),
        ([ENTRY | {"sha256": "ab" * 31}], "keys.0.sha256: String should match"),
        ([ENTRY | {"name": "a b"}], "keys.0.name: a name is 1 to 64 letters"),
        ([ENTRY | {"name": "a\n"}], "keys.0.name: a name is 1 to 64 letters"),
        ([ENTRY | {"name": "x" * 65}], "keys.0.name: a name is 1 to 64 letters"),
        ([ENTRY | {"role": "root"}], "keys.0.role: Input should be 'client', 'reviewer' or 'admin'"),
        ([ENTRY | {"response_detail": "some"}], "keys.0.response_detail: Input should be"),
        ([ENTRY | {"requests_per_second": 0}], "keys.0.requests_per_second: Input should be greater than 0"),
        ([ENTRY | {"requests_per_second": 1, "burst": 0}], "keys.0.burst: Input should be greater than"),
        ([ENTRY | {"burst": 2}], "keys.0: burst limits nothing without requests_per_second"),
        ([ENTRY | {"created": "2026-01-02T03:04:05"}], "keys.0.created: Input should have timezone"),
        ([ENTRY, ENTRY | {"sha256": "cd" * 32}], "two keys have the same name"),
        ([ENTRY, ENTRY | {"name": "bob"}], "two keys have the same sha256"),
    ],
)
def test_a_file_of_something_else_is_refused_by_name_and_with_the_remedy(
    keys: list[dict[str, Any]], said: str, path: Path
) -> None:
    path.write_text(json.dumps({"keys": keys}))
    with pytest.raises(KeyFileError) as caught:
        KeyRing(path)
    message = str(caught.value)
    assert message.startswith(f"{path} is no file of API keys ({said}")
    assert f"mutant-guard keys create NAME --file {path}" in message
    assert not any(digest in message for digest in ("ab" * 31, "AB" * 31, "mg_secret"))


@pytest.mark.parametrize("rate", ["NaN", "Infinity", "1e999"])
def test_a_rate_that_is_no_number_is_refused(rate: str, path: Path) -> None:
    text = json.dumps({"keys": [ENTRY | {"requests_per_second": 1}]})
    path.write_text(text.replace('_second": 1', f'_second": {rate}'))
    with pytest.raises(KeyFileError, match="requests_per_second: Input should be a finite number"):
        KeyRing(path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"keys": {}}', b"\xff"])
def test_a_file_of_another_form_is_refused(content: bytes, path: Path) -> None:
    path.write_bytes(content)
    with pytest.raises(GuardError, match=r"keys\.json is no file of API keys"):
        KeyRing(path)


def test_a_file_that_is_not_there_or_is_no_file_is_refused(path: Path, tmp_path: Path) -> None:
    with pytest.raises(GuardError, match=r"keys.json cannot be read \(No such file .*keys create NAME"):
        KeyRing(path)
    with pytest.raises(GuardError, match="cannot be read"):
        KeyRing(tmp_path)
