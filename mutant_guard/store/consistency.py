"""Checks that the parts of a store version belong together.

Its imports are light: the server loads it.
"""

from math import prod
from pathlib import Path

from mutant_guard.bank.bank_session import BankSession
from mutant_guard.errors import StoreError
from mutant_guard.store.calibration_record import CalibrationRecord
from mutant_guard.store.doubts_record import StagedRecord
from mutant_guard.store.manifest import Manifest


def check_calibration(manifest: Manifest, calibration: CalibrationRecord, path: Path) -> None:
    """Check that the policies are for the mutants and the scores of the manifest.

    Args:
        manifest: the manifest.
        calibration: the calibration.
        path: the file of the calibration, for messages.

    Raises:
        StoreError: a policy is for another number of mutants, or for scores of another kind.
    """
    for name, record in calibration.policies.items():
        if record.pool != manifest.mutants:
            raise StoreError(
                f"{path} is damaged at '{name}' (it is for {record.pool:,} mutants, the store has "
                f"{manifest.mutants:,}); build the store again"
            )
        test = record.test
        if isinstance(test, StagedRecord):
            if test.evidence.companions != len(manifest.companions):
                raise StoreError(
                    f"{path} is damaged at '{name}' (it is for {test.evidence.companions} companions, the store has "
                    f"{len(manifest.companions)}); build the store again"
                )
            for what, values in (
                ("temperatures", test.evidence.temperatures),
                ("weights", test.evidence.weights),
            ):
                if values and len(values) != manifest.mutants:
                    raise StoreError(
                        f"{path} is damaged at '{name}' (it has {len(values):,} {what}, the store has "
                        f"{manifest.mutants:,} mutants); build the store again"
                    )
        if isinstance(test, StagedRecord) and test.evidence.output_kind != manifest.output_kind:
            raise StoreError(
                f"{path} is damaged at '{name}' (it is for {test.evidence.output_kind}, the scores are "
                f"{manifest.output_kind}); build the store again"
            )


def check_bank(manifest: Manifest, session: BankSession) -> None:
    """Check that the graphs take the manifest's images and tell its classes apart.

    Raises:
        StoreError: the graphs take images of another shape, or have another number of classes.
    """
    spec, names = manifest.input, len(manifest.classes)
    channels, height, width = spec.channels, spec.height, spec.width
    shape = {
        "nchw": (channels, height, width),
        "nhwc": (height, width, channels),
        "flat": (prod((height, width, channels)),),
    }[spec.layout]
    taken = session.image_shape
    if len(taken) != len(shape) or any(size not in (-1, own) for size, own in zip(taken, shape, strict=True)):
        raise StoreError(f"the prefix takes images {list(taken)}, the manifest says {list(shape)}")
    if session.views != len(manifest.inputs):
        raise StoreError(f"the bank reads {session.views} views, the manifest has {len(manifest.inputs)}")
    if session.classes != names:
        raise StoreError(f"the prefix has {session.classes:,} scores, the manifest names {names:,} classes")
