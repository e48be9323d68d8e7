"""Opening of a store: choice of the version, and checks that it is whole and unchanged.

Its imports are light: the server loads it.
"""

import hashlib
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load

from mutant_guard.bank.bank_session import BankSession
from mutant_guard.bank.pool import unpack
from mutant_guard.bank.session import CPU, Providers
from mutant_guard.bank.tail import TailRecord
from mutant_guard.bank.workers import Workers
from mutant_guard.decision.sequential.policies import Policy
from mutant_guard.errors import StoreError, one_line
from mutant_guard.store.calibration_record import CalibrationRecord
from mutant_guard.store.consistency import check_bank, check_calibration
from mutant_guard.store.files import SMALL, read_regular
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
BOUNDS = "bounds-{}.onnx"
"""Name of the file with bounds on the doubts of a robust mutant, by its number."""
COMPANION, ROBUST = "companion", "robust"
"""Names of the operators whose mutants are other classifiers, and robust networks."""

_VERSION = re.compile(r"[0-9a-f]{16}")
_MOST_JSON = 1 << 24
"""Most bytes of a JSON file; those of a thousand mutants take some 50,000."""

_M = TypeVar("_M", bound=BaseModel)


def version_of(manifest: bytes) -> str:
    """Return the name of the version that a manifest describes: the start of its sha256."""
    return hashlib.sha256(manifest).hexdigest()[:16]


@dataclass(frozen=True)
class Store:
    """Verified version of a store.

    Attributes:
        path: directory of the version.
        version: name of the version.
        manifest: content of ``manifest.json``.
        calibration: content of ``calibration.json``.
        manifest_text: the bytes of ``manifest.json`` that were verified.
    """

    path: Path
    version: str
    manifest: Manifest
    calibration: CalibrationRecord
    manifest_text: bytes = field(repr=False)

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
        except (ValueError, ArithmeticError, IndexError) as error:
            raise StoreError(
                f"{self.path / CALIBRATION} is damaged at '{name}' ({one_line(error)}); build the store again"
            ) from error

    @property
    def shares_weights(self) -> bool:
        """Whether no mutant brings weights besides those in the graphs."""
        return all(tail.shared or tail.own_graph for tail in self.manifest.bank)

    def operators(self) -> list[str]:
        """Return the operator of every mutant, in the order of their numbers."""
        names = self.manifest.operator.removeprefix("mixed:").split(",")
        first = [COMPANION] * len(self.manifest.companions) + [ROBUST] * len(self.manifest.robust)
        # These come first; the other operators of a mixed pool take turns in it.
        others = [name for name in names if name not in first]
        return first + [others[number % len(others)] for number in range(self.manifest.mutants - len(first))]

    @property
    def bank_files(self) -> set[str]:
        """Names of the files that ``session`` reads."""
        weights = {WEIGHTS} & self.manifest.files.keys()  # there is none where every constant is small
        mutants = set() if self.shares_weights else {MUTANTS}
        return {PREFIX, *(tail.file for tail in self.manifest.bank)} | weights | mutants

    def read(self, name: str) -> bytes:
        """Return the content of a file of this version, checked against the manifest.

        Use these bytes, and do not open the file again: whoever can write to the store may change
        it at any moment.

        Raises:
            StoreError: the manifest names no such file, or it is missing or changed.
        """
        return _read_file(self.path, self.manifest, name)

    def arrays(self, name: str) -> dict[str, NDArray[Any]]:
        """Return the arrays of a safetensors file of this version by name; see ``read``.

        Raises:
            StoreError: the manifest names no such file, or it is missing, changed or damaged.
        """
        try:
            return load(self.read(name))
        except (SafetensorError, KeyError, ValueError) as error:  # NumPy lacks some types
            raise StoreError(
                f"{self.path / name} is damaged ({one_line(error)}); build the store again"
            ) from error

    def check_files(self, but: Collection[str] = ()) -> None:
        """Check every file that the manifest names, except those in ``but``.

        Raises:
            StoreError: a file is missing or changed.
        """
        for name in sorted(self.manifest.files.keys() - but):
            self.read(name)

    def session(
        self, *, providers: Providers | None = None, threads: int = 0, workers: Workers | None = None
    ) -> BankSession:
        """Load the mutant bank, from bytes that are checked.

        Args:
            providers: execution providers in order of preference; None for the CPU.
            threads: CPU threads; 0 takes all cores of this process.
            workers: threads that are shared with other banks, in place of own ones.

        Raises:
            StoreError: a file is missing or changed, onnxruntime cannot load a graph, the files do
                not fit together, or a weight of a mutant is not finite.
        """
        arrays = {} if self.shares_weights else self.arrays(MUTANTS)
        contents = {name: self.read(name) for name in self.bank_files - {MUTANTS}}
        tails = [
            TailRecord(contents[tail.file], tail.shared, tail.features, tail.mutants, tail.own_graph)
            for tail in self.manifest.bank
        ]
        _refuse_not_finite(self.path / MUTANTS, arrays)
        try:
            session = BankSession(
                contents[PREFIX],
                tails,
                pool=unpack(arrays),
                parameters=arrays.get(PARAMETERS),
                external={WEIGHTS: contents.get(WEIGHTS, b"")},
                providers=providers or [CPU],
                threads=threads,
                workers=workers,
            )
            check_bank(self.manifest, session)
        except Exception as error:  # whatever arrays and graphs that do not fit together lead to
            raise StoreError(
                f"{self.path}: the mutants do not load ({one_line(error)}); build the store again"
            ) from error
        return session


def load_store(path: Path, version: str | None = None, *, signed_by: PublicKey | None = None) -> Store:
    """Open the current (or a given) version of a store and check every file of it.

    Args:
        path: the store's directory, the one that holds ``CURRENT``.
        version: name of the version; by default the one that ``CURRENT`` names.
        signed_by: key that must have signed the version; None if it need not be signed.

    Raises:
        StoreError: the store is not there, its build is unfinished, its schema is newer, a file is
            missing or changed, files contradict each other, or there is no signature by that key.
            The message names the file.
    """
    store = open_store(path, version, signed_by=signed_by)
    store.check_files(but=[CALIBRATION])
    return store


def open_store(path: Path, version: str | None = None, *, signed_by: PublicKey | None = None) -> Store:
    """Open a version like ``load_store``, but check its manifest and calibration alone.

    Each other file is checked when it is read. Check those that are not read with ``check_files``.

    Raises:
        StoreError: as for ``load_store``.
    """
    chosen = current_version(path) if version is None else version
    if not _VERSION.fullmatch(chosen):
        raise StoreError(f"{path} has no version {chosen[:64]!a}; see mutant-store versions {path}")
    directory = path / chosen
    text = _read(directory / MANIFEST, _MOST_JSON)
    if signed_by is not None:
        signed_by.check(directory, text)
    _check_schema(directory / MANIFEST, text)
    if version_of(text) != chosen:
        raise StoreError(f"{directory / MANIFEST} was changed after it was published; build the store again")
    manifest = _parse(Manifest, directory / MANIFEST, text)
    calibration_text = _read_file(directory, manifest, CALIBRATION, _MOST_JSON)
    _check_schema(directory / CALIBRATION, calibration_text)
    calibration = _parse(CalibrationRecord, directory / CALIBRATION, calibration_text)
    check_calibration(manifest, calibration, directory / CALIBRATION)
    return Store(directory, chosen, manifest, calibration, text)


def current_version(path: Path) -> str:
    """Return the name of the version that a store serves.

    Raises:
        StoreError: the store is not there, nothing is published yet, or ``CURRENT`` is damaged.
    """
    try:
        content = read_regular(path / CURRENT, SMALL)
    except (FileNotFoundError, NotADirectoryError) as error:
        if not path.is_dir():
            raise StoreError(f"{path}: no such store; make one with mutant-store build") from error
        raise StoreError(
            f"{path}: no version is published (no {CURRENT} file); a build was not finished: run the same "
            "mutant-store build again and it goes on where it stopped"
        ) from error
    except OSError as error:
        raise _unreadable(path / CURRENT, error) from error
    name = content.decode("ascii", "replace").strip()
    if not _VERSION.fullmatch(name) or not (path / name).is_dir():
        raise StoreError(
            f"{path / CURRENT} names version {name[:64]!a}, which is not there; build the store again"
        )
    return name


def _refuse_not_finite(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Refuse weights that are NaN or infinite."""
    for name, values in arrays.items():
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise StoreError(
                f"{path} holds weights that are not finite (NaN or infinite) in '{name}'; build the store again"
            )


def _read_file(directory: Path, manifest: Manifest, name: str, most: int | None = None) -> bytes:
    entry = manifest.files.get(name)
    if entry is None:
        raise StoreError(f"{directory / MANIFEST} names no file '{name}'; build the store again")
    content = _read(directory / name, entry.size if most is None else min(entry.size, most))
    if hashlib.sha256(content).hexdigest() != entry.sha256:
        raise StoreError(f"{directory / name} is damaged (its sha256 does not match); build the store again")
    return content


def _read(path: Path, most: int) -> bytes:
    try:
        return read_regular(path, most)
    except OSError as error:
        raise _unreadable(path, error) from error
    except MemoryError as error:
        raise StoreError(f"{path} cannot be read: there is not enough memory for it") from error


def _unreadable(path: Path, error: OSError) -> StoreError:
    if isinstance(error, PermissionError):
        return StoreError(
            f"{path} cannot be read by this user: a store is a secret of whoever built it; run this as that user, or "
            "chown the store"
        )
    return StoreError(f"{path} cannot be read ({error.strerror}); build the store again")


def _check_schema(path: Path, text: bytes) -> None:
    try:
        version = json.loads(text)["schema_version"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise StoreError(f"{path} is damaged; build the store again") from error
    if version != SCHEMA_VERSION:
        newer = isinstance(version, int) and version > SCHEMA_VERSION
        remedy = "update mutant-guard" if newer else "build the store again"
        raise StoreError(
            f"{path} has schema version {ascii(version)[:64]}, this release reads {SCHEMA_VERSION}; {remedy}"
        )


def _parse(kind: type[_M], path: Path, text: bytes) -> _M:
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(ascii(part)[:64].strip("'") for part in first["loc"])
        raise StoreError(
            f"{path} is damaged at '{where}' ({one_line(first['msg'])}); build the store again"
        ) from error
