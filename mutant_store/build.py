"""Build of a store: from a classifier and clean images to a published version."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mutant_guard.bank.bank_session import BankSession
from mutant_guard.decision.calibration.recording import Recording
from mutant_guard.decision.evidence.kinds import Doubts
from mutant_guard.errors import DataError, ModelError
from mutant_guard.store.calibration_record import CalibrationSettings
from mutant_guard.store.choices import OutputKind
from mutant_guard.store.manifest import (
    SCHEMA_VERSION,
    DataParts,
    Manifest,
    TailEntry,
)
from mutant_guard.store.reader import (
    BOUNDS,
    CALIBRATION,
    COMPANION,
    RECORDINGS,
    ROBUST,
    Store,
    load_store,
)
from mutant_guard.store.signature import load_private_key
from mutant_store.bank.blocks import LayerChoice
from mutant_store.bank.builder import Bank, BankBuilder
from mutant_store.bank.export import mutants_of
from mutant_store.bank.files import bank_files
from mutant_store.bank.verify import check_original, largest_difference, spread
from mutant_store.calibrating.calibrate import calibrate, first_share_of, from_original
from mutant_store.calibrating.recordings import fitted_doubts, pack, record, record_in_parts
from mutant_store.cluster.ray_cluster import RayCluster
from mutant_store.companions.companion import Companion
from mutant_store.companions.ranks import ranks_of
from mutant_store.datasets.spec import check_text
from mutant_store.graph.activations import Activations
from mutant_store.loading.companions import CompanionSource, load_companions
from mutant_store.loading.input_spec import InputOptions
from mutant_store.loading.model_source import ModelSource, Original, open_original
from mutant_store.loading.subject import Subject, load_subject
from mutant_store.loading.treatments import Dialogue
from mutant_store.operators import OPERATORS, name_of, operators_named
from mutant_store.operators.base import Operator
from mutant_store.operators.given import GivenNetworks
from mutant_store.operators.retrain import Retrain
from mutant_store.pool.selection import Selection, SelectionSettings, select
from mutant_store.publishing.publish import STAGING, building, file_entry, publish, write_version
from mutant_store.reporter import Reporter
from mutant_store.retraining.settings import RetrainSettings
from mutant_store.robust.robust_network import RobustNetwork
from mutant_store.versions import built_with

if TYPE_CHECKING:
    from mutant_store.retraining.retrainer import Retrainer
    from mutant_store.robust.settings import RobustSettings

_VERIFIED = 8
_PARTS = 2
"""Parts of a recording for each task that a cluster does at a time, so that all end together."""
_COMPARED = 8


@dataclass(frozen=True)
class BuildSettings:
    """Settings of a build.

    Attributes:
        operator: name of the mutation operator, or ``mixed:NAME,NAME`` for several.
        selection: number, rate, seed and accuracy of the mutants.
        input: the user's options for the classifier's input.
        calibration: requirements on the policies.
        output: name of the output that holds the class scores; None where only one output can.
        output_kind: kind of the class scores; None takes the kind that the graph implies.
        classes: class names in the model's order; None takes those of the model's metadata, else of
            the data.
        layers: regular expression; only layers whose name it matches are mutated. The name of a
            block, see ``LayerChoice``, does as well.
        first: name of the first block that is mutated, or of one of its layers.
        last: largest share of the multiply-adds that lies in the blocks that are mutated.
        threads: CPU threads of the bank; 0 takes all cores.
        sign_key: file of the private key, in PEM, that signs the store; None leaves the store
            unsigned.
        retraining: settings for mutants of the operator ``retrain``; None takes the network's
            defaults.
        companions: mutants of the operator ``companion``, apart from the number of mutants in
            ``selection``.
        robust: settings of the mutants of the operator ``robust``; None takes the
            network's defaults. Their number is apart from that in ``selection``.
        teach: whether companions are taught the original's adversarial images, made as
            ``retraining`` says.
    """

    operator: str
    selection: SelectionSettings
    input: InputOptions
    calibration: CalibrationSettings
    output: str | None = None
    output_kind: OutputKind | None = None
    classes: list[str] | None = None
    layers: str = ""
    first: str | None = None
    last: float | None = None
    threads: int = 0
    sign_key: Path | None = None
    retraining: RetrainSettings | None = None
    companions: tuple[CompanionSource, ...] = ()
    robust: "RobustSettings | None" = None
    teach: bool = False


def build(
    model: Path | ModelSource,
    spec: str,
    out: Path,
    settings: BuildSettings,
    report: Reporter,
    confirm: Callable[[str], bool] = lambda question: False,
    cluster: RayCluster | None = None,
) -> Store:
    """Make the mutants, filter them, build the bank, calibrate and publish the store.

    A build that was killed goes on from the mutants that it had accepted. The same inputs give the
    same version.

    Args:
        model: ONNX file, or another source of the classifier.
        spec: SPEC of the clean labelled images.
        out: directory of the store; its last part is the store's name.
        settings: settings of the mutants, the calibration and the input.
        report: receiver of the steps and of the progress.
        confirm: function that asks whether to go on, from a sentence on another treatment of images
            with which the classifier does much better; by default the build ends there.
        cluster: cluster that attacks, trains and filters; None works on this machine. The store is
            the same, on one kind of processor.

    Returns:
        The published version, loaded.

    Raises:
        GuardError: the model, the data or the settings do not allow the build; the message names
            the cause and the remedy.
    """
    check_text(str(out), "the directory of the store")
    operators = operators_named(settings.operator)
    layers = _layer_choice(operators, settings)
    _started_from(settings)  # refuses what does not fit before anything is read
    key = load_private_key(settings.sign_key) if settings.sign_key else None
    source = model if isinstance(model, ModelSource) else ModelSource(str(model))
    report.step(f"reading {source.model} and {spec}")
    original = open_original(
        source, spec, settings.input, output=settings.output, output_kind=settings.output_kind
    )
    _tell(report, original.notes)
    subject = load_subject(
        original.classifier,
        spec,
        original.options,
        output=settings.output,
        output_kind=settings.output_kind,
        classes=settings.classes,
        layers_pattern=layers.expression if _mutates(operators) else None,
        calibration=settings.calibration,
        as_given=original.as_given,
        dialogue=Dialogue(report, confirm),
    )
    _tell(report, (*subject.filter.data.notes, *subject.notes))
    _warn_of_shades(subject, report)
    subject, companions = _with_companions(subject, spec, operators, settings, Dialogue(report, confirm))
    activations = Activations(subject.classifier, subject.probe)
    subject = replace(subject, layers=layers.of(activations, subject.layers))
    with building(out):
        staged = out / STAGING
        staged.mkdir(mode=0o700, exist_ok=True)
        retrainer = _retrainer(operators, subject, original, settings, staged, cluster)
        _tell(report, retrainer.notes if retrainer else ())
        companions = _taught(companions, retrainer, subject, settings, report)
        robust = _robust(operators, subject, original, settings, staged, report, companions, cluster)
        if not robust and (others := [each for each in operators if each.name != ROBUST]) != operators:
            settings, operators = replace(settings, operator=name_of(others)), others
        builder = BankBuilder(subject.classifier, subject.layers, activations, companions, robust)
        selection = select(
            subject,
            builder,
            operators,
            settings.selection,
            staged,
            report,
            retrainer,
            companions,
            robust,
            cluster,
        )
        report.step("building and checking the mutant bank")
        bank = builder.build(selection.pool)
        session = bank.session(settings.threads)
        mutants = mutants_of(bank, subject.classifier, subject.layers, companions, robust)
        largest_difference(
            session, mutants, spread(len(selection.pool), _VERIFIED), subject.filter.inputs[:_COMPARED]
        )
        for part in (subject.choice, subject.certification):
            check_original(session, part.inputs, part.scores, subject.classifier.output_kind)
        report.step("recording what mutants say of images that filtered none")
        trained = [network.trained for network in robust]
        asked = settings.calibration.decided(
            (mutant.operator for mutant in selection.pool), from_original=from_original(trained)
        )
        doubts = _doubts(session, len(selection.pool), subject, asked, companions, len(robust))
        recordings = _record(bank, session, subject, report, doubts, cluster)
        report.step("choosing the policies and certifying them")
        ranks = ranks_of([mutant.operator for mutant in selection.pool], companions)
        calibration = calibrate(
            recordings["choice"],
            recordings["certification"],
            asked,
            settings.selection.seed,
            doubts,
            ranks,
            first_share=first_share_of(trained),
        )
        report.step("publishing")
        files, tails = bank_files(bank)
        contents = {
            **files,
            **_bounds(robust, len(companions) + 1),
            RECORDINGS: pack(recordings),
            CALIBRATION: calibration.model_dump_json(indent=1).encode(),
        }
        manifest = _manifest(
            out.name,
            subject,
            settings,
            selection,
            bank,
            tails,
            contents,
            retrainer,
            companions,
            robust,
            ranks,
        )
        version = publish(out, staged, write_version(staged, contents, manifest), key)
    return load_store(out, version)


def _warn_of_shades(subject: Subject, report: Reporter) -> None:
    if shades := subject.shades_without_scores():
        report.step(
            f"WARNING: the classifier's scores are not finite (NaN or infinite) on an image that is all "
            f"{' or all '.join(shades)}, as where it divides an image by its own deviation; such images raise an alarm"
        )


def _layer_choice(operators: list[Operator], settings: BuildSettings) -> LayerChoice:
    """Return the choice of layers, once it is known to go with the operators and their settings."""
    choice = LayerChoice(settings.layers, settings.first, settings.last)
    if settings.layers and any(isinstance(operator, Retrain) for operator in operators):
        raise ModelError(
            "--layers does not go with the operator retrain, which trains every layer from --from on; give that"
        )
    if choice != LayerChoice() and not _mutates(operators):
        raise ModelError(
            "--layers, --from and --last choose layers that mutants change, and companions and robust mutants change "
            "none: leave them out"
        )
    if settings.teach and not settings.companions:
        raise ModelError("--teach trains companions: name them with --companion, or leave it out")
    return choice


def _started_from(settings: BuildSettings) -> int | None:
    """Return the place of the companion that robust mutants are trained from; None for none."""
    names = [(companion.source.model, companion.name) for companion in settings.companions]
    return None if settings.robust is None else settings.robust.companion(names)


def _mutates(operators: list[Operator]) -> bool:
    """Return whether some mutants are changes of the original."""
    return not all(isinstance(operator, GivenNetworks) for operator in operators)


def _trains(selection: Selection) -> bool:
    return any(mutant.operator == Retrain.name for mutant in selection.pool)


def _with_companions(
    subject: Subject, spec: str, operators: list[Operator], settings: BuildSettings, dialogue: Dialogue
) -> tuple[Subject, list[Companion]]:
    named = any(operator.name == COMPANION for operator in operators)
    if named != bool(settings.companions):
        remedy = "name them with --companion" if named else "add it, as in mixed:companion,nai"
        raise ModelError(f"operator {settings.operator} and the companions do not fit: {remedy}")
    if not named:
        return subject, []
    dialogue.report.step(f"reading {len(settings.companions)} companion(s)")
    return load_companions(
        settings.companions,
        subject,
        spec,
        accuracy_ratio=settings.selection.accuracy_ratio,
        dialogue=dialogue,
    )


def _doubts(
    session: BankSession,
    mutants: int,
    subject: Subject,
    asked: CalibrationSettings,
    companions: list[Companion],
    robust: int,
) -> Doubts | None:
    if asked.evidence != "soft":
        return None
    return fitted_doubts(
        session,
        mutants,
        subject.choice.inputs,
        subject.choice.labels,
        own_weight=asked.weight_of_original,
        output_kind=subject.classifier.output_kind,
        work=[companion.relative_cost for companion in companions],
        robust=robust,
    )


def _record(
    bank: Bank,
    session: BankSession,
    subject: Subject,
    report: Reporter,
    doubts: Doubts | None,
    cluster: RayCluster | None,
) -> dict[str, Recording]:
    parts = {"choice": subject.choice, "certification": subject.certification}
    total, done = sum(len(part.labels) for part in parts.values()), 0
    found = {}
    for name, part in parts.items():
        asked = (len(bank.pool), part.inputs, part.labels, _from(done, total, report), doubts)
        if cluster is None:
            found[name] = record(session, *asked)
        else:
            load = partial(bank.session, threads=1, beside=cluster.beside)
            found[name] = record_in_parts(load, cluster.executor(), _PARTS * cluster.jobs, *asked)
        done += len(part.labels)
    return found


def _retrainer(
    operators: list[Operator],
    subject: Subject,
    original: Original,
    settings: BuildSettings,
    staged: Path,
    cluster: RayCluster | None,
) -> "Retrainer | None":
    if not settings.teach and not any(isinstance(operator, Retrain) for operator in operators):
        return None
    _check_trainable(original, subject)
    # Torch takes seconds to import, and other operators do without it.
    from mutant_store.loading.torch_source import of_graph
    from mutant_store.retraining.retrainer import Retrainer

    selection = settings.selection
    return Retrainer(
        subject,
        original.torch or of_graph(subject),
        settings.retraining or RetrainSettings(),
        staged,
        seed=selection.seed,
        jobs=selection.jobs,
        cluster=cluster,
    )


def _check_trainable(original: Original, subject: Subject) -> None:
    """Check that networks of this input and output can be trained here."""
    if original.as_given(subject.probe[:1]).shape[1] != len(subject.classes):
        raise ModelError(
            "a classifier with one score an image cannot be trained again as it is: give one with a score for each of "
            "its two classes, or use another operator"
        )
    if subject.input.channel_order != "rgb":
        raise ModelError(
            "a classifier whose channels are blue, green and red cannot be trained again as it is: export it to take "
            "red, green and blue, or use another operator"
        )


def _taught(
    companions: list[Companion],
    retrainer: "Retrainer | None",
    subject: Subject,
    settings: BuildSettings,
    report: Reporter,
) -> list[Companion]:
    if not settings.teach or retrainer is None:
        return companions
    from mutant_store.retraining.teaching import teach

    ratio = settings.selection.accuracy_ratio
    return [teach(companion, retrainer, subject, ratio, report) for companion in companions]


def _robust(
    operators: list[Operator],
    subject: Subject,
    original: Original,
    settings: BuildSettings,
    staged: Path,
    report: Reporter,
    companions: list[Companion],
    cluster: RayCluster | None,
) -> list[RobustNetwork]:
    """Train the robust mutants, if they are asked for.

    Returns:
        The mutants; none where they are optional and cannot be made, or images are coloured.
    """
    if not any(operator.name == ROBUST for operator in operators):
        return []
    from mutant_store.robust.settings import RobustSettings

    asked = settings.robust or RobustSettings()
    if asked.optional and subject.input.channels != 1:
        report.step(
            "no robust mutant, as one of coloured images sees less of what is aimed at the original alone; "
            "--operator mixed:robust,retrain makes one"
        )
        return []
    try:
        return _trained_robust(subject, original, asked, settings, staged, report, companions, cluster)
    except (DataError, ModelError) as error:
        if not asked.optional:
            raise
        report.step(f"WARNING: the store goes without robust mutants: {error}")
        return []


def _trained_robust(
    subject: Subject,
    original: Original,
    asked: "RobustSettings",
    settings: BuildSettings,
    staged: Path,
    report: Reporter,
    companions: list[Companion],
    cluster: RayCluster | None,
) -> list[RobustNetwork]:
    start = _started_from(settings)
    if start is None:
        _check_trainable(original, subject)
    from mutant_store.robust.trainer import RobustTrainer

    selection, retraining = settings.selection, settings.retraining or RetrainSettings()
    trainer = RobustTrainer(
        subject,
        original.torch,
        asked,
        retraining.train_data,
        staged,
        seed=selection.seed,
        jobs=selection.jobs,
        cluster=cluster,
        companion=None if start is None else companions[start],
    )
    _tell(report, trainer.notes)
    report.step(f"training {asked.mutants} robust mutant(s) ({trainer.summary})")
    found = []
    for number, trained in trainer.mutants(list(range(asked.mutants)), report):
        network = RobustNetwork.of(trained, subject, selection.accuracy_ratio)
        report.step(
            f"robust mutant {number}: {network.accuracy:.2%} of the filter's images right; of held-back training "
            f"images {trained.accuracy:.2%} right, {trained.robust_accuracy:.2%} under attack"
        )
        found.append(network)
    return found


def _bounds(robust: list[RobustNetwork], first: int) -> dict[str, bytes]:
    """Return the files with bounds on the doubts of robust mutants, whose numbers begin at ``first``."""
    return {
        BOUNDS.format(number): network.bounds.SerializeToString(deterministic=True)
        for number, network in enumerate(robust, first)
        if network.bounds is not None
    }


def _tell(report: Reporter, notes: tuple[str, ...]) -> None:
    for note in notes:
        report.step(note)


def _from(done: int, total: int, report: Reporter) -> Callable[[int], None]:
    return lambda more: report.progress(done + more, total, "images")


def _manifest(
    name: str,
    subject: Subject,
    settings: BuildSettings,
    selection: Selection,
    bank: Bank,
    tails: list[TailEntry],
    contents: dict[str, bytes],
    retrainer: "Retrainer | None",
    companions: list[Companion],
    robust: list[RobustNetwork],
    ranks: list[int],
) -> Manifest:
    chosen = settings.selection
    return Manifest(
        schema_version=SCHEMA_VERSION,
        name=name,
        input=subject.input,
        input_name=subject.classifier.input_name,
        output_name=subject.classifier.output_name,
        output_kind=subject.classifier.output_kind,
        classes=subject.classes,
        operator=settings.operator,
        rate=retrainer.record.share
        if retrainer and settings.operator == Retrain.name
        else next(iter(selection.rates.values()), 0.0),
        rates=selection.rates if len(set(selection.rates.values())) > 1 else {},
        seed=chosen.seed,
        neurons=bank.parameters.neurons,
        layers=[layer.name for layer in subject.layers],
        mutants=len(selection.pool),
        decks=min(OPERATORS[mutant.operator].decks for mutant in selection.pool),
        candidates=selection.candidates,
        candidates_drawn=selection.drawn,
        ranks=ranks,
        companions=[companion.record(number) for number, companion in enumerate(companions, 1)],
        robust=[
            network.record(number, companions) for number, network in enumerate(robust, len(companions) + 1)
        ],
        views=list(subject.filter.inputs.specs[1:]),
        accuracy_ratio=chosen.accuracy_ratio,
        filter_error=chosen.filter_error,
        original_accuracy=float(subject.filter.correct.mean()),
        accuracies=selection.accuracies,
        bank=tails,
        data=DataParts(
            train=subject.classifier.card.train_data,
            filter=subject.filter.data.portable_range,
            choice=subject.choice.data.portable_range,
            certification=subject.certification.data.portable_range,
        ),
        retraining=retrainer.record if retrainer and _trains(selection) else None,
        files={file_name: file_entry(content) for file_name, content in contents.items()},
        built_with=built_with(),
    )
