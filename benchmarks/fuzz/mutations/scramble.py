"""Changes of any bytes."""

from collections.abc import Callable
from random import Random

Scramble = Callable[[bytes, Random], bytes]
"""Function that changes bytes without knowing what they are."""


def scramble(body: bytes, random: Random) -> bytes:
    """Set, cut, double or insert a few bytes."""
    found = bytearray(body)
    for _ in range(random.randint(1, 4)):
        at = random.randint(0, max(0, len(found) - 1))
        match random.randrange(6):
            case 0 | 1 | 2 if found:
                found[at] = random.choice((0, 1, 127, 128, 254, 255, random.randrange(256)))
            case 3:
                del found[at : at + random.randint(1, 16)]
            case 4:
                found[at:at] = found[at : at + random.randint(1, 64)]
            case _:
                found[at:at] = random.randbytes(random.randint(1, 8))
    return bytes(found)
