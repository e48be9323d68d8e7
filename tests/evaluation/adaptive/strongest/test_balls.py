"""Changes stay within their distance, in the pixel range, and after rounding."""

import pytest
import torch

from evaluation.adaptive.strongest.balls import L0, L2, Ball, Linf

CLEAN = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(1)).mul(255).round() / 255


@pytest.mark.parametrize("ball", [Linf(0.1), L2(0.7), L0(4)], ids=lambda ball: type(ball).__name__)
def test_whatever_is_projected_is_within(ball: Ball) -> None:
    generator = torch.Generator().manual_seed(0)
    far = CLEAN + torch.randn(CLEAN.shape, generator=generator)
    for images in (ball.project(far, CLEAN), ball.start(CLEAN, generator)):
        assert 0 <= images.min() <= images.max() <= 1
        levels = (images * 255).round() / 255
        assert ball.holds(images, CLEAN).all()
        assert ball.holds(levels, CLEAN).all()
        assert ((images - CLEAN).flatten(1).abs().amax(1) > 0.01).all()
    assert not ball.holds(far.clamp(0, 1), CLEAN).any()


def test_steps_have_their_size() -> None:
    direction = torch.randn(CLEAN.shape, generator=torch.Generator().manual_seed(0))
    sizes = torch.arange(1.0, 7.0)
    assert (Linf(0.1).step(direction, sizes).flatten(1).abs() == sizes[:, None]).all()
    torch.testing.assert_close(L2(0.1).step(direction, sizes).flatten(1).norm(dim=1), sizes)
    torch.testing.assert_close(L0(2).step(direction, sizes).flatten(1).abs().amax(1), sizes)


def test_only_whole_levels_are_used_and_whole_pixels_counted() -> None:
    assert Linf(10.9 / 255).size == 10 / 255
    changed = CLEAN.clone()
    changed[:, :, 0, 0] = 1 - changed[:, :, 0, 0].round()  # one pixel, all three colours
    assert L0(1).holds(changed, CLEAN).all()
    assert not L0(0.5).holds(changed, CLEAN).any()
