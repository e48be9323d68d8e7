"""Command ``mutant-store build``: from a classifier and its images to a published store."""

import codecs
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from mutant_guard.store.choices import ChannelOrder, Layout, OutputKind
from mutant_store.cli.calibration_options import (
    Alpha,
    Beta,
    CleanMutants,
    Confidence,
    DeltaRatio,
    Evidence,
    FixedMutants,
    MaxFalseAlarm,
    MaxMiss,
    OwnWeight,
    Rho,
)
from mutant_store.cli.companion_options import ClassMaps, Companions, companions_named
from mutant_store.cli.console import BuildReport, Memory, errors_shown, finite, rate_of
from mutant_store.cli.input_options import numbers_of, resize_rule, size_of
from mutant_store.cli.ray_options import GpusPerMutant, Ray, cluster_of
from mutant_store.cli.retraining_options import (
    AdversarialImages,
    AdversarialShare,
    Attacks,
    AttackSteps,
    BatchSize,
    Epochs,
    Epsilons,
    Jitter,
    LabelSmoothing,
    LearningRate,
    Share,
    Shift,
    Targets,
    Teach,
    TrainData,
    retraining_settings,
)
from mutant_store.cli.robust_options import (
    Architecture,
    Certified,
    Joint,
    Mirror,
    RobustBatchSize,
    RobustCleanWeight,
    RobustDistill,
    RobustEnsemble,
    RobustEpochs,
    RobustEpsilon,
    RobustLearningRate,
    RobustMethod,
    RobustMutants,
    RobustSteps,
    Width,
    robust_settings,
)

app = typer.Typer()

_INPUT = "Input and output"
_MOST_NAMES = 1 << 24


@app.command()
def build(
    model: Annotated[
        str,
        typer.Argument(
            help="The classifier: an ONNX file, a folder of Hugging Face, timm or torchvision, a .safetensors file of "
            "this project's training, lenet, resnet20 or another registered network, or MODULE:CALLABLE that makes one."
        ),
    ],
    data: Annotated[
        str,
        typer.Option(
            help="Clean labelled images the classifier never saw: kind\\[:path]\\[@split]\\[\\[start:stop]], with kind "
            "digits, mnist, imagefolder or npz; for example mnist:DIR@holdout or npz:FILE\\[0:2000]."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Directory of the store; its last part is the store's name.")],
    operator: Annotated[
        str | None,
        typer.Option(
            help="Mutation operator: companion (other classifiers of the same classes, see --companion), nai (negate "
            "neurons), ns (switch neurons of a layer), gf (redraw weights), ws (shuffle the weights of neurons), "
            "retrain (redraw a share of the neurons and train again, see below), robust (train a network against "
            "attacks on itself, see below), or mixed:robust,retrain and the like for a pool of several: all companions "
            "and robust mutants, and an equal share of each other. Default: companion where there are any, "
            "mixed:robust,retrain where there is --train-data (without robust for coloured images and after --from and "
            "--last, and not with --teach), nai elsewhere."
        ),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(
            parser=rate_of,
            metavar="auto|RATE",
            help="Mutation rate, above 0 and at most 1: share of all neurons (gf: of all parameters) that a mutant "
            "changes. Default: auto, the largest at which a third of a few mutants stays accurate on 64 images.",
        ),
    ] = None,
    layers: Annotated[
        str,
        typer.Option(
            help="Mutate only layers whose node name this regular expression matches, or one block that mutant-store "
            "layers lists, such as 'block 5'; what lies before the first of them is then computed once an image. "
            "Default: all layers."
        ),
    ] = "",
    first: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="BLOCK",
            help="Mutate, or train again, only this block and those behind it: the name of a block that mutant-store "
            "layers lists, or of one of its layers. What lies before is computed once an image.",
        ),
    ] = None,
    last: Annotated[
        float | None,
        typer.Option(
            callback=finite,
            min=0,
            max=1,
            metavar="SHARE",
            help="Like --from, at the block from which on at most this share of the multiply-adds is left.",
        ),
    ] = None,
    mutants: Annotated[
        int | None,
        typer.Option(
            min=2,
            max=100_000,
            help="Number of accurate mutants, companions and robust ones apart. Default: 500; with retrain 8.",
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of every draw; the same seed gives the same store.")
    ] = 0,
    accuracy_ratio: Annotated[
        float,
        typer.Option(
            callback=finite, min=0, max=1, help="Least accuracy of a mutant, as a share of the original's."
        ),
    ] = 0.9,
    filter_error: Annotated[
        float,
        typer.Option(
            callback=finite,
            min=0,
            max=0.01,
            help="Filter sequentially: probability with which a mutant may be judged otherwise than on all images; "
            "1e-6 judges most mutants on a tenth of them. 0 filters exactly.",
        ),
    ] = 0.0,
    jobs: Annotated[
        int,
        typer.Option(
            min=0,
            help="Batches of mutants filtered, or mutants trained, at a time, on a core each; 0 takes all cores.",
        ),
    ] = 0,
    ray: Ray = None,
    gpus_per_mutant: GpusPerMutant = 0.0,
    mean: Annotated[
        str | None,
        typer.Option(
            help="Mean subtracted from pixels in 0 to 1, one value a channel, separated by commas. "
            "Default: the model's folder or metadata, else 0.",
            rich_help_panel=_INPUT,
        ),
    ] = None,
    std: Annotated[
        str | None,
        typer.Option(
            help="Standard deviation pixels are divided by, like --mean. "
            "Default: the model's folder or metadata, else 1.",
            rich_help_panel=_INPUT,
        ),
    ] = None,
    layout: Annotated[
        Layout | None,
        typer.Option(
            help="Order of the input's axes behind the batch. Default: the model's metadata, else its shape.",
            rich_help_panel=_INPUT,
        ),
    ] = None,
    resize: Annotated[
        str | None,
        typer.Option(
            callback=resize_rule,
            metavar="exact|FILTER|crop:N[:FILTER]|fit[:FILTER]",
            help="How images get the model's size. exact refuses others; FILTER squashes them; crop:N "
            "resizes the shorter side to N pixels and takes the centre; fit keeps the aspect ratio and pads with "
            "black. FILTER: nearest, box, bilinear (default), hamming, bicubic, lanczos. Default: the model's folder, "
            "else exact.",
            rich_help_panel=_INPUT,
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="HEIGHTxWIDTH",
            help="Size of the model's images in pixels, where the model leaves it open. Images of mixed sizes need it, "
            "and --resize. Default: the model's, else that of the images.",
            rich_help_panel=_INPUT,
        ),
    ] = None,
    channel_order: Annotated[
        ChannelOrder | None,
        typer.Option(
            help="Order of the colours in the channels that the model takes, and of --mean and --std. Default: the "
            "model's folder, else rgb.",
            rich_help_panel=_INPUT,
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            help="Output that holds the class scores. Default: the only one that can.", rich_help_panel=_INPUT
        ),
    ] = None,
    output_kind: Annotated[
        OutputKind | None,
        typer.Option(
            help="What that output holds. Default: probabilities if every row of scores of the images is in 0 to 1 and "
            "sums to 1, else logits; the build says what it found.",
            rich_help_panel=_INPUT,
        ),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            help="Class names in the model's order: separated by commas, or @FILE with one a line (a number of the "
            "class or of WordNet may precede it) or JSON. The data may have some of the classes only, and call them by "
            "name, synonym, WordNet number or position. Default: the model's metadata, else the data's names in "
            "natural order; another order that fits the images far better is taken, and said.",
            rich_help_panel=_INPUT,
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            help="Weights of a network by name or MODULE:CALLABLE: safetensors, or a state dict saved by torch. "
            "Default: the committed ones of lenet and resnet20.",
            rich_help_panel=_INPUT,
        ),
    ] = None,
    companion: Companions = None,
    class_map: ClassMaps = None,
    train_data: TrainData = None,
    share: Share = None,
    epochs: Epochs = None,
    adversarial_share: AdversarialShare = None,
    adversarial_images: AdversarialImages = None,
    epsilons: Epsilons = None,
    attacks: Attacks = None,
    attack_steps: AttackSteps = None,
    batch_size: BatchSize = None,
    learning_rate: LearningRate = None,
    label_smoothing: LabelSmoothing = None,
    jitter: Jitter = None,
    shift: Shift = None,
    labels: Targets = "data",
    teach: Teach = False,
    robust_mutants: RobustMutants = None,
    robust_method: RobustMethod = None,
    certified: Certified = False,
    architecture: Architecture = None,
    width: Width = None,
    mirror: Mirror = None,
    robust_ensemble: RobustEnsemble = None,
    robust_distill: RobustDistill = None,
    robust_epsilon: RobustEpsilon = None,
    robust_steps: RobustSteps = None,
    robust_epochs: RobustEpochs = None,
    robust_batch_size: RobustBatchSize = None,
    robust_learning_rate: RobustLearningRate = None,
    robust_clean_weight: RobustCleanWeight = None,
    joint: Joint = False,
    max_false_alarm: MaxFalseAlarm = None,
    confidence: Confidence = None,
    max_miss: MaxMiss = None,
    clean_mutants: CleanMutants = None,
    fixed_mutants: FixedMutants = None,
    rho: Rho = None,
    alpha: Alpha = None,
    beta: Beta = None,
    delta_ratio: DeltaRatio = None,
    evidence: Evidence = None,
    own_weight: OwnWeight = None,
    yes: Annotated[
        bool,
        typer.Option(
            "--yes",
            help="Go on without a question where the classifier does much better with another mean, standard "
            "deviation, channel order or crop.",
            rich_help_panel=_INPUT,
        ),
    ] = False,
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0 uses all cores.")] = 0,
    memory: Memory = None,
    sign_key: Annotated[
        Path | None,
        typer.Option(help="Sign the store with this private key before it becomes the current version."),
    ] = None,
) -> None:
    """Make accurate mutants of a classifier, calibrate them on clean images and publish the store.

    The images are cut into three disjoint parts: half filter the mutants by accuracy, a quarter
    chooses the thresholds, a quarter certifies them. A build that was killed goes on where it
    stopped.
    """
    from mutant_guard.bank.cores import available_cores
    from mutant_guard.store.calibration_record import CalibrationSettings
    from mutant_store.build import BuildSettings
    from mutant_store.build import build as build_store
    from mutant_store.cli.mutant_tables import mutant_tables
    from mutant_store.cli.tables import estimates_table
    from mutant_store.loading.input_spec import InputOptions
    from mutant_store.loading.model_source import ModelSource
    from mutant_store.pool.selection import SelectionSettings

    asked = operator
    operator = operator or _operator(None if teach else train_data, companion, first is None and last is None)
    with errors_shown():
        settings = BuildSettings(
            operator=operator,
            companions=companions_named(companion or [], class_map or []),
            teach=teach,
            selection=SelectionSettings(
                rate,
                mutants or _pool_size(operator),
                seed,
                accuracy_ratio,
                filter_error,
                jobs or available_cores(),
            ),
            input=InputOptions(
                numbers_of(mean, "--mean"),
                numbers_of(std, "--std"),
                layout,
                resize,
                size_of(size),
                channel_order,
            ),
            calibration=CalibrationSettings().changed(
                max_false_alarm=max_false_alarm,
                confidence=confidence,
                max_miss=max_miss,
                clean_mutants=clean_mutants,
                fixed_mutants=fixed_mutants,
                rho=rho,
                alpha=alpha,
                beta=beta,
                delta_ratio=delta_ratio,
                evidence=evidence,
                own_weight=own_weight,
            ),
            output=output,
            output_kind=output_kind,
            classes=class_names(classes),
            layers=layers,
            first=first,
            last=last,
            threads=threads,
            sign_key=sign_key,
            retraining=retraining_settings(
                train_data=train_data,
                share=share,
                epochs=epochs,
                adversarial_share=adversarial_share,
                adversarial_images=adversarial_images,
                epsilons=epsilons,
                attacks=attacks,
                attack_steps=attack_steps,
                batch_size=batch_size,
                learning_rate=learning_rate,
                label_smoothing=label_smoothing,
                jitter=jitter,
                shift=shift,
                labels=labels,
            ),
            robust=robust_settings(
                operator,
                train_data,
                mutants=robust_mutants,
                method=robust_method,
                certified=certified,
                epsilon=robust_epsilon,
                steps=robust_steps,
                epochs=robust_epochs,
                batch_size=robust_batch_size,
                learning_rate=robust_learning_rate,
                clean_weight=robust_clean_weight,
                joint=joint,
                distill=robust_distill,
                architecture=architecture,
                width=width,
                mirror=mirror,
                ensemble=robust_ensemble,
                shift=shift,
                labels=labels,
                optional=asked is None,
            ),
        )
        with BuildReport() as report, cluster_of(ray, gpus_per_mutant, jobs, report) as cluster:
            store = build_store(
                ModelSource(model, weights),
                data,
                out,
                settings,
                report,
                lambda text: yes or report.confirm(text),
                cluster,
            )
        console = Console()
        console.print(f"published [bold]{out}[/bold] version {store.version}")
        for table in (estimates_table(store), *mutant_tables(store)):
            console.print(table)


def _operator(train_data: str | None, companions: list[str] | None, whole: bool) -> str:
    """Return the operator for what there is to make mutants from.

    A robust mutant is trained as a whole: there is none where ``whole`` is false.
    """
    if companions:
        return "companion" if train_data is None else "mixed:companion,retrain"
    if train_data is None:
        return "nai"
    return "mixed:robust,retrain" if whole else "retrain"


def _pool_size(operator: str) -> int:
    """Return the default number of mutants; retrained ones take minutes each and are strong."""
    return 8 if "retrain" in operator else 500


def class_names(text: str | None) -> list[str] | None:
    """Return the names that the option --classes gives: separated by commas, or in @FILE.

    Raises:
        BadParameter: the file cannot be read, is no text, or holds no names.
    """
    if text is None:
        return None
    try:
        if not text.startswith("@"):
            text.encode()
            return [name.strip() for name in text.split(",")]
        return _names_of_file(Path(text[1:]))
    except OSError as error:
        raise typer.BadParameter(
            f"cannot read {text[1:]}: {error.strerror}", param_hint="--classes"
        ) from error
    except UnicodeError as error:
        raise typer.BadParameter(
            "the names are not UTF-8 text (nor UTF-16 with a byte order mark): save them as UTF-8",
            param_hint="--classes",
        ) from error


def _names_of_file(path: Path) -> list[str]:
    if path.exists() and not path.is_file():
        raise typer.BadParameter(f"{path} is no file", param_hint="--classes")
    with path.open("rb") as file:
        content = file.read(_MOST_NAMES + 1)
    if len(content) > _MOST_NAMES:
        raise typer.BadParameter(f"{path} is no list of class names: it is too long", param_hint="--classes")
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = content.decode("utf-16" if wide else "utf-8-sig")
    if "\0" in text:
        raise UnicodeError
    from mutant_store.loading.name_list import names_in

    names = names_in(text)
    if not names:
        raise typer.BadParameter(
            f"{path} holds no names: write one a line, or a list of them as JSON", param_hint="--classes"
        )
    "".join(names).encode()  # JSON may hold halves of characters
    return names
