"""Requests that fuzzing makes: an image in each way a server takes one, and faults around it."""

import base64
import json
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from random import Random

from benchmarks.fuzz import seeds
from benchmarks.fuzz.mutations import images, messages
from benchmarks.fuzz.mutations.scramble import Scramble, scramble

_TYPES = (
    *(None, "image/png", "image/jpeg", "image/webp", "application/octet-stream", "IMAGE/PNG; charset=x"),
    *("text/plain", "multipart/form-data"),
)
_BOUNDARY = b"cut"
_FORM = b'--cut\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n%b\r\n--cut--\r\n'
_FORM_TOKENS = (
    *(b"\r\n--cut", b"--cut--", b"\r\n", b"\n", b'"', b"\0", b"filename*=utf-8''%ff"),
    b'Content-Disposition: form-data; name="x"\r\n\r\n',
    b"Content-Transfer-Encoding: base64\r\nContent-Type: a; charset=b\r\n",
)


class Route(IntEnum):
    """Ways to send an image."""

    RAW, FORM, BINARY, JSON = range(4)


@dataclass(frozen=True)
class Request:
    """Request to the application; the header names are in lower case."""

    path: str
    query: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


@dataclass(frozen=True)
class Ask:
    """Description of a request to be made.

    Attributes:
        route: way to send the image.
        variant: 0 to 255; its lowest bit chooses the store, the next three the content type of a
            raw image.
        content: the image, the form, the JSON, or behind the length of the JSON (2 bytes) JSON and
            binary data.
    """

    route: Route
    variant: int
    content: bytes

    @classmethod
    def read(cls, data: bytes) -> "Ask":
        """Read a description from any bytes."""
        return cls(
            Route(data[0] % len(Route)) if data else Route.RAW, data[1] if len(data) > 1 else 0, data[2:]
        )

    def written(self) -> bytes:
        """Return the bytes that ``read`` reads back."""
        return bytes([self.route, self.variant]) + self.content

    def request(self, stores: Sequence[str]) -> Request:
        """Return the request, to one of these stores."""
        store = stores[self.variant % len(stores)]
        if self.route in (Route.RAW, Route.FORM):
            kind = (
                _TYPES[self.variant >> 1 & 7]
                if self.route == Route.RAW
                else "multipart/form-data; boundary=cut"
            )
            named = () if kind is None else ((b"content-type", kind.encode()),)
            return Request("/classify", f"store={store}".encode(), named, self.content)
        path = f"/v2/models/{store}/infer"
        if self.route == Route.JSON:
            return Request(path, b"", ((b"content-type", b"application/json"),), self.content)
        length = int.from_bytes(self.content[:2], "big")
        headers = (
            (b"content-type", b"application/octet-stream"),
            (b"inference-header-content-length", str(length).encode()),
        )
        return Request(path, b"", headers, self.content[2:])

    def mutated(self, random: Random, scrambled: Scramble = scramble) -> "Ask":
        """Return a changed copy."""
        if random.random() < 0.05:
            return Ask(self.route, random.randrange(256), self.content)
        return Ask(self.route, self.variant, _CHANGES[self.route](self.content, random, scrambled))


def drawing(seed: int) -> Random:
    """Return what ``Ask.mutated`` draws from; the same seed draws the same."""
    return Random(seed)  # noqa: S311 - no secret


def first() -> list[Ask]:
    """Return every seed image in every way, to every store."""
    found = []
    for number, image in enumerate(seeds.images()):
        for variant in (2 * number % 12, 2 * number % 12 + 1):
            found += [
                Ask(Route.RAW, variant, image),
                Ask(Route.FORM, variant, _FORM % image),
                Ask(
                    Route.BINARY,
                    variant,
                    _framed(_message(len(image) + 4), struct.pack("<I", len(image)) + image),
                ),
                Ask(Route.JSON, variant, _message(data=[base64.b64encode(image).decode()])),
            ]
    rows = bytes(range(128))
    pixels = {"name": "pixels", "shape": [2, 8, 8, 1], "datatype": "UINT8"}
    binary = json.dumps({"inputs": [pixels | {"parameters": {"binary_data_size": 128}}]}).encode()
    found += [
        Ask(Route.JSON, 0, json.dumps({"inputs": [pixels | {"data": list(rows)}]}).encode()),
        Ask(Route.BINARY, 1, _framed(binary, rows)),
    ]
    return found


def _message(size: int | None = None, data: list[str] | None = None) -> bytes:
    image: dict[str, object] = {"name": "image", "shape": [1], "datatype": "BYTES"}
    image |= {"data": data} if size is None else {"parameters": {"binary_data_size": size}}
    outputs = [{"name": "label"}, {"name": "verdict", "parameters": {"binary_data": size is not None}}]
    return json.dumps(
        {"id": "1", "inputs": [image], "outputs": outputs, "parameters": {"timeout": 9_000_000}}
    ).encode()


def _framed(message: bytes, data: bytes) -> bytes:
    return struct.pack(">H", len(message) & 0xFFFF) + message + data


def _form(content: bytes, random: Random, scrambled: Scramble) -> bytes:
    if random.random() < 0.5:
        start, end = content.find(b"\r\n\r\n") + 4, content.rfind(b"\r\n--cut")
        if 4 <= start <= end:
            return content[:start] + images.mutate(content[start:end], random, scrambled) + content[end:]
    if random.random() < 0.5:
        return scrambled(content, random)
    at = random.randint(0, len(content))
    return content[:at] + random.choice(_FORM_TOKENS) + content[at + random.choice((0, 0, 1, 9)) :]


def _binary(content: bytes, random: Random, scrambled: Scramble) -> bytes:
    """Return the content with a changed message, with another image, or with any change.

    The lengths of another image are mostly right.
    """
    length = int.from_bytes(content[:2], "big")
    message, data = content[2 : 2 + length], content[2 + length :]
    match random.randrange(6):
        case 0 | 1:
            return _framed(messages.mutate(message, random, scrambled), data)
        case 2 | 3:
            image = images.mutate(data[4:], random, scrambled)
            message = message.replace(str(len(data)).encode(), str(len(image) + 4).encode())
            return _framed(message, struct.pack("<I", len(image)) + image)
        case 4:
            return (
                struct.pack(">H", random.choice((0, 1, max(0, length - 1), min(length + 1, 65_535), 65_535)))
                + message
                + data
            )
        case _:
            return scrambled(content, random)


def _json(content: bytes, random: Random, scrambled: Scramble) -> bytes:
    try:
        tensor = json.loads(content)["inputs"][0]
        image = base64.b64decode(tensor["data"][0])
    except (ValueError, TypeError, KeyError, IndexError, RecursionError):
        return messages.mutate(content, random, scrambled)
    if random.random() < 0.5:
        return messages.mutate(content, random, scrambled)
    return _message(data=[base64.b64encode(images.mutate(image, random, scrambled)).decode()])


_CHANGES: dict[Route, Callable[[bytes, Random, Scramble], bytes]] = {
    Route.RAW: images.mutate,
    Route.FORM: _form,
    Route.BINARY: _binary,
    Route.JSON: _json,
}
