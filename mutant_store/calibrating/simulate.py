"""Replay of policies on recorded answers of mutants, to choose a policy before it is deployed."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from functools import partial
from itertools import product
from pathlib import Path
from shlex import quote

import numpy as np
from numpy.typing import NDArray

from mutant_guard.decision.calibration.calibration import CleanParts, calibrated_policy
from mutant_guard.decision.calibration.certification import CalibrationError
from mutant_guard.decision.calibration.intervals import clopper_pearson
from mutant_guard.decision.calibration.recording import Recording
from mutant_guard.decision.calibration.simulation import mutants_distribution, run_recorded
from mutant_guard.decision.calibration.stages import staged_policy
from mutant_guard.decision.sequential import builders
from mutant_guard.decision.sequential.characteristic import over_pool
from mutant_guard.decision.sequential.policies import Decision, Policy, State
from mutant_guard.decision.sequential.staged import Alarm, staged
from mutant_guard.errors import DataError, StoreError
from mutant_guard.store.calibration_record import (
    CalibrationSettings,
    FinitePoolRecord,
    FixedRecord,
    HypothesesRecord,
    RateEstimate,
)
from mutant_guard.store.doubts_record import StagedRecord
from mutant_guard.store.model_card import DataRange
from mutant_guard.store.reader import CALIBRATION, Store, load_store
from mutant_store.calibrating.calibrate import choice_in_order, first_share_of, shared_out
from mutant_store.calibrating.clean_images import load_images
from mutant_store.calibrating.recordings import kept_recordings, record
from mutant_store.calibrating.simulation_report import (
    CLEAN,
    WRONG,
    Behaviour,
    CharacteristicCurve,
    Distribution,
    Grid,
    GridPoint,
    ImageSet,
    ImageSetOutcome,
    LeftOut,
    PolicyReport,
    Simulation,
)
from mutant_store.datasets import parse
from mutant_store.reporter import Reporter

REFERENCE = "all mutants"
"""Name of the full pool's verdict, which the sequential policies approximate."""
GRID_FALSE_ALARMS = (0.01, 0.02, 0.05, 0.1)
GRID_CLEAN_MUTANTS = (10.0, 20.0, 40.0, 80.0)
SOFT_GRID_CLEAN_MUTANTS = (1.25, 1.5, 2.0, 3.0)

_CALIBRATED = "calibrated"
_CURVE_POINTS = 400
_NEGLIGIBLE = 1e-9
# Seed part that keeps the orders drawn here apart from those on which the thresholds were
# certified, whatever the two seeds are.
_STREAM = 1


def simulate(
    path: Path,
    report: Reporter,
    *,
    spec: str | None = None,
    suspicious: Sequence[str] = (),
    policies: Sequence[str] = (),
    grid: bool = True,
    seed: int = 0,
    threads: int = 0,
) -> Simulation:
    """Replay clean and suspicious images through policies of a store's current version.

    Args:
        path: directory of the store; nothing in it is changed.
        report: receiver of the steps and of the progress.
        spec: SPEC of clean labelled images. By default the label changes of the certification part
            are used, which the store keeps and on which the thresholds were set.
        suspicious: other labelled images, ``NAME=SPEC`` each; every one of them should raise an
            alarm.
        policies: names of policies; by default all.
        grid: whether ``calibrated`` is tried at other settings as well, which takes some seconds
            each.
        seed: seed of the order in which each image meets the mutants, the same for all policies.
        threads: CPU threads to record with; 0 takes all cores.

    Raises:
        StoreError: there is no store, it is damaged, or it has no such policy.
        DataError: a set cannot be read, does not fit the store, or has no image that is classified
            correctly.
    """
    specs = suspicious_sets(suspicious)
    store = load_store(path)
    chosen = {name: store.policy(name) for name in policies or store.calibration.policies}
    reference = _reference(store)
    weights = store.calibration.doubts.weights if store.calibration.doubts else []
    kept = {name: recording.weighted(weights) for name, recording in kept_recordings(store).items()}
    if spec is not None:
        specs = {CLEAN: spec, **specs}
    found, notes = _recorded(store, specs, threads, report)
    if spec is None:
        found = {CLEAN: kept["certification"], **found}
        notes.append(
            "no --data: these are label changes of the certification part, kept in the store, and the thresholds were "
            "set on these very images; give others with --data to see what new images would meet"
        )
    sets = _in_order(found, seed, store.manifest.ranks)
    if not sets[CLEAN].correct.any():
        raise DataError(
            f"the classifier gets none of '{spec}' right; check that these are clean images with the right labels"
        )
    if WRONG not in sets:
        notes.append("the classifier gets every clean image right: there are no wrongly classified ones")
    report.step(f"replaying {', '.join(chosen)}")
    return Simulation(
        store=store.name,
        version=store.version,
        seed=seed,
        notes=notes,
        sets={name: _image_set(specs.get(name, spec), images) for name, images in sets.items()},
        policies={name: _report(policy, _threshold(store, name), sets) for name, policy in chosen.items()},
        reference=_report(reference, _threshold(store, _CALIBRATED), sets),
        grid=_grid(path, store, kept, sets, report) if grid else None,
    )


def suspicious_sets(given: Sequence[str]) -> dict[str, str]:
    """Return the SPECs by name from texts ``NAME=SPEC``, without opening any data.

    Raises:
        DataError: a text is not of that form, or a name is taken.
    """
    found: dict[str, str] = {}
    for text in given:
        name, _, spec = (part.strip() for part in text.partition("="))
        if not name or not spec:
            raise DataError(f"--suspicious '{text}' is not NAME=SPEC; write for example fgsm=npz:fgsm.npz")
        if name in {CLEAN, WRONG}:
            raise DataError(f"--suspicious '{name}': that name stands for images of --data; choose another")
        if name in found:
            raise DataError(f"--suspicious '{name}' is given twice; give every set a name of its own")
        parse(spec)
        found[name] = spec
    return found


def behaviour(policy: Policy, sets: Mapping[str, Recording]) -> Behaviour:
    """Return what a policy does with recordings, each in the order in which it stands.

    Args:
        policy: the policy.
        sets: recordings by name, each of at least one image; ``clean`` has at least one image that
            is rightly classified.
    """
    return _behaviour(policy, sets, _run(policy, sets))


def _run(policy: Policy, sets: Mapping[str, Recording]) -> dict[str, State]:
    return {name: run_recorded(policy, recording) for name, recording in sets.items()}


def _behaviour(policy: Policy, sets: Mapping[str, Recording], states: Mapping[str, State]) -> Behaviour:
    clean = states[CLEAN].decisions[sets[CLEAN].correct]
    return Behaviour(
        false_alarms=_rate(clean == Decision.ADVERSARIAL),
        outcomes={name: _outcome(policy, recording, states[name]) for name, recording in sets.items()},
    )


def _recorded(
    store: Store, specs: Mapping[str, str], threads: int, report: Reporter
) -> tuple[dict[str, Recording], list[str]]:
    """Return the recording of every set, and notes on the sets."""
    found: dict[str, Recording] = {}
    notes: list[str] = []
    doubts = store.calibration.doubts
    if not specs:
        return found, notes
    with closing(store.session(threads=threads)) as session:
        for name, spec in specs.items():
            report.step(f"recording label changes of {spec}")
            images = load_images(store, spec)
            progress = partial(report.progress, total=len(images.labels), note="images")
            recording = record(
                session,
                store.manifest.mutants,
                images.inputs,
                images.labels,
                progress,
                None if doubts is None else doubts.doubts,
            )
            found[name] = recording if doubts is None else recording.weighted(doubts.weights)
            notes += images.data.notes
            if name == CLEAN:
                notes += _overlaps(store, spec, images.data.range)
    return found, notes


def _overlaps(store: Store, spec: str, images: DataRange) -> Iterator[str]:
    data = store.manifest.data
    for what, part in (("chose the policies", data.choice), ("set their thresholds", data.certification)):
        if part.overlaps(images):
            yield f"'{spec}' holds images that {what} ('{part.spec}'); rates on new ones may be worse"


def _in_order(found: Mapping[str, Recording], seed: int, ranks: Sequence[int]) -> dict[str, Recording]:
    """Draw an order of the mutants for every image, those of a lower rank first.

    The wrongly classified clean images become a set of their own.
    """
    sets = {}
    for name, recording in found.items():
        sets[name] = recording.reordered([seed, _STREAM], ranks)
        wrong = ~recording.correct
        if name == CLEAN and wrong.any():
            sets[WRONG] = sets[name].part(wrong)
    return sets


def _image_set(spec: str | None, recording: Recording) -> ImageSet:
    return ImageSet(spec=spec, images=len(recording.correct), correct=int(recording.correct.sum()))


def _outcome(policy: Policy, recording: Recording, state: State) -> ImageSetOutcome:
    used, decisions = mutants_distribution(policy, recording, state), state.decisions
    up_to = np.cumsum(used)
    adversarial, normal = decisions == Decision.ADVERSARIAL, decisions == Decision.NORMAL
    return ImageSetOutcome(
        adversarial=_rate(adversarial),
        undecided=_rate(~(adversarial | normal)),
        mean_mutants=float(used @ np.arange(used.size)),
        median_mutants=int(np.searchsorted(up_to, 0.5 - _NEGLIGIBLE)),
        p99_mutants=int(np.searchsorted(up_to, 0.99 - _NEGLIGIBLE)),
    )


def _rate(hits: NDArray[np.bool_]) -> RateEstimate:
    return RateEstimate(**asdict(clopper_pearson(int(hits.sum()), int(hits.size))))


def _report(policy: Policy, threshold: float | None, sets: Mapping[str, Recording]) -> PolicyReport:
    states = _run(policy, sets)
    return PolicyReport(
        pool=policy.pool,
        threshold=threshold,
        hypotheses=HypothesesRecord.of(policy),
        behaviour=_behaviour(policy, sets, states),
        mutants_used={
            name: _distribution(policy, recording, states[name]) for name, recording in sets.items()
        },
        characteristic=None if policy.about is None else _curve(policy),
    )


def _distribution(policy: Policy, recording: Recording, state: State) -> Distribution:
    used = mutants_distribution(policy, recording, state)
    there = np.flatnonzero(used >= _NEGLIGIBLE)
    return Distribution(mutants=there.tolist(), probabilities=used[there].round(9).tolist())


def _curve(policy: Policy) -> CharacteristicCurve:
    counts = np.unique(np.linspace(0, policy.pool, _CURVE_POINTS + 1).round().astype(np.int64))
    found = over_pool(policy.boundaries, counts, policy.pool)
    return CharacteristicCurve(
        rates=(counts / policy.pool).tolist(),
        adversarial=found.adversarial.round(9).tolist(),
        undecided=found.undecided.round(9).tolist(),
        mutants=found.mutants.round(6).tolist(),
    )


def _threshold(store: Store, name: str) -> float | None:
    """Return what a policy decides around, or None for a test between two label change rates.

    It is a label change rate, or the mean doubt of all mutants that the policy may take.
    """
    policy = store.calibration.policies[name]
    match policy.test:
        case FinitePoolRecord(threshold=threshold):
            return threshold / policy.pool
        case FixedRecord(threshold=threshold, mutants=mutants):
            return threshold / mutants
        case StagedRecord(threshold=threshold, mutants=mutants, evidence=evidence):
            return threshold / (evidence.doubts.unit * mutants)
        case _:
            return None


def _calibrated(store: Store) -> FinitePoolRecord | StagedRecord:
    policy = store.calibration.policies.get(_CALIBRATED)
    if policy is None or not isinstance(policy.test, FinitePoolRecord | StagedRecord):
        raise StoreError(f"{store.path / CALIBRATION} has no policy '{_CALIBRATED}'; build the store again")
    return policy.test


def _reference(store: Store) -> Policy:
    """Return the policy that always takes all mutants, with the alarms of ``calibrated``."""
    test, pool = _calibrated(store), store.manifest.mutants
    if isinstance(test, StagedRecord):
        alarms = tuple(Alarm(*entry) for entry in test.alarms)
        return staged(REFERENCE, test.evidence.doubts, test.threshold, (), pool, alarms=alarms)
    return builders.fixed(REFERENCE, pool, test.threshold, pool, store.policy(_CALIBRATED).targets)


def _recalibrated(
    store: Store, kept: Mapping[str, Recording], settings: CalibrationSettings
) -> tuple[Policy, int]:
    """Return ``calibrated`` at other settings, and its threshold.

    The orders are those of ``calibrate``, so that the command arrives at the same policy.
    """
    choice, certification = shared_out(kept["choice"], kept["certification"], settings)
    seed, ranks = store.manifest.seed, store.manifest.ranks
    served, doubts = certification.reordered(seed, ranks), store.calibration.doubts
    if settings.evidence == "soft" and doubts is not None:
        soft = staged_policy(
            choice_in_order(choice, seed, ranks),
            served,
            doubts.doubts,
            **settings.certified,
            clean_mutants=settings.budget,
            first_share=first_share_of(store.manifest.robust),
        )
        return soft.policy, soft.threshold
    found = calibrated_policy(
        CleanParts(choice, certification, served.changes),
        **settings.certified,
        max_miss=settings.max_miss,
        clean_mutants=settings.budget,
    )
    return found.policy, found.threshold


def _grid(
    path: Path, store: Store, kept: Mapping[str, Recording], sets: Mapping[str, Recording], report: Reporter
) -> Grid:
    report.step(f"trying other settings of {_CALIBRATED}")
    own = store.calibration.settings
    at = own.max_false_alarm, own.budget
    budgets = SOFT_GRID_CLEAN_MUTANTS if own.evidence == "soft" else GRID_CLEAN_MUTANTS
    settings = sorted({at, *product(GRID_FALSE_ALARMS, budgets)})
    points, left_out = [], []
    for done, (max_false_alarm, clean_mutants) in enumerate(settings):
        report.progress(done, len(settings), "settings")
        setting = {"max_false_alarm": max_false_alarm, "clean_mutants": clean_mutants}
        current = (max_false_alarm, clean_mutants) == at
        try:
            if current:
                policy, threshold = store.policy(_CALIBRATED), _calibrated(store).threshold
            else:
                policy, threshold = _recalibrated(store, kept, own.changed(**setting))
        except CalibrationError as error:
            left_out.append(LeftOut(**setting, reason=str(error)))
            continue
        command = f"mutant-store calibrate {quote(str(path))} --max-false-alarm {max_false_alarm:g}"
        points.append(
            GridPoint(
                **setting,
                current=current,
                threshold=threshold,
                hypotheses=HypothesesRecord.of(policy),
                behaviour=behaviour(policy, sets),
                command=f"{command} --clean-mutants {clean_mutants:g}",
            )
        )
    report.progress(len(settings), len(settings), "settings")
    return Grid(points=points, left_out=left_out)
