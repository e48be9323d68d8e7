"""Which network is trained, from where and how."""

import pytest
import torch
from torch import nn

from mutant_guard.errors import ModelError
from mutant_store.networks.architecture import Architecture, Made, Registered
from mutant_store.networks.conversion import Converted
from mutant_store.networks.strided import Strided
from mutant_store.robust.plan import RobustPlan
from mutant_store.robust.settings import RobustRecipe, RobustSettings, recipe_for

GREY, COLOURED = (8, 8, 1), (32, 32, 3)
ORIGINAL, RESNET = Registered("digits-net", 10), Registered("resnet20", 10)


class Wide(nn.Sequential):
    """Network of any width for 8×8 images."""

    def __init__(self, width: float = 1.0) -> None:
        super().__init__(
            nn.Flatten(), nn.Linear(64, round(8 * width)), nn.ReLU(), nn.Linear(round(8 * width), 10)
        )


def few_classes() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 4))


def units(architecture: Architecture) -> int:
    return sum(value.numel() for value in architecture.build().parameters())


def test_grey_images_get_a_small_network_of_their_own() -> None:
    plan = RobustPlan.of(RobustSettings(), ORIGINAL, GREY, 10, grey=(0.2, 0.4))
    assert (plan.recipe.method, plan.from_original) == ("pgd", False)
    assert plan.architecture == Strided(GREY, 10, (16, 32), 100, grey=(0.2, 0.4))
    wide = RobustPlan.of(RobustSettings(width=2), ORIGINAL, GREY, 10).architecture
    assert units(wide) > 3 * units(plan.architecture)


def test_coloured_images_start_from_the_original() -> None:
    plan = RobustPlan.of(RobustSettings(), RESNET, COLOURED, 10)
    assert (plan.recipe.method, plan.from_original) == ("fast", True)
    assert plan.architecture is RESNET
    assert plan.recipe.distill == 0
    wide = RobustPlan.of(RobustSettings(width=2), RESNET, COLOURED, 10)
    assert not wide.from_original
    assert (wide.recipe.epochs, wide.recipe.distill) == (2 * plan.recipe.epochs, 0)
    assert 3.9 < units(wide.architecture) / units(plan.architecture) < 4
    others = [RobustSettings(method=method) for method in ("trades", "ccat", "certified")]
    assert [RobustPlan.of(other, RESNET, COLOURED, 10).recipe.distill for other in others] == [0, 0, 0]
    assert RobustPlan.of(RobustSettings(width=2, distill=5), RESNET, COLOURED, 10).recipe.distill == 5
    certified = RobustPlan.of(RobustSettings(method="certified"), RESNET, COLOURED, 10)
    assert isinstance(certified.architecture, Strided)
    assert certified.recipe.epsilon < plan.recipe.epsilon


def test_named_networks_are_trained_from_scratch() -> None:
    name = f"{__name__}:Wide"
    plan = RobustPlan.of(RobustSettings(architecture=name, width=3), ORIGINAL, GREY, 10)
    assert plan.architecture == Made(name, 3)
    assert units(plan.architecture) == 65 * 24 + 25 * 10
    assert plan.recipe.longest_gradient == 1
    own = RobustPlan.of(RobustSettings(architecture="digits-net"), ORIGINAL, GREY, 10)
    assert (own.architecture, own.from_original) == (Registered("digits-net", 10), False)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"architecture": "lenett"},
            "--architecture 'lenett': give one of original, strided, digits-net, lenet",
        ),
        ({"architecture": "no.such:thing"}, "'no.such:thing' cannot be imported"),
        ({"architecture": "resnet20"}, r"--architecture resnet20 fails on images of 8×8 with 1 channel\(s\)"),
        (
            {"architecture": f"{__name__}:few_classes"},
            r"answers two images with shape \[2, 4\], not \[2, 10\]",
        ),
        ({"architecture": "digits-net", "width": 2.0}, "digits-net is made in one width only; give --archit"),
        ({"architecture": f"{__name__}:few_classes", "width": 2.0}, "few_classes is made in one width only"),
        ({"architecture": "digits-net", "method": "certified"}, "--certified trains a torch.nn.Sequential"),
        ({"method": "certified", "joint": True}, "--joint trains against an attack and --certified against"),
        (
            {"method": "trades", "distill": 2.0},
            "--robust-distill goes with --robust-method pgd and fast, not with trades",
        ),
        ({"epsilon": 8.0}, "--robust-epsilon is a size in the pixel range 0 to 1"),
        ({"clean_weight": 1.0}, "--robust-clean-weight must be at least 0 and below 1"),
        ({"method": "magic"}, "--robust-method 'magic': give one of pgd, fast, trades, ccat, certified"),
    ],
)
def test_what_does_not_fit_is_one_clear_line(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ModelError, match=message) as raised:
        RobustPlan.of(RobustSettings(**settings), ORIGINAL, GREY, 10)  # type: ignore[arg-type]
    assert "\n" not in str(raised.value)


def test_a_graph_has_one_width() -> None:
    with pytest.raises(ModelError, match="--width 2: a graph is not made in another width"):
        RobustPlan.of(RobustSettings(width=2), Converted(b"", "nchw"), COLOURED, 10)


def test_what_is_not_said_is_the_methods() -> None:
    def steps(**changes: object) -> tuple[str, int, bool]:
        recipe = recipe_for("a:b", 1, RobustSettings(**changes), fresh=False)  # type: ignore[arg-type]
        return recipe.method, recipe.steps, recipe.paired

    assert steps() == ("pgd", RobustRecipe().steps, False)
    assert steps(method="fast") == ("fast", 1, False)
    assert steps(method="trades", steps=9) == ("trades", 9, True)


@pytest.mark.parametrize(("images", "epochs"), [(100_000, 14), (1280, 200), (5, 2000)])
def test_few_images_are_seen_more_often(images: int, epochs: int) -> None:
    assert RobustRecipe().lasting(images).epochs == epochs


def test_random_draws_of_others_stay_as_they_are() -> None:
    before = torch.random.get_rng_state()
    RobustPlan.of(RobustSettings(), ORIGINAL, GREY, 10)
    assert torch.equal(before, torch.random.get_rng_state())
