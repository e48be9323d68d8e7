"""One order key for all replicas, kept in Redis."""

import structlog
from redis import Redis as BlockingRedis
from redis.asyncio import Redis

from mutant_guard.runtime.order import KEY_BYTES
from service.order_key import ServerOrderKey

_NAME = "guard:order-key"
# One that answers but takes nothing (full, or a replica) is of no use to any who ask, so looking is writing.
_LOOK = ("guard:look", b"1")
_LOOK_SECONDS = 5


class SharedOrder:
    """Sees to it that this replica has the key that the others have.

    The first replica puts its own into Redis; the others take it from there. It is put there again whenever it is
    gone, so a Redis that lost its data has it back within a second.
    """

    def __init__(self, key: ServerOrderKey) -> None:
        """Args: the key in use."""
        self._key, self._refused = key, b""

    def first(self, redis: BlockingRedis) -> bool:
        """The same before there is an event loop."""
        if self._key.fixed:
            return bool(redis.set(*_LOOK, ex=_LOOK_SECONDS))
        self._compare(redis.set(_NAME, self._key.value, nx=True, get=True))
        return True

    async def look(self, redis: Redis) -> None:
        """Compare keys; one that was set is left alone, and then this only sees whether Redis takes what it is told."""
        if self._key.fixed:
            await redis.set(*_LOOK, ex=_LOOK_SECONDS)
        else:
            self._compare(await redis.set(_NAME, self._key.value, nx=True, get=True))

    def _compare(self, theirs: object) -> None:
        if not isinstance(theirs, bytes) or theirs == self._key.value:
            return
        if len(theirs) == KEY_BYTES:
            self._key.adopt(theirs)
        elif theirs != self._refused:
            self._refused = theirs
            structlog.get_logger().error(
                "what Redis holds is no order key", name=_NAME, remedy=f"delete it: redis-cli DEL {_NAME}"
            )
