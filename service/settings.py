"""Settings of the server: every field is an environment variable with the prefix GUARD_."""

import json
import re
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, MinLen
from platformdirs import user_state_path
from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from service.keys.api_keys import Detail

Device = Literal["auto", "cpu", "cuda"]

_REDIS_SCHEMES = ("redis://", "rediss://", "unix://")
# An origin as browsers write it; one written in another way would never match.
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]+)?")
_DEFAULT_PORT = re.compile(r"http://.*:80|https://.*:443")


class Settings(BaseSettings):
    """What can be set, by environment variable or by command-line option."""

    model_config = SettingsConfigDict(
        env_prefix="GUARD_", env_ignore_empty=True, use_attribute_docstrings=True, extra="ignore"
    )

    store: Annotated[tuple[Path, ...], NoDecode, MinLen(1)] = (Path("stores/digits"),)
    """Directory of the mutant store. Several, separated by commas, are served by name, by default the first."""

    require_signature: Path | None = None
    """Public key (PEM, Ed25519) that must have signed the store; without it any whole store is served."""

    policy: str = "calibrated"
    """Policy of the verdict: calibrated, fixed or paper."""

    max_mutants: Annotated[int, Ge(1)] | None = None
    """Most mutants a request may use; what the policy has not decided by then is undecided. Unset: as many as the
    policy needs. A low limit may break the policy's error bounds, which answers then give as null."""

    alarm_on_undecided: bool = False
    """Whether an undecided verdict counts as an alarm (``adversarial`` in the response)."""

    device: Device = "auto"
    """Where the mutants run: cuda, cpu, or cuda if it is there."""

    threads: Annotated[int, Ge(0)] = 0
    """CPU threads that mutants run on, for all stores together; 0 takes the cores this process may use."""

    batch_rows: Annotated[int, Gt(0)] | None = None
    """Rows a run is filled up to when few requests are in flight. Unset: what a measurement at start finds best."""

    max_batch_rows: Annotated[int, Ge(1)] | None = None
    """Most rows of one run. Unset: as many as a measurement at start finds best."""

    inline_ms: Annotated[float, Ge(0)] = 5.0
    """Runs that take so many milliseconds at most (of 32 requests, measured at start) take turns with HTTP in one
    thread, and tiny images are decoded there: with small networks, handing work to other threads costs several times
    the work. 0: never, everything but HTTP has threads of its own."""

    max_in_flight: Annotated[int, Gt(0)] = 256
    """Requests admitted at the same time; more are answered 429."""

    deadline_seconds: Annotated[float, Gt(0)] = 30.0
    """Longest a request may take, and the run then under way, which is waited for up to two seconds. After that it is
    answered undecided, or 504 where no mutant has been evaluated for it yet."""

    on_deadline: Literal["undecided", "error"] = "undecided"
    """What a request past its deadline gets that some mutants were evaluated for: the verdict undecided, or 504."""

    allow_guard_off: bool = False
    """Whether ``?guard=off`` may skip the verdict and ask for the bare label."""

    probe_port: Annotated[int, Ge(0), Le(65535)] | None = None
    """TCP port that answers /livez, /readyz and /metrics too, from a thread of its own, even under overload. Unset:
    they are answered on the port of everything else alone."""

    drain_seconds: Annotated[float, Ge(0)] = 2.0
    """How long after SIGTERM requests are still taken while ``/readyz`` already says no, so that load balancers notice.
    Connections are closed with their next answer."""

    grace_seconds: Annotated[float, Gt(0)] = 20.0
    """How long requests in flight may take to finish after that; then they are cut off."""

    max_body_bytes: Annotated[int, Gt(0)] = 10 * 1024 * 1024
    """Largest request body in bytes; a larger one is answered 413."""

    max_pixels: Annotated[int, Gt(0)] = 16_777_216
    """Most pixels of an image, checked before it is decoded."""

    max_images: Annotated[int, Gt(0)] = 64
    """Most images of one request of the Open Inference Protocol; each counts as a request in flight."""

    decode_threads: Annotated[int, Gt(0)] = 2
    """Threads that decode images."""

    order_key: Annotated[SecretStr, Field(min_length=16)] | None = None
    """Secret that orders the mutants, 16 characters or more; replicas that share it give the same verdicts.
    Default: the key file."""

    order_key_file: Path = user_state_path("mutant-guard") / "order.key"
    """Where the secret is kept if it is not given; made at first start."""

    api_keys_file: Path | None = None
    """File of API keys, made with ``mutant-guard keys create``; without it everybody may classify, and nobody may use
    the admin routes."""

    response_detail: Detail = Detail.FULL
    """What callers are told where no keys are asked for: full, or verdict without scores and without the path of the
    test. A key says so itself."""

    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    """Origins (https://app.example.org) whose pages may read answers: a JSON list, or separated by commas. None: no
    other origin's."""

    redis_url: SecretStr | None = None
    """Redis server (7 or newer) where replicas share verdicts, the order key, the rates of API keys and the review
    queue; without it each has its own, in memory (and the order key on disk)."""

    redis_timeout_ms: Annotated[float, Gt(0)] = 25.0
    """Longest a request waits for an answer of Redis, twice or three times a request; then Redis is left alone until it
    is found to answer faster."""

    cache_seconds: Annotated[float, Ge(0)] = 300.0
    """How long a verdict is kept; 0 turns the cache off."""

    cache_entries: Annotated[int, Gt(0)] = 10_000
    """Most verdicts kept in memory."""

    review_entries: Annotated[int, Ge(0)] = 1000
    """Most entries of the review queue, the newest; 0 turns the queue off."""

    review_hours: Annotated[float, Gt(0)] = 168.0
    """How long an entry of the review queue is kept, in hours."""

    review_images: bool = False
    """Whether an entry holds the image, as the classifier saw it."""

    review_image_mb: Annotated[int, Gt(0)] = 64
    """Most memory that images of the review queue take, in MiB."""

    review_sample: Annotated[float, Ge(0), Le(1)] = 0.0
    """Share of all inputs that are queued for review whatever their verdict, drawn at random: a fair sample of the
    traffic to calibrate on."""

    console: bool = True
    """Whether the page at ``/`` is served."""

    samples_dir: Path | None = None
    """Folder of PNG, JPEG and WebP images that the console offers to classify."""

    log_format: Literal["console", "json"] = "console"
    """Log lines for people or for machines."""

    tracing: bool = False
    """Whether spans of requests are sent to an OpenTelemetry collector; its own variables (OTEL_…) say where to. Needs
    the extra otel."""

    @field_validator("store", mode="before")
    @classmethod
    def _listed_stores(cls, given: object) -> object:
        if isinstance(given, str):
            return tuple(part.strip() for part in given.split(",") if part.strip())
        return (given,) if isinstance(given, Path) else given

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _known_origins(cls, given: object) -> object:
        if isinstance(given, str):
            given = json.loads(given) if given.lstrip().startswith("[") else given.split(",")
        if not isinstance(given, list | tuple):
            return given
        origins = tuple(str(origin).strip() for origin in given)
        for origin in origins:
            if not _ORIGIN.fullmatch(origin) or _DEFAULT_PORT.fullmatch(origin):
                raise ValueError(
                    f"{origin!r} is no origin: scheme://host or scheme://host:port, in small letters, without a path "
                    "and without the scheme's own port"
                )
        return origins

    @field_validator("redis_url")
    @classmethod
    def _readable_url(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not url.get_secret_value().startswith(_REDIS_SCHEMES):
            raise ValueError(f"a Redis URL starts with {', '.join(_REDIS_SCHEMES)}")
        if url is not None and not _is_readable(url.get_secret_value()):
            raise ValueError(
                "the Redis URL cannot be read; write /, #, ? and @ within a password as %2F, %23, %3F and %40, and "
                "leave out options that redis-py does not know"
            )
        return url


def _is_readable(url: str) -> bool:
    """Errors of the library may quote the password, so only this is told of them."""
    from redis import ConnectionPool, RedisError  # takes a while, for those alone who have a Redis

    try:
        ConnectionPool.from_url(url).make_connection()
    except (ValueError, TypeError, AttributeError, RedisError):
        return False
    return True
