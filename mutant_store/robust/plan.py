"""Plan of robust mutants: which network is trained, from where, and by which recipe."""

from dataclasses import dataclass, replace

import torch

from mutant_guard.errors import ModelError
from mutant_guard.store.manifest import RecipeValue
from mutant_store.boundary import boundary
from mutant_store.datasets.conversion import Shape
from mutant_store.networks import CLASSIFIERS
from mutant_store.networks.architecture import Architecture, Made, Registered
from mutant_store.networks.strided import Strided
from mutant_store.robust.intervals import check_layers
from mutant_store.robust.settings import ORIGINAL, RobustRecipe, RobustSettings, recipe_for

_STRIDED = "strided"
_FOREIGN_GRADIENT = 1.0
"""Longest gradient of networks from elsewhere, which may be deep and without batch normalisation."""


@dataclass(frozen=True)
class RobustPlan:
    """Plan of robust mutants.

    Attributes:
        recipe: settings of training.
        architecture: maker of the network that is trained.
        from_original: whether training starts from the original's weights.
    """

    recipe: RobustRecipe
    architecture: Architecture
    from_original: bool

    @staticmethod
    def of(
        settings: RobustSettings,
        original: Architecture,
        shape: Shape,
        classes: int,
        *,
        grey: tuple[float, float] | None = None,
    ) -> "RobustPlan":
        """Choose network and recipe, and try the network on images of the original's size.

        Args:
            settings: the user's settings.
            original: maker of the original.
            shape: height and width in pixels, and channels, of the images.
            classes: number of classes.
            grey: mean and standard deviation by which grey images are normalised; None for others.

        Raises:
            ModelError: a setting is out of its range, there is no such network, it is made in one
                width only, does not answer with a score for each class, or cannot be certified.
        """
        fresh = settings.architecture not in (None, ORIGINAL) or settings.width not in (None, 1)
        recipe = recipe_for(original.name, shape[2], settings, fresh=fresh)
        architecture = _architecture(settings, recipe, original, shape, classes, grey)
        if not isinstance(architecture, Registered | Strided):
            recipe = replace(recipe, longest_gradient=_FOREIGN_GRADIENT)
        plan = RobustPlan(recipe, architecture, architecture is original)
        plan._check(shape, classes)
        return plan

    @property
    def settings(self) -> dict[str, RecipeValue]:
        """Settings of training by name, without those of networks that are not trained."""
        own = isinstance(self.architecture, Strided)
        left_out = {"network"} | (set() if own else {"channels", "dense"})
        found = {name: value for name, value in vars(self.recipe).items() if name not in left_out}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}

    def _check(self, shape: Shape, classes: int) -> None:
        height, width, channels = shape
        name = self.architecture.name
        with torch.random.fork_rng(devices=[]):
            network = self.architecture.build().eval()
        if self.recipe.method == "certified":
            check_layers(network)
        what = f"--architecture {name} fails on images of {width}×{height} with {channels} channel(s)"
        with (
            boundary(ModelError, what, "give a network that takes images of the original's size"),
            torch.inference_mode(),
        ):
            found = list(network(torch.zeros(2, channels, height, width)).shape)
        if found != [2, classes]:
            raise ModelError(
                f"--architecture {name} answers two images with shape {found}, not [2, {classes}]: give a network with "
                "one score for each of the original's classes"
            )


def _architecture(
    settings: RobustSettings,
    recipe: RobustRecipe,
    original: Architecture,
    shape: Shape,
    classes: int,
    grey: tuple[float, float] | None,
) -> Architecture:
    """Return the network that the user names, else that of the recipe."""
    name, width = settings.architecture or recipe.network, settings.width or 1.0
    if name == _STRIDED:
        return Strided(shape, classes, recipe.channels, recipe.dense, width, grey)
    if name == ORIGINAL:
        if width == 1:
            return original
        if isinstance(original, Registered | Made):
            return replace(original, width=width)
        raise ModelError(
            f"--width {width:g}: a graph is not made in another width; name a network with --architecture "
            "MODULE:CALLABLE, a callable that takes width=, or leave out --width"
        )
    if name in CLASSIFIERS:
        return Registered(name, classes, width)
    if ":" in name:
        return Made(name, width)
    known = ", ".join([ORIGINAL, _STRIDED, *CLASSIFIERS])
    raise ModelError(f"--architecture '{name}': give one of {known}, or MODULE:CALLABLE")
