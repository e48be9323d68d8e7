"""Opening of a store: choice of the version, and checks that it is whole and unchanged.

Its imports are light: the server loads it.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError
from safetensors.numpy import load_file

from mutant_guard.bank.bank_session import BankSession
from mutant_guard.bank.pool import unpack
from mutant_guard.bank.session import CPU, Providers
from mutant_guard.bank.tail import TailRecord
from mutant_guard.bank.workers import Workers
from mutant_guard.decision.sequential.policies import Policy
from mutant_guard.errors import StoreError
from mutant_guard.store.calibration_record import CalibrationRecord
from mutant_guard.store.manifest import SCHEMA_VERSION, Manifest
from mutant_guard.store.signature import PublicKey

CURRENT = "CURRENT"
MANIFEST = "manifest.json"
CALIBRATION = "calibration.json"
PREFIX = "prefix.onnx"
WEIGHTS = "weights.bin"
BANK = "bank-{}.onnx"
PARAMETERS = "parameters"
MUTANTS = "mutants.safetensors"
RECORDINGS = "label_changes.safetensors"

_VERSION_LENGTH = 16

_M = TypeVar("_M", bound=BaseModel)


def version_of(manifest: bytes) -> str:
    """Return the name of the version that a manifest describes: the start of its sha256."""
    return hashlib.sha256(manifest).hexdigest()[:_VERSION_LENGTH]


@dataclass(frozen=True)
class Store:
    """Verified version of a store.

    Attributes:
        path: directory of the version.
        version: name of the version.
        manifest: content of ``manifest.json``.
        calibration: content of ``calibration.json``.
    """

    path: Path
    version: str
    manifest: Manifest
    calibration: CalibrationRecord

    @property
    def name(self) -> str:
        """Name of the store."""
        return self.manifest.name

    def policy(self, name: str) -> Policy:
        """Return a policy of this store.

        Raises:
            StoreError: the store has no policy of that name, or its record is damaged.
        """
        record = self.calibration.policies.get(name)
        if record is None:
            known = ", ".join(sorted(self.calibration.policies))
            raise StoreError(f"store '{self.name}' has no policy '{name}'; it has {known}")
        try:
            return record.policy(name)
        except ValueError as error:
            raise StoreError(
                f"{self.path / CALIBRATION} is damaged at '{name}' ({error}); build the store again"
            ) from error

    @property
    def shares_weights(self) -> bool:
        """Whether all mutants use the original's weights, and change its layers' outputs only."""
        return all(tail.shared for tail in self.manifest.bank)

    def operators(self) -> list[str]:
        """Return the operator of every mutant, in the order of their numbers."""
        names = self.manifest.operator.removeprefix("mixed:").split(",")
        # Operators of a mixed pool take turns in it.
        return [names[number % len(names)] for number in range(self.manifest.mutants)]

    def session(
        self, *, providers: Providers | None = None, threads: int = 0, workers: Workers | None = None
    ) -> BankSession:
        """Load the mutant bank.

        Args:
            providers: execution providers in order of preference; None for the CPU.
            threads: CPU threads; 0 takes all cores of this process.
            workers: threads that are shared with other banks, in place of own ones.

        Raises:
            ModelError: onnxruntime cannot load a graph.
            StoreError: the tails do not hold every mutant once, mutants of a tail are missing from
                the pool, or a weight of theirs is not finite.
        """
        records = [
            TailRecord(self.path / tail.file, tail.shared, tail.features, tail.mutants)
            for tail in self.manifest.bank
        ]
        arrays = {} if self.shares_weights else load_file(self.path / MUTANTS)
        _refuse_not_finite(self.path / MUTANTS, arrays)
        return BankSession(
            self.path / PREFIX,
            records,
            pool=unpack(arrays),
            parameters=arrays.get(PARAMETERS),
            providers=providers or [CPU],
            threads=threads,
            workers=workers,
        )


def load_store(path: Path, version: str | None = None, *, signed_by: PublicKey | None = None) -> Store:
    """Open the current (or a given) version of a store and check every file of it.

    Args:
        path: the store's directory, the one that holds ``CURRENT``.
        version: name of the version; by default the one that ``CURRENT`` names.
        signed_by: key that must have signed the version; None if it need not be signed.

    Raises:
        StoreError: the store is not there, its build is unfinished, its schema is newer, a file is
            missing or changed, or there is no signature by that key. The message names the file.
    """
    chosen = version or current_version(path)
    directory = path / chosen
    text = _read(directory / MANIFEST)
    if signed_by is not None:
        signed_by.check(directory, text)
    _check_schema(directory / MANIFEST, text)
    if version_of(text) != chosen:
        raise StoreError(f"{directory / MANIFEST} was changed after it was published; build the store again")
    manifest = _parse(Manifest, directory / MANIFEST, text)
    for name, entry in manifest.files.items():
        content = _read(directory / name)
        if len(content) != entry.size or hashlib.sha256(content).hexdigest() != entry.sha256:
            raise StoreError(
                f"{directory / name} is damaged (its sha256 does not match); build the store again"
            )
    calibration_text = _read(directory / CALIBRATION)
    _check_schema(directory / CALIBRATION, calibration_text)
    calibration = _parse(CalibrationRecord, directory / CALIBRATION, calibration_text)
    return Store(directory, chosen, manifest, calibration)


def current_version(path: Path) -> str:
    """Return the name of the version that a store serves.

    Raises:
        StoreError: the store is not there, nothing is published yet, or ``CURRENT`` is damaged.
    """
    if not path.is_dir():
        raise StoreError(f"{path}: no such store; make one with mutant-store build")
    try:
        name = (path / CURRENT).read_text(encoding="ascii").strip()
    except FileNotFoundError as error:
        raise StoreError(
            f"{path}: no version is published (no {CURRENT} file); a build was not finished: run the same "
            "mutant-store build again and it goes on where it stopped"
        ) from error
    except (UnicodeDecodeError, OSError) as error:
        raise StoreError(f"{path / CURRENT} cannot be read; build the store again") from error
    if not name or "/" in name or name.startswith(".") or not (path / name).is_dir():
        raise StoreError(
            f"{path / CURRENT} names version '{name}', which is not there; build the store again"
        )
    return name


def _refuse_not_finite(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Refuse weights that are NaN or infinite."""
    for name, values in arrays.items():
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise StoreError(
                f"{path} holds weights that are not finite (NaN or infinite) in '{name}'; build the store again"
            )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except PermissionError as error:
        raise StoreError(
            f"{path} cannot be read by this user: a store is a secret of whoever built it; run this as that user, or "
            "chown the store"
        ) from error
    except OSError as error:
        raise StoreError(f"{path} cannot be read ({error.strerror}); build the store again") from error


def _check_schema(path: Path, text: bytes) -> None:
    try:
        version = json.loads(text)["schema_version"]
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path} is damaged; build the store again") from error
    if version != SCHEMA_VERSION:
        newer = isinstance(version, int) and version > SCHEMA_VERSION
        remedy = "update mutant-guard" if newer else "build the store again"
        raise StoreError(
            f"{path} has schema version {version}, this release reads {SCHEMA_VERSION}; {remedy}"
        )


def _parse(kind: type[_M], path: Path, text: bytes) -> _M:
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise StoreError(f"{path} is damaged at '{where}' ({first['msg']}); build the store again") from error
