"""A substitute learns the classifier's labels from few images and its own augmentations."""

from unittest.mock import patch

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from evaluation.attacks import substitute
from evaluation.attacks.settings import Substitute
from evaluation.attacks.target import as_pixels
from mutant_guard.errors import DataError
from mutant_store.datasets import ImageData
from mutant_store.networks.inference import logits
from mutant_store.networks.weights import TrainedModel

pytestmark = pytest.mark.slow

SETTINGS = Substitute(architecture="papernot-a", seeds=60, rounds=4, batch_size=8)


def test_it_agrees_with_the_classifier_and_asks_as_often_as_it_says(
    tiny: TrainedModel, clean: ImageData, seeds: NDArray[np.uint8]
) -> None:
    with patch.object(substitute, "logits", wraps=logits) as asked:
        network = substitute.train(tiny, SETTINGS, seeds, 0)
    counts = [len(call.args[2]) for call in asked.call_args_list]
    assert counts == [60, 60, 120, 240]
    for call in asked.call_args_list:
        assert call.args[2].dtype == np.uint8
    new = asked.call_args_list[1].args[2].astype(int) - seeds[:60]
    assert np.abs(new).max() in (25, 26)
    with torch.inference_mode():
        own = network(torch.from_numpy(as_pixels(clean.images))).argmax(dim=1).numpy()
    assert np.mean(own == clean.labels) > 0.6


def test_a_seed_decides_its_weights(tiny: TrainedModel, seeds: NDArray[np.uint8]) -> None:
    short = SETTINGS.model_copy(update={"rounds": 2, "epochs": 1})
    first, again, other = (
        torch.cat([value.flatten() for value in substitute.train(tiny, short, seeds, seed).parameters()])
        for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_too_few_images_are_refused(tiny: TrainedModel, seeds: NDArray[np.uint8]) -> None:
    with pytest.raises(DataError, match="starts from 60 clean images and there are 9"):
        substitute.train(tiny, SETTINGS, seeds[:9], 0)


@pytest.mark.parametrize(
    ("architecture", "shape", "parameters"),
    [("lenet", (1, 28, 28), 61_706), ("lenet", (3, 32, 32), 62_006), ("papernot-a", (1, 28, 28), 511_626)],
)
def test_architectures_have_their_sizes(architecture: str, shape: tuple[int, ...], parameters: int) -> None:
    network = substitute.build(architecture, shape, 10)
    assert sum(value.numel() for value in network.parameters()) == parameters
