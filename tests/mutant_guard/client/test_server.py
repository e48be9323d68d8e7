"""Choice of the server and the key, and secrecy of the key."""

import logging
import sys
import traceback
from pathlib import Path

import pytest

from mutant_guard.client import (
    AsyncGuardClient,
    ClientSettingsError,
    GuardClient,
    KeyRefusedError,
    UnreachableError,
)
from mutant_guard.client.server import read_key
from tests.mutant_guard.client.either import Either
from tests.mutant_guard.client.test_attempts import MODELS
from tests.support.scripted_server import problem, scripted
from tests.support.service import free_port

KEY = "mg_abcdefghijklmnopqrstuvwxyz"


def test_url_and_key_come_from_the_environment(either: Either, monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted(MODELS) as server:
        monkeypatch.setenv("MUTANT_GUARD_URL", f"{server.url}/")
        monkeypatch.setenv("MUTANT_GUARD_API_KEY", f"{KEY}\n")
        either(None, "models")
        either(None, "models", client={"key": "mg_other"})
        monkeypatch.delenv("MUTANT_GUARD_API_KEY")
        either(None, "models")
    sent = [request.headers.get("authorization") for request in server.requests]
    assert sent == [f"Bearer {KEY}", "Bearer mg_other", None]
    assert {request.path for request in server.requests} == {"/v2/models"}


def test_a_path_before_the_routes_is_kept(either: Either) -> None:
    with scripted(MODELS) as server:
        either(f"{server.url}/guards/eu/", "models")
    assert server.requests[0].path == "/guards/eu/v2/models"


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Leave no proxy or certificates in the environment but those that a test sets."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return monkeypatch


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy_of_the_environment_gets_the_key_only_where_it_is_asked_for(
    either: Either, no_proxy: pytest.MonkeyPatch, variable: str
) -> None:
    with scripted(MODELS) as proxy, scripted(MODELS) as server:
        no_proxy.setenv(variable, proxy.url)
        either(server.url, "models", client={"key": KEY})
        assert (len(server.requests), len(proxy.requests)) == (1, 0)
        either(server.url, "models", client={"key": KEY, "trust_env": True})
    assert (len(server.requests), len(proxy.requests)) == (1, 1)
    assert proxy.requests[0].path == f"{server.url}/v2/models"


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        (
            "ALL_PROXY",
            "socks5://127.0.0.1:1080",
            "SOCKS proxy .*; pip install socksio, or leave trust_env off",
        ),
        ("HTTP_PROXY", "gopher://127.0.0.1", "cannot be used .*; mend HTTP_PROXY"),
        ("HTTPS_PROXY", "http://h:port", "cannot be used .*; mend HTTP_PROXY"),
        ("SSL_CERT_FILE", "/none.pem", "cannot be used .*; mend HTTP_PROXY"),
    ],
)
def test_what_cannot_be_used_of_the_environment_is_refused_where_it_is_asked_for(
    either: Either, no_proxy: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    no_proxy.setitem(sys.modules, "socksio", None)  # as where it is not installed
    no_proxy.setenv(variable, value)
    with scripted(MODELS) as server:
        either(server.url, "models", client={"verify": True})
        with pytest.raises(ClientSettingsError, match=message):
            either(server.url, "models", client={"verify": True, "trust_env": True})
    assert len(server.requests) == 1


def test_it_says_who_asks(either: Either) -> None:
    with scripted(MODELS) as server:
        either(server.url, "models")
    assert server.requests[0].headers["user-agent"].startswith("mutant-guard/")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (None, "MUTANT_GUARD_URL"),
        ("  ", "MUTANT_GUARD_URL"),
        ("127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("ftp://host", "give one like"),
        ("http://", "give one like"),
        ("http://host:port", "cannot be read"),
        ("http://xn--", "cannot be read"),
        ("http://host/?store=a", "goes on after its path"),
        ("http://host/#x", "goes on after its path"),
    ],
)
@pytest.mark.parametrize("kind", [GuardClient, AsyncGuardClient])
def test_what_is_no_url_is_refused(
    url: str | None, message: str, kind: type[GuardClient] | type[AsyncGuardClient]
) -> None:
    with pytest.raises(ClientSettingsError, match=message):
        kind(url)


def test_a_password_in_the_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(ClientSettingsError, match="user or password") as refused:
        GuardClient("http://me:hunter2@host")
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("key", ["mg_a b", "mg_a\nX-Other: 1", "mg_ä", "mg_\x00"])
def test_a_key_that_cannot_be_one_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(ClientSettingsError, match="API key") as refused:
        GuardClient("http://host", key=key)
    assert key not in str(refused.value)


def test_a_file_holds_the_key(tmp_path: Path) -> None:
    path = tmp_path / "shop.key"
    with pytest.raises(ClientSettingsError, match=r"shop\.key, cannot be read: No such file"):
        read_key(path)
    path.write_text(" \n")
    with pytest.raises(ClientSettingsError, match=r"shop\.key, is empty"):
        read_key(path)
    path.write_bytes(b"\xff")
    with pytest.raises(ClientSettingsError, match="it is no text"):
        read_key(path)
    path.write_text(f"{KEY}\n")
    assert read_key(path).strip() == KEY


def test_the_key_is_in_no_text(either: Either, caplog: pytest.LogCaptureFixture) -> None:
    """Logs at any level, errors with all their causes and the client's repr leave the key out."""
    with caplog.at_level(logging.DEBUG):
        for name in ("httpx", "httpcore"):
            caplog.set_level(logging.DEBUG, name)
        with scripted(problem(401, "unknown-key"), MODELS) as server:
            with pytest.raises(KeyRefusedError) as refused:
                either(server.url, "models", client={"key": KEY})
            either(server.url, "models", client={"key": KEY})
        with pytest.raises(UnreachableError) as unreachable:
            either(f"http://127.0.0.1:{free_port()}", "models", client={"key": KEY})
    assert "authorization" in server.requests[1].headers
    assert any("HTTP Request" in message for message in caplog.messages), "or nothing was logged at all"
    assert KEY not in caplog.text
    for error in (refused.value, unreachable.value):
        assert KEY not in "".join(traceback.format_exception(error)) + repr(vars(error))


def test_the_key_is_not_shown_of_a_client() -> None:
    with GuardClient("http://host", key=KEY) as client:
        assert repr(client) == "GuardClient('http://host')"
        assert KEY not in repr(vars(client))
        assert client.url == "http://host"
