"""Review queue in Redis, one for all replicas: a capped stream, and the decisions beside it."""

from collections.abc import Iterable
from typing import Any

from redis.asyncio import Redis

from mutant_guard.wire.review import ReviewState
from service.redis.link import Ask, RedisLink
from service.review.item import Found, Item, Ruling, position
from service.review.queue import Capacity, Wanted
from service.review.scripts import ADD, REMOVE, RULE, TRIM, keys_of

# Timeout in seconds. No request for a verdict waits for any of these calls.
_SECONDS = 1.0
_CHUNK = 50


class RedisQueue:
    """Entries of the stream, in order of their ids.

    Every method raises ``RedisDownError`` where Redis is down, and ``RedisRefusedError`` where it
    refuses the call.
    """

    def __init__(self, link: RedisLink, capacity: Capacity) -> None:
        """Use a link to Redis.

        Args:
            link: link to Redis.
            capacity: how much to keep.
        """
        self._link, self._capacity, self._keys = link, capacity, keys_of(link.prefix)
        self._limits = [capacity.entries, round(capacity.seconds * 1000), capacity.image_bytes]

    async def add(self, key: str, found: Found, image: bytes | None, count: int = 1) -> bool:
        """Queue an input, or count it if its pixels are known; return whether it is new."""
        kept = self._capacity.kept(image) or b""
        return bool(await self._run(ADD, key, found.model_dump_json(), kept, str(count)))

    async def trim(self) -> None:
        """Remove what is too old or too much, also while nothing new comes."""
        await self._run(TRIM)

    async def newest(self, wanted: Wanted) -> list[Item]:
        """Return the newest of the wanted entries, the newest first."""
        found: list[Item] = await self._call(lambda redis: self._newest(redis, wanted))
        return found

    async def get(self, identifier: str) -> Item | None:
        """Return an entry, None if it is not there."""
        if position(identifier) is None:
            return None
        found: list[Item] = await self._call(lambda redis: self._items(redis, [identifier]))
        return found[0] if found else None

    async def image(self, identifier: str) -> bytes | None:
        """Return the image of an entry as a PNG, None or empty where none was kept."""
        if position(identifier) is None:
            return None
        kept: bytes | None = await self._call(lambda redis: redis.hget(self._keys.images, identifier))
        return kept

    async def rule(self, identifier: str, ruling: Ruling) -> Item | None:
        """Record a decision about an entry; return the entry, None if it is not there."""
        if position(identifier) is None:
            return None
        if not await self._run(RULE, identifier, ruling.model_dump_json()):
            return None
        return await self.get(identifier)

    async def remove(self, identifier: str) -> bool:
        """Remove an entry and its image; return whether it was there."""
        return position(identifier) is not None and bool(await self._run(REMOVE, identifier))

    async def waiting(self) -> int:
        """Return the number of open entries."""
        return int(await self._call(lambda redis: redis.zcard(self._keys.open)))

    async def _newest(self, redis: Redis, wanted: Wanted) -> list[Item]:
        before = None if wanted.before is None else position(wanted.before)
        found: list[Item] = []
        keys = self._keys
        index = keys.open if wanted.state == ReviewState.OPEN else keys.everything
        skip = 0
        while len(found) < wanted.limit:
            highest = "+inf" if before is None else _score(before)
            names: Any = await redis.zrevrangebyscore(index, highest, "-inf", start=skip, num=_CHUNK)
            if not names:
                break
            older = [name for name in (raw.decode() for raw in names) if _is_older(name, before)]
            if not older:
                skip += len(names)
                continue
            found += filter(wanted.has, await self._items(redis, older))
            # The next chunk starts at the last entry, not at a count: new entries push the others
            # down meanwhile.
            before, skip = position(older[-1]), 0
        return found[: wanted.limit]

    async def _items(self, redis: Redis, names: list[str]) -> list[Item]:
        if not names:
            return []
        async with redis.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.xrange(self._keys.stream, name, name)
            pipe.hmget(self._keys.rulings, names)
            pipe.hmget(self._keys.counts, names)
            for name in names:
                pipe.hstrlen(self._keys.images, name)
            said = await pipe.execute()
        count = len(names)
        rows = zip(names, said[:count], said[count], said[count + 1], said[count + 2 :], strict=True)
        return list(_readable(rows))

    async def _run(self, script: str, *args: str | bytes) -> Any:
        return await self._call(
            lambda redis: redis.register_script(script)(keys=list(self._keys), args=[*self._limits, *args])
        )

    async def _call(self, ask: Ask) -> Any:
        return await self._link.call(ask, seconds=_SECONDS)


def _readable(rows: Iterable[tuple[str, Any, Any, Any, Any]]) -> Iterable[Item]:
    """Yield the entries of rows, without those that this release cannot read."""
    for name, entries, ruling, count, size in rows:
        if not entries:
            continue
        try:
            found = Found.model_validate_json(entries[0][1][b"record"])
            ruled = None if ruling is None else Ruling.model_validate_json(ruling)
            seen = int(count or 1)
        except (ValueError, KeyError):
            continue
        yield Item(name, found, ruled, seen, size > 0)


def _score(at: tuple[int, int]) -> str:
    return str(at[0] * 1000 + min(at[1], 999))


def _is_older(name: str, before: tuple[int, int] | None) -> bool:
    at = position(name)
    return at is not None and (before is None or at < before)
