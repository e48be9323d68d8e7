"""Memory of the latest queries in one process, by their fingerprints."""

from collections import Counter, OrderedDict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.probing.clue import NOTHING
from service.probing.fingerprint import EDITED, SKETCH, TABLES, WINDOWS, Print, distances, shared
from service.probing.latest import MEMBERS, Latest
from service.probing.sequence import UNKNOWN, Sequence, Thresholds

_BUCKET = 4
"""Entries of a bucket, the latest first; a new entry drives out the oldest."""
_WITH_DETAIL = 16
"""One in so many queries, the latest, is remembered with its detail where that is not its sketch."""
_DIGEST_TABLES = 2
"""Tables of digests, so that a repeat is found where relatives have filled all other buckets."""
_FEWEST_BITS, _MOST_BITS = 4, 22
_TAG_BITS = 8
"""Bits of a key that are kept beside an entry's number, so that few strangers have to be compared."""
_NUMBER = (1 << (32 - _TAG_BITS)) - 1
"""Largest number of a query in the tables, which keep numbers modulo one more."""
_TAG = np.uint32(0xFFFFFFFF ^ _NUMBER)
"""Bits of a key's tag, and of an entry's; the place of the bucket is taken from the key's top bits."""


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What the memory knows of a query.

    Attributes:
        sequence: sequence that the query belongs to; one of its own where it has no relatives.
        repeat: whether equal pixels were asked before; such a query counts nowhere.
        number: number of the query, or of the one that it repeats.
    """

    sequence: Sequence
    repeat: bool
    number: int


class QueryMemory:
    """Latest queries, their near relatives, and the sequences that they form.

    Queries lie in a ring of arrays, and tables of small buckets lead to them: an entry takes about
    450 bytes, and no Python object. Queries that came before the ring went round, or longer ago
    than the time limit, are forgotten. Only sequences of two queries and more are objects; of these
    the ones without a query for longest are dropped where there are too many.

    It belongs to one thread, the one of the event loop, and is not safe in several.
    """

    def __init__(
        self,
        entries: int,
        seconds: float,
        *,
        radius: float,
        thresholds: Thresholds = Thresholds(),  # noqa: B008
        sequences: int = 10_000,
    ) -> None:
        """Make an empty memory.

        Args:
            entries: number of queries it remembers; the next power of two is taken, from 16
                to 4,194,304.
            seconds: longest time it remembers a query, in seconds.
            radius: largest distance of relatives; see ``Fingerprint.radius``.
            thresholds: when a sequence is an attack.
            sequences: number of sequences with relatives that it keeps.
        """
        bits = min(max(_FEWEST_BITS, (entries - 1).bit_length()), _MOST_BITS)
        self._seconds, self._radius, self._thresholds = seconds, radius, thresholds
        self._most_sequences = sequences
        self._capacity = 1 << bits
        self._mask = self._capacity - 1
        buckets = bits - 1
        # A table for each token and digest word, and one of eightfold size for all windows.
        tables = TABLES + _DIGEST_TABLES
        self._table = np.zeros(((tables + WINDOWS) << buckets, _BUCKET), np.uint32)
        self._starts = (np.minimum(np.arange(tables + WINDOWS), tables) << buckets).astype(np.uint64)
        widths = np.where(np.arange(tables + WINDOWS) < tables, 1, WINDOWS) << buckets
        self._shifts = (65 - np.frexp(widths)[1]).astype(np.uint64)
        # What is made of each query, to save the time of making arrays.
        self._keys = np.empty(tables + WINDOWS, "<u8")
        self._tag_bits = self._keys.view("<u4")[::2]
        self._found = np.empty(tables + WINDOWS, np.uint64)
        self._places = self._found.view(np.int64)
        self._tags = np.empty((tables + WINDOWS, 1), np.uint32)
        self._rows = np.empty((tables + WINDOWS, _BUCKET), np.uint32)
        self._sketches = np.zeros((self._capacity, SKETCH), np.uint8)
        self._windows = np.zeros((self._capacity, WINDOWS), np.uint64)
        self._digests = np.zeros(self._capacity, np.uint64)
        self._times = np.full(self._capacity, -np.inf)
        # The system lends the memory where details are written.
        self._details = np.zeros((max(self._capacity // _WITH_DETAIL, MEMBERS), SKETCH), np.uint8)
        self._sequence_of = np.zeros(self._capacity, np.int64)
        self._labels = np.full(self._capacity, UNKNOWN, np.int32)
        self._alarms = np.zeros(self._capacity, np.bool_)
        self._confidences = np.zeros(self._capacity, np.float32)
        # Zeros in the tables are entries that are too old.
        self._next = 2 * self._capacity
        self._sequences: OrderedDict[int, Sequence] = OrderedDict()
        self._latest: dict[int, Latest] = {}

    @property
    def capacity(self) -> int:
        """Number of queries it remembers at most."""
        return self._capacity

    @property
    def nbytes(self) -> int:
        """Size of all arrays, in bytes; the system lends the memory as it fills."""
        arrays = (value for value in vars(self).values() if isinstance(value, np.ndarray))
        return sum(value.nbytes for value in arrays if value.base is None)

    @property
    def sequences(self) -> list[Sequence]:
        """Sequences of two queries and more, the one with the latest query last."""
        return list(self._sequences.values())

    def seen(self, print_: Print, digest: bytes, caller: str, now: float) -> Seen:
        """Remember a query, and find the sequence that it belongs to.

        Args:
            print_: fingerprint of its pixels.
            digest: hash of its pixels, at least 16 bytes.
            caller: who asks, by key or address.
            now: time in seconds, of a clock that does not go back.
        """
        words = np.frombuffer(digest, "<u8", _DIGEST_TABLES)
        keys, tags, places = self._keys, self._tags, self._places
        keys[:TABLES], keys[TABLES:-WINDOWS], keys[-WINDOWS:] = print_.tokens, words, print_.windows
        if not keys[-1]:
            # Places of windows that a flat image lacks, where no other image looks.
            keys[keys == 0] = words[1]
        np.right_shift(keys, self._shifts, out=self._found)
        self._found += self._starts
        # The top byte of an entry is the key's tag, the others are the query's number.
        np.bitwise_and(self._tag_bits, _TAG, out=tags[:, 0])
        rows = self._table.take(places, axis=0)
        numbers = rows ^ tags
        tagged = numbers <= _NUMBER
        entry, edited = -1, False
        if np.count_nonzero(tagged):
            found = self._alive(numbers[tagged], now)
            if found:
                if np.count_nonzero(tagged[TABLES:-WINDOWS]):
                    for same in found:
                        if self._digests[same] == words[0]:
                            return self._repeated(same)
                entry, edited = self._relative(print_, found, numbers[-WINDOWS:][tagged[-WINDOWS:]])
        # Before the query is remembered: it may take the place of its relatives.
        sequence = self._sequence(entry, print_) if entry >= 0 else None
        latest = None if sequence is None or sequence.probing else self._latest[sequence.number]
        number = self._remember(print_, words[0], now, rows)
        if sequence is None:
            return Seen(Sequence(number, now, self._thresholds), False, number)
        sequence.join(caller, now, edited=edited, clue=NOTHING if latest is None else latest.clue(print_))
        if latest is not None:
            latest.add(print_.detail)
        self._sequence_of[number & self._mask] = sequence.number
        return Seen(sequence, False, number)

    def answered(self, seen: Seen, label: int, alarm: bool, confidence: float) -> None:
        """Count the answer to a query; that to a repeat counts nowhere.

        Args:
            seen: what ``seen`` returned for the query.
            label: label that was answered.
            alarm: whether the verdict was an alarm.
            confidence: the classifier's confidence in the label, 0 to 1.
        """
        if seen.repeat:
            return
        entry = seen.number & self._mask
        if self._next - seen.number <= self._capacity:
            self._labels[entry], self._alarms[entry] = label, alarm
            self._confidences[entry] = confidence
        sequence = self._sequences.get(seen.sequence.number, seen.sequence)
        sequence.answered(label, alarm, confidence)

    def _alive(self, numbers: NDArray[np.uint32], now: float) -> list[int]:
        """Return the entries of numbers, each once, that are not too old."""
        mask, capacity, latest, times = self._mask, self._capacity, self._next, self._times
        oldest = now - self._seconds
        return [
            number & mask
            for number in set(numbers.tolist())
            if (latest - number) & _NUMBER <= capacity and times[number & mask] >= oldest
        ]

    def _relative(self, print_: Print, found: list[int], windows: NDArray[np.uint32]) -> tuple[int, bool]:
        """Return the nearest relative, or -1, and whether the query is another one edited.

        A relative that has others is preferred, so that two sequences grow together.

        Args:
            print_: fingerprint of the query.
            found: entries that may be relatives.
            windows: numbers that the buckets of the query's windows hold, some more than once.
        """
        gaps = distances(print_.sketch, self._sketches.take(found, axis=0))
        nearest = int(gaps.argmin())
        entry = found[nearest] if gaps[nearest] <= self._radius else -1
        if entry >= 0 and len(found) > 1 and self._sequence_number(entry) not in self._sequences:
            for place in np.flatnonzero(gaps <= self._radius).tolist():
                if self._sequence_number(found[place]) in self._sequences:
                    entry = found[place]
                    break
        if len(windows) < EDITED:
            return entry, False
        # Entries that are in as many buckets as an edited one.
        times = Counter((windows & np.uint32(self._mask)).tolist())
        frequent = [one for one in found if times[one] >= EDITED]
        if frequent:
            counts = shared(print_.windows, self._windows[frequent])
            most = int(counts.argmax())
            if counts[most] >= EDITED:
                return (entry if entry >= 0 else frequent[most]), True
        return entry, False

    def _sequence_number(self, entry: int) -> int:
        """Return the number of the sequence of a remembered query."""
        return int(self._sequence_of[entry])

    def _repeated(self, entry: int) -> Seen:
        """Return what is known of a query that was asked before."""
        number = self._query_number(entry)
        sequence = self._sequences.get(self._sequence_number(entry))
        if sequence is None:
            sequence = self._alone(entry)
        return Seen(sequence, True, number)

    def _sequence(self, entry: int, print_: Print) -> Sequence:
        """Return the sequence of a remembered query, which is kept from now on; a print joins it."""
        sequence = self._sequences.get(self._sequence_number(entry))
        if sequence is None:
            sequence = self._alone(entry)
            self._sequence_of[entry] = sequence.number
            self._sequences[sequence.number] = sequence
            self._latest[sequence.number] = Latest(self._detail(entry, print_))
            if len(self._sequences) > self._most_sequences:
                dropped, _ = self._sequences.popitem(last=False)
                del self._latest[dropped]
        else:
            self._sequences.move_to_end(sequence.number)
        return sequence

    def _detail(self, entry: int, print_: Print) -> NDArray[np.uint8]:
        """Return the detail of a remembered query whose image is as large as that of a print, if it is known."""
        if print_.detail is print_.sketch:
            return self._sketches[entry : entry + 1]
        number, kept = self._query_number(entry), len(self._details)
        place = number % kept
        return self._details[place : place + (self._next - number <= kept)]

    def _query_number(self, entry: int) -> int:
        """Return the number of the query that an entry is of."""
        return self._next - 1 - ((self._next - 1 - entry) & self._mask)

    def _alone(self, entry: int) -> Sequence:
        """Return a remembered query as a sequence of its own."""
        number = self._query_number(entry)
        sequence = Sequence(number, float(self._times[entry]), self._thresholds)
        label = int(self._labels[entry])
        if label != UNKNOWN:
            sequence.answered(label, bool(self._alarms[entry]), float(self._confidences[entry]))
        return sequence

    def _remember(self, print_: Print, key: np.uint64, now: float, rows: NDArray[np.uint32]) -> int:
        """Enter a query into the ring and the tables, and return its number.

        Args:
            print_: fingerprint of the query.
            key: first word of its digest.
            now: its time.
            rows: uint32 [keys, bucket], the buckets of its keys as they are.
        """
        number = self._next
        self._next += 1
        entry = number & self._mask
        self._sketches[entry] = print_.sketch
        self._windows[entry] = print_.windows
        if print_.detail is not print_.sketch:
            self._details[number % len(self._details)] = print_.detail
        self._digests[entry], self._times[entry] = key, now
        self._sequence_of[entry], self._labels[entry] = number, UNKNOWN
        self._rows[:, 1:] = rows[:, :-1]
        np.bitwise_or(self._tags[:, 0], np.uint32(number & _NUMBER), out=self._rows[:, 0])
        self._table[self._places] = self._rows
        return number
