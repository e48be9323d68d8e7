"""Changes of JSON messages that keep most of them JSON."""

import json
from random import Random
from typing import Any

from benchmarks.fuzz.mutations.scramble import Scramble, scramble

_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 63, 64, 65, 1.5, 1e300, 1 << 31, 1 << 63, 1 << 64, 10**400, 10**4000),
    *("", "a", "image", "pixels", "BYTES", "UINT8", "FP32", "\0", "é\U0001f600", "\ud800", "a" * 300),
    *([], {}, [[]], [1, 8, 8, 1], [0], [255], {"binary_data_size": 1}, {"binary_data": True}),
)
_NAMES = ("data", "parameters", "outputs", "id", "timeout", "binary_data_output", "binary_data_size", "a")


def mutate(text: bytes, random: Random, scrambled: Scramble = scramble) -> bytes:
    """Return a changed message, mostly still JSON."""
    try:
        node = json.loads(text)
    except (ValueError, RecursionError):
        return scrambled(text, random)
    if random.random() < 0.1:
        return scrambled(text, random)
    for _ in range(random.choice((1, 1, 2))):
        node = _changed(node, random)
    return json.dumps(node, ensure_ascii=random.random() < 0.5).encode("utf-8", "surrogatepass")


def _changed(node: Any, random: Random) -> Any:
    """Replace, leave out, double or nest a node somewhere inside."""
    if random.random() < 0.25 or not isinstance(node, dict | list) or not node:
        return random.choice(_VALUES) if random.random() < 0.8 else [node]
    what = random.random()
    if isinstance(node, dict):
        key = random.choice(list(node))
        if what < 0.15:
            return {name: value for name, value in node.items() if name != key}
        if what < 0.3:
            return node | {random.choice(_NAMES): random.choice((node[key], *_VALUES))}
        return node | {key: _changed(node[key], random)}
    at = random.randrange(len(node))
    changed = [] if what < 0.15 else [node[at]] * 2 if what < 0.3 else [_changed(node[at], random)]
    return [*node[:at], *changed, *node[at + 1 :]]
