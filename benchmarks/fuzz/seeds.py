"""Valid images of every kind that is read, small: what fuzzing begins with."""

import io
from collections.abc import Iterator

import numpy as np
from PIL import Image, PngImagePlugin

_XMP = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
_PROFILE = "\nexif\n      32\n{}\n"


def images() -> list[bytes]:
    """The files; the first are of the digits' size."""
    return [_encode(image, kind, **options) for image, kind, options in _all()]


def exif(orientation: int = 6) -> bytes:
    """EXIF with values of several kinds."""
    found = Image.Exif()
    found.update({0x0112: orientation, 0x010F: "maker", 0x011A: 72.0, 0x0128: 2, 0x9286: b"comment"})
    return found.tobytes()


def _all() -> Iterator[tuple[Image.Image, str, dict[str, object]]]:
    small, large = _grey(8), _grey(24)
    colour, big = _colour(8), _colour(33)
    for image in (small, colour, large, big, small.quantize(4), colour.quantize(16), small.convert("1")):
        yield image, "PNG", {}
    deep = Image.fromarray((np.asarray(small, np.uint16) * 257).astype(np.uint16))
    yield deep, "PNG", {}
    yield colour.convert("RGBA"), "PNG", {}
    yield small.convert("LA"), "PNG", {}
    yield small, "PNG", {"transparency": 3}
    yield colour.quantize(16), "PNG", {"transparency": bytes(range(240, 256))}
    yield colour, "PNG", {"exif": exif(), "icc_profile": b"profile", "dpi": (72, 72)}
    yield small, "PNG", {"pnginfo": _texts()}
    yield small, "PNG", {"save_all": True, "append_images": [small.rotate(90)]}
    for options in (
        {},
        {"progressive": True},
        {"subsampling": 2},
        {"restart_marker_blocks": 1},
        {"optimize": True},
    ):
        yield colour, "JPEG", options
        yield big, "JPEG", options
    yield small, "JPEG", {"exif": exif(), "comment": b"comment", "icc_profile": b"profile" * 9}
    yield large, "JPEG", {"xmp": _XMP, "progressive": True}
    yield colour.convert("CMYK"), "JPEG", {}
    yield colour, "MPO", {"save_all": True, "append_images": [small.convert("RGB")]}
    for options in (
        {},
        {"lossless": True},
        {"lossless": True, "exact": True},
        {"exif": exif()},
        {"xmp": _XMP},
    ):
        yield colour, "WEBP", options
        yield big, "WEBP", options
    yield colour.convert("RGBA"), "WEBP", {"icc_profile": b"profile"}
    yield _colour(8, alpha=True), "WEBP", {}
    yield small, "WEBP", {"save_all": True, "append_images": [small.rotate(90)], "duration": 40}


def _encode(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _grey(side: int) -> Image.Image:
    return Image.fromarray((np.add.outer(np.arange(side), 2 * np.arange(side)) * 5 % 256).astype(np.uint8))


def _colour(side: int, *, alpha: bool = False) -> Image.Image:
    grey = np.asarray(_grey(side))
    return Image.fromarray(np.dstack([grey, grey.T, 255 - grey, *([grey] if alpha else [])]))


def _texts() -> PngImagePlugin.PngInfo:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Comment", "a comment")
    texts.add_text("Packed", "a comment " * 20, zip=True)
    texts.add_text("Raw profile type exif", _PROFILE.format(exif().hex()), zip=True)
    texts.add_itxt("XML:com.adobe.xmp", _XMP.decode(), lang="en", tkey="xmp", zip=True)
    return texts
