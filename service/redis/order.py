"""Order key of all replicas, kept in Redis."""

import structlog
from redis import Redis as BlockingRedis
from redis.asyncio import Redis

from mutant_guard.runtime.order import KEY_BYTES
from service.order_key import ServerOrderKey

_NAME = "guard:order-key"
# The check writes, since a Redis that answers but takes no writes (full, or a replica) is of no
# use.
_LOOK = ("guard:look", b"1")
_LOOK_SECONDS = 5


class SharedOrder:
    """Keeper of one order key for all replicas.

    The first replica puts its own key into Redis; the others take it from there. The key is put
    there again whenever it is gone, so that a Redis that lost its data has the key back within a
    second.
    """

    def __init__(self, key: ServerOrderKey) -> None:
        """Share a key.

        Args:
            key: order key in use.
        """
        self._key, self._refused = key, b""

    def first(self, redis: BlockingRedis) -> bool:
        """Compare keys before there is an event loop.

        A key that was set (``fixed``) is left alone; then the call only tests whether Redis takes
        writes.
        """
        if self._key.fixed:
            return bool(redis.set(*_LOOK, ex=_LOOK_SECONDS))
        self._compare(redis.set(_NAME, self._key.value, nx=True, get=True))
        return True

    async def look(self, redis: Redis) -> None:
        """Compare this replica's key with the key in Redis, and adopt Redis' key if it is another.

        A key that was set (``fixed``) is left alone; then the call only tests whether Redis takes
        writes.
        """
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
