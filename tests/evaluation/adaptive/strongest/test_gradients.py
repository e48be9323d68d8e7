"""Gradients of convolutions of few channels are those of torch; clips are passed where asked."""

import pytest
import torch
from torch import nn

from evaluation.adaptive.strongest.gradients import AttackGradients

CASES = [
    (nn.Conv2d(1, 6, 5, padding=2), 28, True),
    (nn.Conv2d(3, 6, 5), 16, True),
    (nn.Conv2d(2, 8, 4, 2, 1), 28, True),
    (nn.Conv2d(1, 5, 6, 2, 2), 12, True),
    (nn.Conv2d(1, 8, 2, 2), 14, True),
    (nn.Conv2d(1, 8, 3, 2, 1), 14, False),
    (nn.Conv2d(1, 8, 4, 2, 1), 15, False),
    (nn.Conv2d(1, 4, 3, padding="same"), 8, False),
    (nn.Conv2d(1, 4, 3, dilation=2), 9, False),
    (nn.Conv2d(1, 4, (3, 5)), 9, False),
    (nn.Conv2d(8, 4, 3), 9, False),
]


@pytest.mark.parametrize(("layer", "side", "faster"), CASES)
def test_gradients_are_those_of_torch(layer: nn.Conv2d, side: int, faster: bool) -> None:
    layer.requires_grad_(requires_grad=False)
    images = torch.rand(3, layer.in_channels, side, side, requires_grad=True)
    expected = layer(images)
    onto = torch.rand_like(expected)
    with AttackGradients():
        found = layer(images)
    assert ("Narrow" in found.grad_fn.name()) is faster
    torch.testing.assert_close(found, expected)
    (wanted,), (given,) = (torch.autograd.grad(each, images, onto) for each in (expected, found))
    torch.testing.assert_close(given, wanted, rtol=1e-4, atol=1e-5)


def test_weights_in_training_keep_their_gradients() -> None:
    layer = nn.Conv2d(1, 2, 3)
    with AttackGradients():
        layer(torch.rand(1, 1, 6, 6, requires_grad=True)).sum().backward()
    assert layer.weight.grad is not None


@pytest.mark.parametrize(("through", "expected"), [(False, [0, 1, 0]), (True, [1, 1, 1])])
def test_clips_on_both_sides_are_passed_where_asked(through: bool, expected: list[float]) -> None:
    values = torch.tensor([-1.0, 0.5, 2.0], requires_grad=True)
    with AttackGradients(through_clips=through):
        clipped = torch.clamp(values, min=torch.tensor(0.0), max=torch.tensor(1.0))
        risen = torch.clamp(values, min=0.0)
    assert clipped.tolist() == [0, 0.5, 1]
    assert torch.autograd.grad(clipped.sum(), values)[0].tolist() == expected
    assert torch.autograd.grad(risen.sum(), values)[0].tolist() == [0, 1, 1]
