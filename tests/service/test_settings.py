"""Settings: their defaults, their environment variables, and refused values."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from service.settings import Settings


def test_the_defaults_serve_the_demo_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GUARD_ORDER_KEY_FILE")
    settings = Settings()
    assert settings.store == (Path("stores/digits"),)
    assert (settings.policy, settings.device, settings.threads) == ("calibrated", "auto", 0)
    assert settings.max_mutants is None
    assert settings.require_signature is None
    assert not settings.alarm_on_undecided
    assert (settings.batch_rows, settings.max_batch_rows, settings.max_in_flight) == (None, None, 256)
    assert (settings.deadline_seconds, settings.on_deadline) == (30, "undecided")
    assert (settings.drain_seconds, settings.grace_seconds) == (2, 20)
    assert not settings.allow_guard_off
    assert (settings.inline_ms, settings.probe_port) == (5, None)
    assert settings.max_body_bytes == 10 * 2**20
    assert settings.max_pixels == 2**24
    assert settings.max_images == 64
    assert settings.order_key is None
    assert settings.order_key_file.name == "order.key"
    assert (settings.api_keys_file, settings.response_detail, settings.cors_origins) == (None, "full", ())
    assert settings.redis_url is None
    assert (settings.cache_seconds, settings.cache_entries) == (300, 10_000)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("store", "/srv/store", (Path("/srv/store"),)),
        ("store", "/srv/a, b/c,", (Path("/srv/a"), Path("b/c"))),
        ("policy", "paper", "paper"),
        ("max_mutants", "1", 1),
        ("require_signature", "/key.pub", Path("/key.pub")),
        ("alarm_on_undecided", "true", True),
        ("device", "cpu", "cpu"),
        ("threads", "3", 3),
        ("batch_rows", "1", 1),
        ("max_batch_rows", "1", 1),
        ("inline_ms", "0", 0.0),
        ("probe_port", "8001", 8001),
        ("max_in_flight", "1", 1),
        ("deadline_seconds", "0.5", 0.5),
        ("on_deadline", "error", "error"),
        ("allow_guard_off", "true", True),
        ("drain_seconds", "0", 0.0),
        ("grace_seconds", "0.5", 0.5),
        ("max_body_bytes", "1024", 1024),
        ("max_pixels", "64", 64),
        ("max_images", "1", 1),
        ("decode_threads", "8", 8),
        ("order_key_file", "/key", Path("/key")),
        ("api_keys_file", "/keys.json", Path("/keys.json")),
        ("response_detail", "verdict", "verdict"),
        ("cors_origins", "https://a.example.org", ("https://a.example.org",)),
        ("cors_origins", "https://a.org, http://b:3000", ("https://a.org", "http://b:3000")),
        ("cors_origins", '["https://a.org", "http://[::1]:80443"]', ("https://a.org", "http://[::1]:80443")),
        ("cors_origins", "[]", ()),
        ("cache_seconds", "0", 0.0),
        ("cache_entries", "5", 5),
        ("log_format", "json", "json"),
    ],
)
def test_every_field_is_an_environment_variable(
    name: str, text: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"GUARD_{name.upper()}", text)
    assert getattr(Settings(), name) == value


def test_secrets_are_read_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUARD_ORDER_KEY", "hush, a long secret")
    monkeypatch.setenv("GUARD_REDIS_URL", "redis://:hush@localhost:6379/0")
    settings = Settings()
    assert settings.order_key is not None
    assert settings.order_key.get_secret_value() == "hush, a long secret"
    assert settings.redis_url is not None
    assert settings.redis_url.get_secret_value() == "redis://:hush@localhost:6379/0"
    assert "hush" not in repr(settings)


@pytest.mark.parametrize("name", ["order_key", "redis_url", "threads", "store", "max_mutants"])
def test_an_empty_variable_is_one_that_is_not_set(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A compose file that passes on an unset variable must not make the secret empty."""
    monkeypatch.setenv(f"GUARD_{name.upper()}", "")
    assert getattr(Settings(), name) == Settings.model_fields[name].default


def test_a_variable_without_the_prefix_or_of_no_field_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = Settings()
    monkeypatch.setenv("THREADS", "7")
    monkeypatch.setenv("GUARD_NO_SUCH_FIELD", "7")
    assert Settings() == before


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("device", "tpu"),
        ("threads", "-1"),
        ("threads", "two"),
        ("max_mutants", "0"),
        ("max_mutants", "many"),
        ("batch_rows", "0"),
        ("max_batch_rows", "0"),
        ("store", ","),
        ("inline_ms", "-1"),
        ("probe_port", "65536"),
        ("max_in_flight", "0"),
        ("deadline_seconds", "0"),
        ("deadline_seconds", "nan"),
        ("on_deadline", "503"),
        ("allow_guard_off", "maybe"),
        ("drain_seconds", "-1"),
        ("grace_seconds", "0"),
        ("max_body_bytes", "-5"),
        ("max_pixels", "0"),
        ("max_images", "0"),
        ("decode_threads", "0"),
        ("redis_url", "localhost:6379"),
        ("redis_url", "redis://localhost:port"),
        ("redis_url", "redis://localhost?socket_tmeout=1"),
        ("redis_url", "redis://localhost?socket_timeout=soon"),
        ("response_detail", "some"),
        ("cors_origins", "*"),
        ("cors_origins", "null"),
        ("cors_origins", "app.example.org"),
        ("cors_origins", "https://a.org/"),
        ("cors_origins", "https://a.org/path"),
        ("cors_origins", "https://A.org"),
        ("cors_origins", "https://*.a.org"),
        ("cors_origins", "https://a.org:443"),
        ("cors_origins", "https://a.org,"),
        ("cors_origins", '["https://a.org"'),
        ("cors_origins", "[7]"),
        ("cache_seconds", "-1"),
        ("cache_entries", "0"),
        ("alarm_on_undecided", "perhaps"),
        ("log_format", "xml"),
        ("order_key", "too short"),
    ],
)
def test_a_bad_value_is_refused_by_the_name_of_its_field(
    name: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"GUARD_{name.upper()}", text)
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert [error["loc"] for error in caught.value.errors()] == [(name,)]


@pytest.mark.parametrize("url", ["http://:hush@localhost", "redis://:hush/shy@localhost:6379/0"])
def test_a_refused_redis_url_does_not_show_its_password(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUARD_REDIS_URL", url)
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert "hush" not in caught.value.errors()[0]["msg"]
