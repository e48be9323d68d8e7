"""Queries that were asked, shared between replicas through Redis."""

import json
from collections import deque
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray
from redis.asyncio import Redis
from redis.commands.core import AsyncScript

from mutant_guard.errors import one_line
from service.probing.clue import NOTHING
from service.probing.fingerprint import EDITED, SKETCH, STEPS, WINDOWS, Print
from service.probing.latest import Latest
from service.probing.memory import Seen
from service.probing.queries import OwnQueries
from service.probing.sequence import MOST_ANSWERS, MOST_CALLERS, UNKNOWN, Sequence, Thresholds
from service.redis.link import RedisDownError, RedisLink
from service.redis.query_script import LOOK

# The number goes up when the form of what is kept changes, so that replicas of two releases do not
# read each other's.
_FORM = 3
_DIGEST_TABLES = 2
_FEWEST_BITS = 4
# The table of windows, of which a query has several, is larger by so many bits.
_WIDER_BITS = np.uint64((WINDOWS - 1).bit_length())
_TAG_PLACE = 24
_MOST_SEQUENCES = 10_000
_MOST_NEWS = 1000
_MOST_SENT = 64
_ID_LENGTH = 32
_CALLER_LENGTH = 64


@dataclass(frozen=True, slots=True, eq=False)
class SharedSeen(Seen):
    """What all replicas know of a query.

    Attributes:
        first_request: id of the request that began the sequence; None where it is forgotten.
    """

    first_request: str | None


class SharedQueries:
    """Queries of all replicas; while Redis does not answer each replica remembers its own.

    A query is one call of Redis. Answers are sent along with the next query, and once a second.
    """

    def __init__(
        self,
        link: RedisLink,
        own: OwnQueries,
        *,
        name: str,
        entries: int,
        seconds: float,
        radius: float,
        thresholds: Thresholds,
    ) -> None:
        """Use a link to Redis.

        Args:
            link: link to Redis.
            own: queries of this process, for the time without Redis.
            name: name of the memory: the store and its version.
            entries: number of queries that are remembered; the next power of two is taken.
            seconds: longest time that a query is remembered, in seconds.
            radius: largest distance of relatives; see ``Fingerprint.radius``.
            thresholds: when a sequence is an attack.
        """
        self._link, self._own, self._thresholds = link, own, thresholds
        bits = max(_FEWEST_BITS, (entries - 1).bit_length())
        self._capacity, self._buckets = 1 << bits, bits - 1
        # Replicas with another number of entries, which have other places, have keys of their own.
        self._base = link.key("{queries}", _FORM, bits, name)
        self._limits = [
            self._capacity,
            repr(seconds),
            repr(radius * radius * SKETCH * STEPS**2),
            EDITED,
            _MOST_SEQUENCES,
            MOST_ANSWERS,
            MOST_CALLERS,
        ]
        self._news: deque[tuple[Any, ...]] = deque(maxlen=_MOST_NEWS)
        self._last = 0
        self._script: AsyncScript | None = None

    @property
    def entries(self) -> int:
        """Number of queries that are remembered by all replicas, as far as this one has seen."""
        return max(0, min(self._last - 2 * self._capacity, self._capacity)) or self._own.entries

    async def seen(self, print_: Print, digest: bytes, caller: str, request_id: str) -> Seen:
        """Remember a query, and find the sequence that it belongs to; see ``Queries``."""
        words = np.frombuffer(digest, "<u8", _DIGEST_TABLES)
        windows = print_.windows.astype("<u8")
        args = [
            digest[:8],
            print_.sketch.tobytes(),
            windows.tobytes(),
            *self._places(words, print_),
            _DIGEST_TABLES,
            caller[:_CALLER_LENGTH],
            request_id.encode()[:_ID_LENGTH].ljust(_ID_LENGTH),
            b"" if print_.detail is print_.sketch else print_.detail.tobytes(),
        ]
        try:
            found = self._read(await self._look(args), print_)
        except RedisDownError:
            return self._own.seen(print_, digest, caller, request_id)
        except (LookupError, TypeError, ValueError) as error:  # another hand has written there
            structlog.get_logger().warning("remembered query contradicts itself", error=one_line(error))
            return self._own.seen(print_, digest, caller, request_id)
        self._last = max(self._last, found.number)
        return found

    def answered(self, seen: Seen, label: int, alarm: bool, confidence: float) -> None:
        """Count the answer to a query; see ``Queries``."""
        if not isinstance(seen, SharedSeen):
            self._own.answered(seen, label, alarm, confidence)
        elif not seen.repeat:
            seen.sequence.answered(label, alarm, confidence)
            self._news.append(("answer", seen.number, seen.sequence.number, label, int(alarm), confidence))

    def told(self, seen: Seen) -> None:
        """Note that the sequence of a query was reported."""
        seen.sequence.told = seen.sequence.related
        if isinstance(seen, SharedSeen):
            self._news.append(("told", seen.number, seen.sequence.number, seen.sequence.related))

    def first_request(self, seen: Seen) -> str | None:
        """Return the id of the request that began a query's sequence, None where it is forgotten."""
        return seen.first_request if isinstance(seen, SharedSeen) else self._own.first_request(seen)

    def first_at(self, seen: Seen) -> float:
        """Return when the sequence of a query began, in seconds since 1970."""
        return seen.sequence.first if isinstance(seen, SharedSeen) else self._own.first_at(seen)

    async def send(self) -> None:
        """Send the answers that no query took along.

        Raises:
            RedisDownError: Redis is down.
        """
        while self._news:
            await self._look([b"", b"", b"", b"", b"", _DIGEST_TABLES, "", b"", b""])

    async def _look(self, args: list[Any]) -> Any:
        news = [self._news.popleft() for _ in range(min(len(self._news), _MOST_SENT))]
        sent = [*self._limits, json.dumps(news), *args]

        async def ask(redis: Redis) -> Any:
            if self._script is None:
                self._script = redis.register_script(LOOK)
            return await self._script(keys=[self._base], args=sent)

        return await self._link.call(ask)

    def _places(self, words: NDArray[np.uint64], print_: Print) -> tuple[bytes, bytes]:
        """Return the places of the buckets of a query (uint32), and a tag of each (uint8).

        The first are those of its digest, then come those of its tokens and windows.
        """
        windows = print_.windows[print_.windows != 0]
        keys = np.concatenate([words, print_.tokens, windows])
        single = len(keys) - len(windows)
        tables = np.minimum(np.arange(len(keys)), single).astype(np.uint64)
        bits = np.full(len(keys), self._buckets, np.uint64)
        bits[single:] += _WIDER_BITS
        places = (keys >> (np.uint64(64) - bits)) + (tables << np.uint64(self._buckets))
        tags = (keys >> np.uint64(_TAG_PLACE)).astype(np.uint8)
        return places.astype("<u4").tobytes(), tags.tobytes()

    def _read(self, said: Any, print_: Print) -> SharedSeen:
        """Return what the script said of a query, with what its place among the latest ones says."""
        repeat, number, name, fields, began, label, alarm, confidence, request = said
        known = dict(zip(fields[::2], fields[1::2], strict=True))
        sequence = Sequence(int(name), float(began), self._thresholds)
        if not known:
            if label != UNKNOWN:
                sequence.answered(label, bool(alarm), float(confidence))
            return SharedSeen(sequence, bool(repeat), int(number), request.decode().strip() or None)
        _restore(sequence, known)
        if not repeat and not sequence.probing:
            clue = Latest(known.get(b"latest", b"")).clue(print_)
            if clue != NOTHING:
                sequence.take(clue)
                self._news.append(("clue", int(number), sequence.number, clue.halvings, int(clue.sampled)))
        first = known.get(b"first-request", b"").decode("ascii", "replace").strip("\0 ")
        return SharedSeen(sequence, bool(repeat), int(number), first or None)


def _restore(sequence: Sequence, known: dict[bytes, bytes]) -> None:
    """Fill a sequence with what Redis holds of it."""
    sequence.related, sequence.edited = int(known[b"related"]), int(known.get(b"edited", 0))
    sequence.halvings, sequence.sampled = int(known.get(b"halvings", 0)), int(known.get(b"sampled", 0))
    sequence.first, sequence.last = float(known[b"first"]), float(known.get(b"last", known[b"first"]))
    sequence.alarms, sequence.told = int(known.get(b"alarms", 0)), int(known.get(b"told", 0))
    sequence.first_label = int(known.get(b"first-label", UNKNOWN))
    sequence.first_alarm = known.get(b"first-alarm") == b"1"
    for field, value in known.items():
        kind, _, rest = field.partition(b":")
        if kind == b"c":
            sequence.callers[rest.decode("utf-8", "replace")] = int(value)
        elif kind == b"n":
            label, _, alarm = rest.partition(b":")
            lowest, highest = (float(known.get(b"%b:%b" % (end, rest), inf)) for end in (b"l", b"h"))
            sequence.restore(int(label), alarm == b"1", int(value), lowest, highest)
