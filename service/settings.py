"""Settings of the server: every field is an environment variable with the prefix GUARD_."""

import json
import os
import re
from pathlib import Path
from typing import Annotated, Literal, Self

from annotated_types import Ge, Gt, Le, MinLen
from platformdirs import user_state_path
from pydantic import ByteSize, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from mutant_guard.bank.memory import LEAST_BYTES
from service.keys.api_keys import Detail
from service.probing.policy import QueryPolicy
from service.probing.sequence import Thresholds
from service.variables import PREFIX, check_names

Device = Literal["auto", "cpu", "cuda"]

_REDIS_SCHEMES = ("redis://", "rediss://", "unix://")
# Origin as browsers write it. An origin written in another way would never match.
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]+)?")
_HOST = re.compile(r"\*|(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?")
_DEFAULT_PORT = re.compile(r"http://.*:80|https://.*:443")


class Settings(BaseSettings):
    """Settings of the server, from environment variables or command-line options.

    A variable with the prefix that is no setting is refused: a misspelt one would be ignored, and
    leave open what it was to close.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        use_attribute_docstrings=True,
        extra="ignore",
        allow_inf_nan=False,
    )

    store: Annotated[tuple[Path, ...], NoDecode, MinLen(1)] = (Path("stores/digits"),)
    """Directory of the mutant store.
    Several, separated by commas, are served by name; the first is the default."""

    require_signature: Path | None = None
    """Public key (PEM, Ed25519) that must have signed the store.
    Unset: any whole store is served."""

    policy: str = "calibrated"
    """Policy of the verdict: calibrated, fixed or paper."""

    max_mutants: Annotated[int, Ge(1)] | None = None
    """Most mutants a request may use; what the policy has not decided by then is undecided.
    Unset: as many as the policy needs. A low limit may break the policy's error bounds, which
    answers then give as null."""

    alarm_on_undecided: bool = False
    """Whether an undecided verdict counts as an alarm (``adversarial`` in the response)."""

    device: Device = "auto"
    """Device that the mutants run on: cuda, cpu, or auto for cuda if it is there and else cpu."""

    processes: Annotated[int, Ge(1), Le(256)] = 1
    """Processes that serve together on one port.
    More than one uses many cores for small networks. They share out the limits on requests, bytes,
    connections, cached verdicts and memory; ``threads`` and ``decode_threads`` hold for each."""

    threads: Annotated[int, Ge(0)] = 0
    """CPU threads that mutants run on, for all stores together.
    0 takes the cores this process may use, or its share of them where several serve."""

    memory: Annotated[ByteSize, Ge(LEAST_BYTES)] | None = None
    """Memory that runs may take, such as 500MB, beside the program, the weights and the images.
    Unset: a quarter of what is free at start."""

    batch_rows: Annotated[int, Gt(0)] | None = None
    """Rows that a run is filled up to when few requests are in flight.
    Unset: the number that a measurement at start finds best."""

    max_batch_rows: Annotated[int, Ge(1)] | None = None
    """Most rows of one run.
    Unset: as many as a measurement at start finds best."""

    inline_ms: Annotated[float, Ge(0)] = 5.0
    """Longest run, in milliseconds, that takes turns with HTTP in one thread; 0: no run does.
    The time is that of a run of 32 requests, measured at start. Where runs are this short, tiny
    images are decoded in that thread as well: with small networks, handing work to other threads
    costs several times the work. With 0, everything but HTTP has threads of its own."""

    max_in_flight: Annotated[int, Gt(0)] = 256
    """Requests admitted at the same time; more are answered 429."""

    deadline_seconds: Annotated[float, Gt(0)] = 30.0
    """Longest time a request may take, in seconds.
    The run under way at the deadline is waited for, up to two seconds more. After that the request
    is answered undecided, or 504 where it has not been in a run yet."""

    on_deadline: Literal["undecided", "error"] = "undecided"
    """Answer to a request past its deadline for which some mutants were evaluated.
    Either the verdict undecided, or the error 504."""

    min_deadline_seconds: Annotated[float, Ge(0)] = 0.0
    """Least time that a caller may give a request, in seconds; a shorter deadline is raised to it.
    A deadline that the caller shortened (X-Request-Timeout-Ms, the parameter ``timeout`` of the
    inference protocol) ends in 504, or undecided where that counts as an alarm. At
    GUARD_DEADLINE_SECONDS or above, no caller can shorten it."""

    allow_guard_off: bool = False
    """Whether ``?guard=off`` may skip the verdict and ask for the bare label."""

    probe_port: Annotated[int, Ge(0), Le(65535)] | None = None
    """TCP port that also answers /livez, /readyz and /metrics, from a thread of its own.
    It answers even under overload. Unset: these paths are answered on the main port alone."""

    drain_seconds: Annotated[float, Ge(0)] = 2.0
    """Seconds after SIGTERM during which requests are still taken.
    ``/readyz`` already says no, so that load balancers notice. Connections are closed with their
    next answer."""

    grace_seconds: Annotated[float, Gt(0)] = 20.0
    """Seconds that requests in flight may take to finish after that; then they are cut off."""

    max_connections: Annotated[int, Ge(1)] = 2048
    """Most connections at a time.
    For a further one, the connection whose client has been silent longest is closed. The limit of
    open files is raised to fit, as far as the system allows."""

    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    """Names that clients may ask for this server by (Host header): guard.example.org,
    *.example.org, or * for any.
    A JSON list, or separated by commas. Names of the loopback and IP addresses may always be used.
    Empty: no other name, or any where API keys are asked for."""

    max_body_bytes: Annotated[int, Gt(0)] = 10 * 1024 * 1024
    """Largest request body in bytes; a larger one is answered 413."""

    max_bytes_in_flight: Annotated[int, Gt(0)] = 256 * 1024 * 1024
    """Most bytes of request bodies held at a time; a request that goes beyond is answered 503."""

    max_pixels: Annotated[int, Gt(0)] = 16_777_216
    """Most pixels of an image, checked before it is decoded."""

    max_images: Annotated[int, Gt(0)] = 64
    """Most images of one request of the Open Inference Protocol.
    Each counts as a request in flight."""

    decode_threads: Annotated[int, Gt(0)] = 2
    """Threads that decode images."""

    order_key: Annotated[SecretStr, Field(min_length=16)] | None = None
    """Secret that orders the mutants, 16 characters or more.
    Replicas that share it give the same verdicts. Unset: the key in the key file."""

    order_key_file: Path = user_state_path("mutant-guard") / "order.key"
    """File that holds the order key where none is set; made at the first start."""

    api_keys_file: Path | None = None
    """File of API keys, made with ``mutant-guard keys create``.
    Unset: everybody may classify, and nobody may use the admin routes."""

    api_keys_grace_seconds: Annotated[float, Ge(0)] = 300.0
    """Seconds that API keys stay as they were while their file cannot be read.
    After that every key is refused (503) until it can be: one that was revoked meanwhile would be
    let in for good."""

    response_detail: Detail = Detail.FULL
    """Detail of answers where no keys are asked for: full or verdict.
    ``verdict`` leaves out scores and the path of the test. Where keys are asked for, each key has a
    setting of its own."""

    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    """Origins (https://app.example.org) whose pages may read answers.
    A JSON list, or separated by commas. Empty: pages of no other origin may."""

    redis_url: SecretStr | None = None
    """Redis server (7 or newer) that replicas share.
    It holds verdicts, the order key, the rates of API keys, the review queue and, where they are
    remembered, queries. Unset: each replica has its own, in memory (and the order key on disk)."""

    redis_prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")] = "guard"
    """First part of every key in Redis: letters, digits, dots, dashes and underscores.
    Deployments that share a database need one each, or they share order key, verdicts, rates and
    review queue."""

    redis_timeout_ms: Annotated[float, Gt(0)] = 25.0
    """Longest time a request waits for an answer of Redis, in milliseconds.
    A request waits two to four times. After a timeout, Redis is left alone until it is found to
    answer faster."""

    cache_seconds: Annotated[float, Ge(0)] = 300.0
    """Seconds that a verdict is kept; 0 turns the cache off."""

    cache_entries: Annotated[int, Gt(0)] = 10_000
    """Most verdicts kept in memory."""

    query_memory: QueryPolicy = QueryPolicy.OFF
    """Whether queries are remembered, and what is done where many near-identical images are asked
    for: off, observe, no-scores, refuse or flat.
    ``observe`` only reports. To such a query, ``no-scores`` answers as to callers who see the
    verdict alone, ``refuse`` answers 429, and ``flat`` repeats label and verdict of the first one."""

    query_entries: Annotated[int, Ge(16), Le(2**22)] = 2**17
    """Queries that are remembered of each store; the next power of two counts.
    One takes some 480 bytes: 62 MB for the default, 500 MB for a million."""

    query_seconds: Annotated[float, Ge(1), Le(30 * 86_400)] = 86_400.0
    """Seconds that a query is remembered."""

    query_frames: Annotated[int, Ge(2)] = Thresholds().settled
    """Near-identical images of one scene from which they are a campaign without any clue in their
    pixels. The default lets videos of a still scene pass. Where single images and bursts are sent,
    14 finds sooner what gives no clue."""

    review_entries: Annotated[int, Ge(0)] = 1000
    """Most entries of the review queue; the newest are kept. 0 turns the queue off."""

    review_hours: Annotated[float, Gt(0)] = 168.0
    """Hours that an entry of the review queue is kept."""

    review_images: bool = False
    """Whether an entry holds the image, as the classifier saw it."""

    review_image_mb: Annotated[int, Gt(0)] = 64
    """Most memory that images of the review queue take, in MiB."""

    review_sample: Annotated[float, Ge(0), Le(1)] = 0.0
    """Share of all inputs that are queued for review whatever their verdict, drawn at random.
    They are a fair sample of the traffic to calibrate on."""

    console: bool = True
    """Whether the page at ``/`` is served."""

    samples_dir: Path | None = None
    """Folder of PNG, JPEG and WebP images that the console offers to classify."""

    log_format: Literal["console", "json"] = "console"
    """Form of log lines: console for people, json for machines."""

    tracing: bool = False
    """Whether spans of requests are sent to an OpenTelemetry collector.
    OpenTelemetry's own variables (OTEL_…) say where to. Needs the extra otel."""

    @model_validator(mode="before")
    @classmethod
    def _known_names(cls, given: object) -> object:
        check_names(os.environ, cls.model_fields)
        return given

    @model_validator(mode="after")
    def _shared_memory(self) -> Self:
        if self.processes > 1 and self.query_memory is not QueryPolicy.OFF and self.redis_url is None:
            raise ValueError(
                "several processes (GUARD_PROCESSES) remember queries together in Redis alone; set GUARD_REDIS_URL, "
                "or GUARD_QUERY_MEMORY=off"
            )
        return self

    @field_validator("store", mode="before")
    @classmethod
    def _listed_stores(cls, given: object) -> object:
        if isinstance(given, str):
            return tuple(part.strip() for part in given.split(",") if part.strip())
        return (given,) if isinstance(given, Path) else given

    @field_validator("allowed_hosts", mode="before")
    @classmethod
    def _known_hosts(cls, given: object) -> object:
        given = _listed(given)
        if not isinstance(given, list | tuple):
            return given
        hosts = tuple(str(host).strip().lower() for host in given if str(host).strip())
        for host in hosts:
            if not _HOST.fullmatch(host):
                raise ValueError(
                    f"{host!r} is no name of a server: guard.example.org, *.example.org or *, without scheme and port"
                )
        return hosts

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _known_origins(cls, given: object) -> object:
        given = _listed(given)
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
        if url is not None and not (
            _is_unambiguous(url.get_secret_value()) and _is_readable(url.get_secret_value())
        ):
            raise ValueError(
                "the Redis URL cannot be read; write /, #, ? and @ within a password as %2F, %23, %3F and %40, and "
                "leave out options that redis-py does not know"
            )
        return url


def _listed(given: object) -> object:
    """Return the parts of a text, which is a JSON list or separated by commas; others as they are."""
    if not isinstance(given, str):
        return given
    return json.loads(given) if given.lstrip().startswith("[") else given.split(",")


def _is_unambiguous(url: str) -> bool:
    """Check that no sign of a password is taken for one of the URL, which would name another server.

    A password with a bare # or / ends there, and what is before it may be read as host and port.
    """
    place, *rest = re.split("[/?#]", url.partition("://")[2], maxsplit=1)
    return "#" not in url and place.count("@") <= 1 and "@" not in "".join(rest)


def _is_readable(url: str) -> bool:
    """Check whether the Redis library can read a URL.

    The library's errors may quote the password, so they are not passed on.
    """
    from redis import ConnectionPool, RedisError  # slow import, paid only where a Redis is set

    try:
        ConnectionPool.from_url(url).make_connection()
    except (ValueError, TypeError, AttributeError, RedisError):
        return False
    return True
