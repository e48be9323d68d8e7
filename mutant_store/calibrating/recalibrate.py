"""New calibration of a store's mutants, published as a version of its own."""

import shutil
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from mutant_guard.decision.calibration.recording import Recording
from mutant_guard.decision.evidence.kinds import Doubts
from mutant_guard.errors import DataError
from mutant_guard.store.atomic import SECRET, create
from mutant_guard.store.calibration_record import CalibrationSettings
from mutant_guard.store.manifest import DataParts
from mutant_guard.store.reader import CALIBRATION, RECORDINGS, Store, load_store
from mutant_guard.store.signature import load_private_key
from mutant_store.calibrating.calibrate import calibrate, first_share_of, from_original
from mutant_store.calibrating.clean_images import CleanImages, load_images
from mutant_store.calibrating.recordings import fitted_doubts, kept_recordings, pack, record
from mutant_store.publishing.publish import CALIBRATING, changing, file_entry, publish, write_version
from mutant_store.reporter import Reporter


def recalibrate(
    path: Path,
    report: Reporter,
    *,
    spec: str | None = None,
    sign_key: Path | None = None,
    threads: int = 0,
    **changes: Any,
) -> Store:
    """Calibrate the current version anew, without making mutants, and publish the result beside it.

    Args:
        path: directory of the store.
        report: receiver of the steps and of the progress.
        spec: SPEC of clean images; one half chooses the policies, the other certifies them. By
            default the label changes that are kept in the store are used again.
        sign_key: file of the private key that signs the new version before it becomes the current
            one.
        threads: CPU threads to record with; 0 takes all cores.
        **changes: settings that are to differ from those of the store, see ``CalibrationSettings``.

    Returns:
        The published version, loaded.

    Raises:
        StoreError: there is no store, it is damaged, or another command is changing it.
        DataError: the images are too few or do not allow the policies asked for.
    """
    key = load_private_key(sign_key) if sign_key else None
    with changing(path):
        store = load_store(path)
        settings = changed_settings(store, **changes)
        data, kept = store.manifest.data, store.calibration.doubts
        doubts = None if kept is None else kept.doubts
        if spec is None:
            recordings = kept_recordings(store)
        else:
            recordings, doubts, data = _record(store, spec, settings, threads, report)
        report.step("choosing the policies and certifying them")
        calibration = calibrate(
            recordings["choice"],
            recordings["certification"],
            settings,
            store.manifest.seed,
            doubts,
            store.manifest.ranks,
            first_share=first_share_of(store.manifest.robust),
        )
        report.step("publishing")
        contents = {
            RECORDINGS: pack(recordings),
            CALIBRATION: calibration.model_dump_json(indent=1).encode(),
        }
        files = store.manifest.files | {name: file_entry(content) for name, content in contents.items()}
        staged = path / CALIBRATING
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir(mode=0o700)
        for name in store.manifest.files.keys() - contents.keys():
            _link(store, name, staged / name)
        manifest = store.manifest.model_copy(update={"data": data, "files": files})
        version = publish(path, staged, write_version(staged, contents, manifest), key)
    return load_store(path, version)


def changed_settings(store: Store, **changes: Any) -> CalibrationSettings:
    """Return a store's settings with some changed and the kind of evidence decided.

    Another kind of evidence has another default budget of mutants.
    """
    settings = store.calibration.settings.changed(**changes)
    if settings.evidence != store.calibration.settings.evidence and changes.get("clean_mutants") is None:
        settings = settings.model_copy(update={"clean_mutants": None})
    return settings.decided(store.operators(), from_original=from_original(store.manifest.robust))


def _record(
    store: Store, spec: str, settings: CalibrationSettings, threads: int, report: Reporter
) -> tuple[dict[str, Recording], Doubts | None, DataParts]:
    report.step(f"reading {spec}")
    images = load_images(store, spec)
    for note in images.data.notes:
        report.step(note)
    total, half = len(images.labels), len(images.labels) // 2
    needed = settings.certification_images
    if total - half < needed:
        raise DataError(
            f"'{spec}' holds {total} images; half of them choose the policies and the other half, at least {needed} "
            f"rightly classified, certifies a false-alarm rate of {settings.max_false_alarm:g}: "
            f"give {2 * needed} or more, or raise --max-false-alarm"
        )
    report.step("recording what mutants say of them")
    progress, mutants = partial(report.progress, total=total, note="images"), store.manifest.mutants
    doubts = None
    with closing(store.session(threads=threads)) as session:
        if settings.evidence == "soft":
            doubts = fitted_doubts(
                session,
                mutants,
                images.inputs.part(0, half),
                images.labels[:half],
                own_weight=settings.weight_of_original,
                output_kind=store.manifest.output_kind,
                work=[companion.relative_cost for companion in store.manifest.companions],
                robust=len(store.manifest.robust),
            )
        everything = record(session, mutants, images.inputs, images.labels, progress, doubts)
    recordings = {
        "choice": everything.part(slice(0, half)),
        "certification": everything.part(slice(half, total)),
    }
    return recordings, doubts, _data(store, images, half)


def _data(store: Store, images: CleanImages, half: int) -> DataParts:
    return store.manifest.data.model_copy(
        update={
            "choice": images.data.part(0, half).portable_range,
            "certification": images.data.part(half, None).portable_range,
        }
    )


def _link(store: Store, name: str, target: Path) -> None:
    """Put the same file under another name where the file system can, else copy it.

    Published files never change. If one does, the hash in the manifest tells.
    """
    try:
        target.hardlink_to(store.path / name)
    except OSError:
        create(target, store.read(name), mode=SECRET)
