"""What the user said, and the defaults of a network."""

import pytest

from mutant_guard.errors import ModelError
from mutant_store.retraining.settings import RECIPES, Recipe, RetrainSettings, recipe_for


def test_what_is_not_said_is_the_networks() -> None:
    assert recipe_for("lenet", 1, RetrainSettings()) == RECIPES["lenet"]
    assert recipe_for("resnet20", 3, RetrainSettings(share=0.3)).share == 0.3
    assert recipe_for("resnet20", 3, RetrainSettings(share=0.3)).epochs == RECIPES["resnet20"].epochs


def test_networks_from_elsewhere_get_sizes_by_their_channels() -> None:
    assert recipe_for("a:b", 1, RetrainSettings()).epsilons == (0.05, 0.1, 0.15, 0.2, 0.3)
    assert recipe_for("onnx", 3, RetrainSettings()).epsilons == RECIPES["resnet20"].epsilons


def test_zero_is_something_said() -> None:
    given = recipe_for("lenet", 1, RetrainSettings(adversarial_share=0, shift=0, share=0))
    assert (given.adversarial_share, given.shift, given.share) == (0, 0, 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epsilons": (0.1, 8)}, "--epsilons are sizes in the pixel range 0 to 1"),
        ({"epsilons": ()}, "--epsilons are sizes"),
        ({"share": 1.5}, "--share, of the neurons that are redrawn, must be"),
        ({"adversarial_share": 1.0}, "--adversarial-share, of every batch, must be"),
    ],
)
def test_settings_out_of_range_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        Recipe(**changes)  # type: ignore[arg-type]
