"""API keys: their stored form, how they are found, and when the file is read again."""

import hashlib
import hmac
import json
import os
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from mutant_guard.errors import GuardError
from service.keys import key_file
from service.keys.api_keys import Detail, KeyFile, KeyFileError, KeyRing, Role, make_key
from tests.support.api_keys import add_key, new_key
from tests.support.service import Clock

ENTRY: dict[str, Any] = {"name": "alice", "sha256": "ab" * 32, "created": "2026-01-02T03:04:05Z"}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("service.keys.api_keys.time", clock)
    return clock


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
        "service.keys.api_keys.hmac", type("Hmac", (), {"compare_digest": staticmethod(compare)})
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


def test_keys_that_come_and_go_are_known_within_a_second(path: Path, clock: Clock) -> None:
    first = add_key(path, "first")
    ring = KeyRing(path)
    second = add_key(path, "second", role="admin")
    clock.now += 0.99
    assert ring.find(second) is None
    assert not ring.has_admin
    clock.now += 0.01
    assert ring.has_admin
    assert ring.find(second)
    key_file.remove(path, "first")
    clock.now += 0.99
    assert ring.find(first)
    clock.now += 0.01
    assert ring.find(first) is None
    assert ring.find(second)


def test_a_file_put_in_place_of_another_is_seen_whatever_its_time_and_size(path: Path, clock: Clock) -> None:
    """Restoring a volume replaces a file like this, and so does turning a mounted secret's link."""
    old, new = path.with_name("old"), path.with_name("new")
    secrets = [add_key(old), add_key(new)]
    for version in (old, new):
        os.utime(version, ns=(10**18, 10**18))
    assert old.stat().st_size == new.stat().st_size
    path.symlink_to(old)
    ring = KeyRing(path)
    assert ring.find(secrets[0])
    path.unlink()
    path.symlink_to(new)
    clock.now += 1
    assert ring.find(secrets[0]) is None
    assert ring.find(secrets[1])


def test_the_file_is_not_touched_more_than_once_a_second_nor_read_without_need(
    path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = add_key(path)
    ring = KeyRing(path)
    looked: list[str] = []
    stat = Path.stat

    def counted(self: Path, **how: Any) -> os.stat_result:
        looked.append("stat")
        return stat(self, **how)

    monkeypatch.setattr(Path, "stat", counted)
    monkeypatch.setattr(Path, "read_bytes", lambda _: looked.append("read"))
    for _ in range(100):
        clock.now += 0.0625  # 6.25 s in total
        assert ring.find(secret)
        assert not ring.has_admin
    assert looked == ["stat"] * 6


@pytest.mark.parametrize("damage", ["cut", "missing", "foreign"])
def test_a_file_that_became_invalid_leaves_the_keys_and_one_line_in_the_log(
    damage: str, path: Path, clock: Clock
) -> None:
    secret = add_key(path)
    whole = path.read_bytes()
    ring = KeyRing(path)
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(whole[:50] if damage == "cut" else b'{"keys": [{"name": "mallory"}]}')
    with capture_logs() as logs:
        for _ in range(5):
            clock.now += 1
            assert ring.find(secret)
    assert [(line["log_level"], line["event"]) for line in logs] == [("error", "API keys stay as they were")]
    assert logs[0]["file"] == str(path)
    assert str(path) in logs[0]["reason"]
    path.write_bytes(whole)
    other = add_key(path, "other")
    with capture_logs() as logs:
        clock.now += 1
        assert ring.find(other)
    assert [(line["log_level"], line["event"], line["keys"]) for line in logs] == [
        ("info", "API keys read", 2)
    ]


def test_where_the_last_key_is_revoked_nobody_is_let_in(path: Path, clock: Clock) -> None:
    secret = add_key(path)
    ring = KeyRing(path)
    key_file.remove(path, "alice")
    clock.now += 1
    assert ring.find(secret) is None
    assert not ring.open
