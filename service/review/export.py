"""Data set of the labels that reviewers confirmed."""

import io

import numpy as np
from PIL import Image

from service.review.item import Item
from service.review.queue import ReviewQueue, Wanted

_PAGE = 200


async def labelled(queue: ReviewQueue, *, store: str, sampled: bool) -> list[tuple[Item, int, bytes]]:
    """Return a store's entries whose true label and image are known, with both; oldest first.

    Args:
        queue: review queue that holds the entries.
        store: name of the store.
        sampled: whether only entries that were drawn at random are returned.

    Returns:
        The entry, its true label, and its image as a PNG, for each entry.
    """
    found: list[tuple[Item, int, bytes]] = []
    before = None
    while page := await queue.newest(Wanted(store=store, before=before, limit=_PAGE)):
        for item in page:
            label = None if item.ruling is None else item.ruling.true_label
            if label is None or (sampled and not item.found.sampled) or not item.has_image:
                continue
            image = await queue.image(item.id)
            if image:
                found.append((item, label, image))
        before = page[-1].id
    return found[::-1]


def archive(found: list[tuple[Item, int, bytes]], classes: list[str], shape: tuple[int, int, int]) -> bytes:
    """Return an .npz of the images of one shape, with their true labels.

    It holds ``x`` uint8 [N, H, W, C], ``y`` int64 [N], and ``classes``. Labels that were given when
    the store had other classes are left out.

    Args:
        found: entries with true label and PNG image.
        classes: class names of the store, by position.
        shape: shape [H, W, C] of the images.

    Raises:
        ValueError: no image has this shape.
    """
    images, labels = [], []
    for item, label, png in found:
        named = None if item.ruling is None else item.ruling.true_class_name
        if label >= len(classes) or named not in (None, classes[label]):
            continue
        with Image.open(io.BytesIO(png), formats=("PNG",)) as image:
            pixels = np.asarray(image)
        pixels = pixels[:, :, None] if pixels.ndim == 2 else pixels
        if pixels.shape == shape:
            images.append(pixels)
            labels.append(label)
    if not images:
        raise ValueError("no image has this shape")
    file = io.BytesIO()
    np.savez_compressed(
        file, x=np.stack(images), y=np.array(labels, dtype=np.int64), classes=np.array(classes)
    )
    return file.getvalue()
