"""Settings of robust mutants: what the user says, and the defaults where nothing is said."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

from mutant_guard.errors import ModelError
from mutant_store.retraining.settings import Labels

Method = Literal["pgd", "fast", "trades", "ccat", "certified"]
"""Ways of training against the worst case, see ``RobustRecipe``."""

_LEAST_BATCHES = 2000
_DISTILLED: tuple[Method, ...] = ("pgd", "fast")
"""Methods whose targets are labels, and may be the original's answers."""
METHODS: tuple[Method, ...] = get_args(Method)
ORIGINAL = "original"
"""Architecture that stands for the original and its weights."""
MOST_MUTANTS = 1000
"""Largest number of robust mutants of a store."""
_COMPANION = "companion"


@dataclass(frozen=True)
class RobustSettings:
    """Robust mutants as the user asks for them; None takes the value of the ``RobustRecipe``.

    Attributes:
        mutants: number of robust mutants, at least 1.
        architecture: ``original``, of width 1 from the original's weights; ``companion:NAME``, a
            companion from its weights, or ``companion`` for the only one; or, trained from scratch,
            ``strided``, a registered name or ``module:callable``.
        width: factor of the numbers of channels of ``architecture``, or of the recipe's network.
        labels: kind of the targets; ``original`` takes the label that the original gives.
        mirror: whether a mutant answers for an image and its mirror image together, see
            ``Mirrored``; None where training mirrors images, as the original's did, and nothing is
            certified.
        ensemble: number of networks of a mutant, which answers with the mean of their scores.
        optional: whether the store may do without robust mutants, where none can be made or they do
            not pay.
        others: same meaning as in ``RobustRecipe``.
    """

    mutants: int = 1
    method: Method | None = None
    epsilon: float | None = None
    steps: int | None = None
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    clean_weight: float | None = None
    shift: int | None = None
    joint: bool | None = None
    distill: float | None = None
    architecture: str | None = None
    width: float | None = None
    labels: Labels = "data"
    mirror: bool | None = None
    ensemble: int = 1
    optional: bool = False

    def __post_init__(self) -> None:
        if self.method == "certified" and (self.mirror or self.ensemble > 1):
            option, what = ("--mirror", "looks") if self.mirror else ("--robust-ensemble", "networks")
            raise ModelError(
                f"{option} takes the mean of several {what}, and --certified proves bounds of one: leave out one of "
                "them"
            )

    def mirrors(self, *, flip: bool) -> bool:
        """Return whether mutants answer for an image and its mirror image together.

        Args:
            flip: whether training mirrors images.
        """
        return self.method != "certified" and (flip if self.mirror is None else self.mirror)

    def companion(self, names: Sequence[Collection[str]]) -> int | None:
        """Return the place of the companion that training starts from; None where it is none.

        Args:
            names: names of each companion, of which each may stand for it.

        Raises:
            ModelError: there is no such companion or more than one, or other settings do not go
                with it.
        """
        kind, _, name = (self.architecture or "").partition(":")
        if kind != _COMPANION:
            return None
        asked = f"--architecture {self.architecture}"
        if self.method == "certified":
            raise ModelError(
                f"--certified proves something of the original's pixels, and {asked} reads pixels of its own: leave "
                "out one of them"
            )
        if self.joint or self.width not in (None, 1):
            option = "--joint" if self.joint else "--width"
            raise ModelError(f"{option} does not go with {asked}: leave out one of them")
        found = [place for place, each in enumerate(names) if not name or name in each]
        if len(found) == 1:
            return found[0]
        if not names:
            raise ModelError(
                f"{asked}: there are no companions; name them with --companion and give mixed:companion,robust"
            )
        known = ", ".join(min(each, key=len) for each in names)
        fault = "there is no such companion" if not found else "there are several such companions"
        raise ModelError(
            f"{asked}: {fault}; give companion:NAME, with NAME as in --companion, one of {known}"
        )


@dataclass(frozen=True)
class RobustRecipe:
    """Everything that a robust mutant depends on besides its architecture, the images and the seed.

    Attributes:
        method: ``pgd`` trains on images changed by projected gradient descent; ``fast`` by one step
            from a random start; ``trades`` on the divergence of the answers to an image and to its
            changed copy; ``ccat`` towards uniform answers on changed images, whose confidence in
            any other class the attack increases; ``certified`` on bounds of what any change can do.
        network: the network that is trained, the original or the small ``strided`` one.
        channels: channels of the convolutions of ``strided``.
        dense: units of the dense layer of ``strided``.
        epsilon: largest change of a pixel in the range 0 to 1.
        spread: least and largest size of a change in training, as multiples of ``epsilon``; each
            image has a size between them.
        ramp: share of training over which the sizes rise from 0.
        steps: number of steps of an attack.
        noise: range of the random start of a single step, in sizes.
        epochs: passes over the training images.
        batch_size: images a step of training.
        paired: whether every image is trained both clean and changed; else a share of
            ``clean_weight`` of each batch stays clean and the rest is changed.
        clean_weight: weight of the clean images in the loss.
        beta: weight of the divergence in ``trades``.
        power: exponent of ``ccat``, by which the target turns uniform with the size of the change.
        joint: whether the attack increases the original's loss as well.
        distill: temperature at which the mutant learns the original's answers for the clean image,
            on it and on its changed copy, in place of the label; 0 learns the labels.
        optimizer: ``sgd`` with Nesterov momentum, or ``adam``.
        learning_rate: peak of the learning rate.
        warm_up: share of training over which the learning rate rises to its peak.
        fall: share of training over which it falls to nearly nothing.
        weight_decay: weight of the squared weights in the loss.
        longest_gradient: norm to which a longer gradient is cut.
        shift: largest number of pixels by which a training image is moved along each axis; None
            takes the number with which the original was trained.
    """

    method: Method = "pgd"
    network: Literal["strided", "original"] = "strided"
    channels: tuple[int, ...] = (16, 32)
    dense: int = 100
    epsilon: float = 0.3
    spread: tuple[float, float] = (1 / 3, 1.1)
    ramp: float = 0.15
    steps: int = 4
    noise: float = 2.0
    epochs: int = 14
    batch_size: int = 128
    paired: bool = False
    clean_weight: float = 0.5
    beta: float = 6.0
    power: float = 10.0
    joint: bool = False
    distill: float = 0.0
    optimizer: Literal["sgd", "adam"] = "adam"
    learning_rate: float = 0.002
    warm_up: float = 0.05
    fall: float = 0.7
    weight_decay: float = 0.0
    longest_gradient: float = 8.0
    shift: int | None = 1

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ModelError(f"--robust-method '{self.method}': give one of {', '.join(METHODS)}")
        if not 0 < self.epsilon <= 1:
            raise ModelError(
                "--robust-epsilon is a size in the pixel range 0 to 1, above 0; 4 of 255 levels is 0.0157"
            )
        if not 0 <= self.clean_weight < 1:
            raise ModelError("--robust-clean-weight must be at least 0 and below 1")
        if self.distill and self.method not in _DISTILLED:
            raise ModelError(
                f"--robust-distill goes with --robust-method {' and '.join(_DISTILLED)}, not with {self.method}: leave "
                "out one of them"
            )
        if self.method == "certified" and self.joint:
            raise ModelError(
                "--joint trains against an attack and --certified against bounds: leave out one of them"
            )

    def lasting(self, images: int) -> "RobustRecipe":
        """Return the recipe with as many epochs more as few images need, for at least 2,000 batches.

        Args:
            images: number of images that are trained on, at least 1.
        """
        batches = max(1, images // self.batch_size)
        return replace(self, epochs=max(self.epochs, math.ceil(_LEAST_BATCHES / batches)))

    @property
    def attacks(self) -> bool:
        """Whether training makes adversarial images."""
        return self.method != "certified"


_GREY = RobustRecipe()
_COLOURED = RobustRecipe(
    method="fast",
    network="original",
    epsilon=4 / 255,
    spread=(0.25, 1.5),
    ramp=0.0,
    steps=1,
    epochs=14,
    batch_size=104,
    paired=True,
    optimizer="sgd",
    learning_rate=0.05,
    warm_up=0.15,
    fall=0.85,
    weight_decay=5e-4,
    shift=None,
)
_CERTIFIED = replace(
    _GREY,
    method="certified",
    channels=(32, 64),
    dense=256,
    ramp=0.35,
    steps=1,
    epochs=28,
    learning_rate=0.001,
    warm_up=0.0,
    fall=0.4,
    paired=True,
)
_CERTIFIED_COLOURED = replace(_CERTIFIED, epsilon=2 / 255, epochs=40, shift=None)

_CHANGES: dict[str, dict[str, Any]] = {"digits-net": {"batch_size": 32, "epsilon": 0.1}}
"""Settings by registered original that differ from those for its number of channels."""

_FRESH_EPOCHS = 2
"""Factor of the epochs of coloured recipes where training does not start from the original."""

_STEPS: dict[Method, int] = {"pgd": 4, "fast": 1, "trades": 4, "ccat": 6, "certified": 1}


def recipe_for(name: str, channels: int, settings: RobustSettings, *, fresh: bool) -> RobustRecipe:
    """Return the recipe for an original, with what the user asks for.

    Args:
        name: name of the original; one that has no recipe gets that for its number of channels.
        channels: number of channels of the images, 1 or 3.
        settings: the user's settings.
        fresh: whether the user chose another network than the original's, so that training starts
            from scratch.

    Raises:
        ModelError: a setting is out of its range.
    """
    if settings.method == "certified":
        start = _CERTIFIED if channels == 1 else _CERTIFIED_COLOURED
    else:
        start = _GREY if channels == 1 else _COLOURED
    start = replace(start, **_CHANGES.get(name, {}))
    method = settings.method or start.method
    if method != start.method:
        start = replace(start, method=method, steps=_STEPS.get(method, 1))
    if start.method == "trades":
        start = replace(start, paired=True)
    if fresh and start.network == "original":
        start = replace(start, epochs=_FRESH_EPOCHS * start.epochs)
    asked = {entry.name: getattr(settings, entry.name, None) for entry in fields(RobustRecipe)}
    return replace(start, **{name: value for name, value in asked.items() if value is not None})
