"""Settings of retraining: what the user says, and the defaults where nothing is said."""

from dataclasses import dataclass, field, fields, replace
from typing import Literal

from mutant_guard.errors import ModelError

Labels = Literal["data", "original"]
"""Targets that mutants learn: labels of the training images, or the original's answers on them."""


ATTACK_WEIGHTS = {
    "pgd": 0.45,
    "margin": 0.1,
    "targeted": 0.1,
    "single-step": 0.1,
    "euclidean": 0.15,
    "sparse": 0.1,
    "confident": 0.15,
}
"""Share of the adversarial images that each of ``ATTACKS`` makes, among those that are used."""

_USUAL = tuple(name for name in ATTACK_WEIGHTS if name != "confident")
_CONFIDENT = tuple(name for name in ATTACK_WEIGHTS if name != "euclidean")


@dataclass(frozen=True)
class RetrainSettings:
    """Retraining as the user asks for it; None takes the value of the network's ``Recipe``.

    Attributes:
        train_data: SPEC of the training images.
        others: same meaning as in ``Recipe``.
    """

    train_data: str | None = None
    share: float | None = None
    epochs: int | None = None
    adversarial_share: float | None = None
    adversarial_images: int | None = None
    epsilons: tuple[float, ...] | None = None
    attacks: tuple[str, ...] | None = None
    steps: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    label_smoothing: float | None = None
    jitter: float | None = None
    shift: int | None = None
    labels: Labels = "data"


@dataclass(frozen=True)
class Recipe:
    """Everything that a retrained mutant depends on besides the network, the images and the seed.

    Attributes:
        share: share of the neurons of every layer that is redrawn.
        epochs: passes over the training images.
        adversarial_share: share of every batch that is adversarial images.
        adversarial_images: number of training images of which an adversarial one is made, at most
            all.
        epsilons: sizes of adversarial images, the largest change of a pixel in the range 0 to 1;
            each image has one of them.
        attacks: attacks that make them, in the proportions of ``ATTACK_WEIGHTS``.
        steps: number of steps of projected gradient descent.
        batch_size: images per step of training, adversarial ones included.
        learning_rate: peak of the learning rate.
        label_smoothing: share of the target that is spread over all classes.
        jitter: standard deviation of noise added to training images, in the range 0 to 1.
        shift: largest number of pixels by which a training image is moved along each axis; None
            takes the number with which the original was trained.
        labels: kind of the targets.
    """

    share: float = 0.1
    epochs: int = 4
    adversarial_share: float = 0.25
    adversarial_images: int = 20_000
    epsilons: tuple[float, ...] = field(default=(2 / 255, 5 / 255, 8 / 255))
    attacks: tuple[str, ...] = _USUAL
    steps: int = 7
    batch_size: int = 128
    learning_rate: float = 0.05
    label_smoothing: float = 0.0
    jitter: float = 0.0
    shift: int | None = None
    labels: Labels = "data"

    def __post_init__(self) -> None:
        if not self.epsilons or not all(0 < size <= 1 for size in self.epsilons):
            raise ModelError(
                "--epsilons are sizes in the pixel range 0 to 1, each above 0; 8 of 255 levels is 0.0314"
            )
        unknown = sorted(set(self.attacks) - set(ATTACK_WEIGHTS))
        if unknown or not self.attacks:
            raise ModelError(
                f"--attacks takes names of {', '.join(ATTACK_WEIGHTS)}, separated by commas"
                + (f"; there is no {', '.join(unknown)}" if unknown else "")
            )
        if not 0 <= self.share <= 1:
            raise ModelError("--share, of the neurons that are redrawn, must be at least 0 and at most 1")
        if not 0 <= self.adversarial_share < 1:
            raise ModelError("--adversarial-share, of every batch, must be at least 0 and below 1")


_TAUGHT = Recipe(
    share=0.0, epochs=3, adversarial_share=0.5, batch_size=32, learning_rate=0.001, shift=0, labels="original"
)
_DIGITS = (0.05, 0.1, 0.15, 0.2, 0.3)

_COLOURED = Recipe(
    adversarial_share=0.4,
    adversarial_images=45_000,
    epsilons=tuple(levels / 255 for levels in (1, 2, 4, 5, 8, 12)),
    steps=6,
    batch_size=208,
)

RECIPES = {
    "digits-net": Recipe(epochs=10, epsilons=_DIGITS, batch_size=32),
    "lenet": Recipe(adversarial_images=55_000, epsilons=_DIGITS, attacks=_CONFIDENT, shift=1),
    "resnet20": _COLOURED,
    "googlenet": _COLOURED,
}
"""Recipes by registered network."""


def recipe_for(name: str, channels: int, settings: RetrainSettings, *, tail: bool = False) -> Recipe:
    """Return the recipe of a network, with what the user asks for.

    Args:
        name: name of the network; one that has no recipe gets that for its number of channels.
        channels: number of channels of the images, 1 or 3.
        settings: the user's settings.
        tail: whether only what lies behind a cut is trained.

    Raises:
        ModelError: a setting is out of its range, or does not go with tails.
    """
    if tail and (settings.shift or settings.jitter):
        raise ModelError(
            "--shift and --jitter do not go with --from and --last: tails train on features that are computed once"
        )
    start = RECIPES.get(name) or (Recipe(epsilons=_DIGITS) if channels == 1 else _COLOURED)
    return _completed(start, settings)


def teaching_recipe(settings: RetrainSettings) -> Recipe:
    """Return the recipe by which companions are taught, with what the user asks for.

    Nothing is redrawn. How adversarial images are made is a matter of the original's recipe.

    Raises:
        ModelError: a setting is out of its range.
    """
    return _completed(_TAUGHT, replace(settings, share=0.0))


def _completed(start: Recipe, settings: RetrainSettings) -> Recipe:
    given = {entry.name: getattr(settings, entry.name) for entry in fields(Recipe)}
    known = {entry.name: getattr(start, entry.name) for entry in fields(Recipe)}
    return Recipe(**{key: known[key] if value is None else value for key, value in given.items()})
