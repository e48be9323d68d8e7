import numpy as np
import pytest
from PIL import Image

from mutant_guard.errors import ImageError
from mutant_guard.store.choices import ChannelOrder, Layout
from mutant_guard.store.manifest import InputSpec
from mutant_guard.store.preprocessing import to_input, to_pixels

rng = np.random.default_rng(0)
GREY = rng.integers(0, 256, (6, 4), dtype=np.uint8)
RGB = rng.integers(0, 256, (6, 4, 3), dtype=np.uint8)


def pixels(image: Image.Image, channels: int = 3, size: tuple[int, int] = (6, 4)) -> np.ndarray:
    return to_pixels(image, height=size[0], width=size[1], channels=channels, resize="exact")


def test_grey_and_colour_convert_by_luma_and_repetition() -> None:
    assert (pixels(Image.fromarray(GREY))[..., 0] == GREY).all()
    assert (pixels(Image.fromarray(GREY)) == GREY[..., None]).all()
    assert (pixels(Image.fromarray(RGB)) == RGB).all()
    luma = RGB @ np.array([0.299, 0.587, 0.114])
    assert np.abs(pixels(Image.fromarray(RGB), 1)[..., 0] - luma).max() <= 1


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    deep = rng.integers(0, 65536, (6, 4), dtype=np.uint16)
    deep[0, :2] = 0, 65535
    found = pixels(Image.fromarray(deep), 1)[..., 0]
    assert np.abs(found - deep * (255 / 65535)).max() <= 0.5
    assert found[0, :2].tolist() == [0, 255]


def test_opaque_alpha_goes_and_transparency_is_refused() -> None:
    opaque = Image.fromarray(np.dstack([RGB, np.full((6, 4), 255, np.uint8)]))
    assert (pixels(opaque) == RGB).all()
    opaque.putpixel((1, 1), (1, 2, 3, 254))
    with pytest.raises(ImageError, match="transparent pixels; flatten"):
        pixels(opaque)


def test_another_size_is_refused_or_resampled() -> None:
    image = Image.fromarray(RGB)
    with pytest.raises(
        ImageError, match=r"is 4×6 pixels and this model takes exactly 8×8.*--resize bilinear"
    ):
        pixels(image, size=(8, 8))
    resized = to_pixels(image, height=8, width=8, channels=3, resize="bilinear")
    assert (resized == np.asarray(image.resize((8, 8), Image.Resampling.BILINEAR))).all()


def test_layouts_and_normalisation() -> None:
    batch = rng.integers(0, 256, (3, 6, 4, 3), dtype=np.uint8)
    mean, std = np.array([0.5, 0.4, 0.3], np.float32), np.array([0.2, 0.3, 0.4], np.float32)
    expected = (batch / 255 - mean) / std
    found = {kind: to_input(batch, mean=mean, std=std, layout=kind) for kind in ("nchw", "nhwc", "flat")}
    assert {kind: value.shape for kind, value in found.items()} == {
        "nchw": (3, 3, 6, 4),
        "nhwc": (3, 6, 4, 3),
        "flat": (3, 72),
    }
    np.testing.assert_allclose(found["nhwc"], expected, atol=1e-5)
    np.testing.assert_allclose(found["nchw"], expected.transpose(0, 3, 1, 2), atol=1e-5)
    np.testing.assert_allclose(found["flat"], expected.reshape(3, -1), atol=1e-5)
    assert all(value.dtype == np.float32 and value.flags.c_contiguous for value in found.values())


@pytest.mark.parametrize("layout", ["nchw", "nhwc", "flat"])
@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_a_box_holds_the_inputs_of_all_images_near_a_given_one_and_hardly_more(
    layout: Layout, order: ChannelOrder
) -> None:
    mean, std = [0.485, 0.1, -30.0], [0.229, 1.5, 0.01]
    spec = InputSpec(
        height=6,
        width=4,
        channels=3,
        mean=mean,
        std=std,
        layout=layout,
        resize="exact",
        channel_order=order,
    )
    images = rng.integers(0, 256, (3, 6, 4, 3), dtype=np.uint8)
    low, high = spec.box(images, np.array([0.0, 10 / 255, 1.0]))
    for change in (0, 10, 255):
        near = rng.integers(-change, change + 1, images.shape) + images.astype(np.int64)
        found = spec.tensor(near.clip(0, 255).astype(np.uint8))
        first = (0, 10, 255).index(change)
        assert (low[first:] <= found[first:]).all()
        assert (found[first:] <= high[first:]).all()
    given = spec.tensor(images)
    scale = max(1 / value for value in std)
    assert np.abs(low[0] - given[0]).max() < 1e-4 * scale
    ends = [spec.tensor(np.full_like(images, value))[0] for value in (0, 255)]
    np.testing.assert_allclose(low[2], ends[0], atol=1e-4 * scale)
    np.testing.assert_allclose(high[2], ends[1], atol=1e-4 * scale)
