"""Settings: their defaults, their environment variables, and refused values."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from service.settings import Settings
from service.variables import ELSEWHERE


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
    assert (settings.query_memory, settings.query_entries) == ("off", 131_072)
    assert (settings.query_seconds, settings.query_frames) == (86_400, 400)


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


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("THREADS", "7"),
        ("GUARDTHREADS", "7"),
        *((name, "7") for name in sorted(ELSEWHERE)),
        ("MUTANT_GUARD_URL", "http://127.0.0.1:8000"),
        ("MUTANT_GUARD_API_KEY", "mg_key"),
        # for the services guard and guard-probes of Kubernetes
        ("GUARD_SERVICE_HOST", "10.0.0.7"),
        ("GUARD_SERVICE_PORT", "80"),
        ("GUARD_SERVICE_PORT_HTTP", "80"),
        ("GUARD_PORT", "tcp://10.0.0.7:80"),
        ("GUARD_PORT_80_TCP", "tcp://10.0.0.7:80"),
        ("GUARD_PROBES_PORT_9000_TCP_ADDR", "10.0.0.7"),
        ("GUARD_PROBES_PORT", "tcp://10.0.0.7:80"),
    ],
)
def test_a_variable_of_another_program_changes_nothing(
    name: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Settings()
    monkeypatch.setenv(name, text)
    assert Settings() == before


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("GUARD_API_KEY_FILE", "did you mean GUARD_API_KEYS_FILE?"),
        ("GUARD_REQUIRE_SIGNATURES", "did you mean GUARD_REQUIRE_SIGNATURE?"),
        ("guard_api_key_file", "did you mean GUARD_API_KEYS_FILE?"),
        ("Guard_Respons_Detail", "did you mean GUARD_RESPONSE_DETAIL?"),
        ("GUARD_STORES", "did you mean GUARD_STORE?"),
        ("GUARD_ALARM_ON_UNDECIDED ", "did you mean GUARD_ALARM_ON_UNDECIDED?"),
        ("GUARD_", "leave it out"),
        ("GUARD_XYLOPHONE", "leave it out"),
        ("GUARD_PROBE_PORTS", "did you mean GUARD_PROBE_PORT?"),
        ("MUTANT_GUARD_API_KEYS_FILE", "write GUARD_API_KEYS_FILE"),
        ("mutant_guard_require_signature", "write GUARD_REQUIRE_SIGNATURE"),
    ],
)
@pytest.mark.parametrize("text", ["", "/etc/keys.json"])
def test_a_misspelt_variable_is_refused_whatever_it_holds(
    name: str, remedy: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, text)
    with pytest.raises(ValidationError) as caught:
        Settings()
    (error,) = caught.value.errors()
    assert error["msg"].startswith(f"Value error, {name} is no setting; {remedy}")


def test_every_misspelt_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GUARD_THREAD", "GUARD_POLICI"):
        monkeypatch.setenv(name, "1")
    with pytest.raises(ValidationError, match=r"GUARD_POLICI is no .*\. GUARD_THREAD is no "):
        Settings()


def test_a_setting_that_is_there_in_two_letter_cases_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUARD_THREADS", "1")
    monkeypatch.setenv("guard_threads", "2")
    with pytest.raises(ValidationError, match="GUARD_THREADS and guard_threads are one setting"):
        Settings()


def test_every_variable_that_the_repository_names_is_a_setting_or_another_programs() -> None:
    """What is started with a name of this repository must start."""
    root = Path(__file__).parents[2]
    paths = [root / name for name in ("Makefile", "Dockerfile", "docker-compose.yml", "README.md")]
    paths += [path for name in ("deploy", "docs") for path in (root / name).rglob("*") if path.is_file()]
    found = {
        name
        for path in paths
        for name in re.findall(r"(?<!\w)GUARD_[A-Z][A-Z_]*(?![\w*])", path.read_text(errors="replace"))
    }
    assert len(found) > 30
    assert found <= {f"GUARD_{name.upper()}" for name in Settings.model_fields} | ELSEWHERE


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


@pytest.mark.parametrize(
    "url",
    [
        "redis://:hush@shy@localhost:6379/0",
        "redis://rita:hush@shy@localhost",
        "redis://localhost:6379#hush@redis:6379/0",
        "redis://:6379#hush@redis/0",
        "redis://localhost:12/hush@redis/0",
        "redis://localhost:12?hush@redis/0",
        "rediss://:hush@redis:6379/0#",
        "unix://:hush@shy@/run/redis.sock",
        "unix://:hu/sh@/run/redis.sock",
    ],
)
def test_a_redis_url_whose_password_names_another_server_is_refused(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GUARD_REDIS_URL", url)
    with pytest.raises(ValidationError) as caught:
        Settings()
    (error,) = caught.value.errors()
    assert "write /, #, ? and @ within a password as %2F, %23, %3F and %40" in error["msg"]
    assert "hush" not in error["msg"]


@pytest.mark.parametrize(
    "url",
    [
        "redis://:h%40%23%2F%3Fush@redis:6379/0",
        "redis://rita:hush@redis",
        "redis://redis:6379/0?socket_connect_timeout=1",
        "unix://rita:hush@/run/redis.sock?db=1",
    ],
)
def test_a_redis_url_with_an_encoded_password_is_taken(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUARD_REDIS_URL", url)
    taken = Settings().redis_url
    assert taken is not None
    assert taken.get_secret_value() == url


@pytest.mark.parametrize("prefix", ["", "a:b", "{x}", "-a", "a b", "a*", "x" * 65, "ä"])
def test_a_redis_prefix_is_plain(prefix: str) -> None:
    with pytest.raises(ValidationError, match="redis_prefix"):
        Settings.model_validate({"redis_prefix": prefix})


@pytest.mark.parametrize("url", ["http://:hush@localhost", "redis://:hush/shy@localhost:6379/0"])
def test_a_refused_redis_url_does_not_show_its_password(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUARD_REDIS_URL", url)
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert "hush" not in caught.value.errors()[0]["msg"]


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_every_number_is_finite(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = [name for name, field in Settings.model_fields.items() if field.annotation is float]
    assert {"deadline_seconds", "min_deadline_seconds", "inline_ms", "review_sample"} <= set(numbers)
    for name in numbers:
        monkeypatch.setenv(f"GUARD_{name.upper()}", value)
        with pytest.raises(ValidationError) as refused:
            Settings()
        assert [error["loc"] for error in refused.value.errors()] == [(name,)]
        monkeypatch.delenv(f"GUARD_{name.upper()}")
