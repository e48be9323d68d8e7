"""Settings of the server: every field is an environment variable with the prefix GUARD_."""

from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, Gt
from platformdirs import user_state_path
from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

Device = Literal["auto", "cpu", "cuda"]

_REDIS_SCHEMES = ("redis://", "rediss://", "unix://")


class Settings(BaseSettings):
    """What can be set, by environment variable or by command-line option."""

    model_config = SettingsConfigDict(
        env_prefix="GUARD_", env_ignore_empty=True, use_attribute_docstrings=True, extra="ignore"
    )

    store: Path = Path("stores/digits")
    """Directory of the mutant store."""

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
    """CPU threads of the inference session; 0 takes the cores this process may use."""

    batch_rows: Annotated[int, Gt(0)] = 64
    """Rows a run is filled up to when few requests are in flight."""

    max_batch_rows: Annotated[int, Ge(2)] = 512
    """Most rows of one run; the least is the original and one mutant."""

    max_in_flight: Annotated[int, Gt(0)] = 256
    """Requests admitted at the same time; more are answered 429."""

    deadline_seconds: Annotated[float, Gt(0)] = 30.0
    """Longest a request may take, and the run then under way, which is waited for up to two seconds. After that it is
    answered undecided, or 504 where no mutant has been evaluated for it yet."""

    max_body_bytes: Annotated[int, Gt(0)] = 10 * 1024 * 1024
    """Largest request body in bytes; a larger one is answered 413."""

    max_pixels: Annotated[int, Gt(0)] = 16_777_216
    """Most pixels of an image, checked before it is decoded."""

    decode_threads: Annotated[int, Gt(0)] = 2
    """Threads that decode images."""

    order_key: Annotated[SecretStr, Field(min_length=16)] | None = None
    """Secret that orders the mutants, 16 characters or more; replicas that share it give the same verdicts.
    Default: the key file."""

    order_key_file: Path = user_state_path("mutant-guard") / "order.key"
    """Where the secret is kept if it is not given; made at first start."""

    redis_url: SecretStr | None = None
    """Redis server that shares verdicts between replicas; without it they are cached in memory."""

    cache_seconds: Annotated[float, Ge(0)] = 300.0
    """How long a verdict is kept; 0 turns the cache off."""

    cache_entries: Annotated[int, Gt(0)] = 10_000
    """Most verdicts kept in memory."""

    log_format: Literal["console", "json"] = "console"
    """Log lines for people or for machines."""

    @field_validator("redis_url")
    @classmethod
    def _known_scheme(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not url.get_secret_value().startswith(_REDIS_SCHEMES):
            raise ValueError(f"a Redis URL starts with {', '.join(_REDIS_SCHEMES)}")
        return url
