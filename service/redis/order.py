"""Order key of all replicas, kept in Redis."""

import structlog
from redis import Redis as BlockingRedis
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from mutant_guard.runtime.order import KEY_BYTES
from service.order_key import ServerOrderKey

_LOOK_SECONDS = 5
_WRONG_TYPE = "WRONGTYPE"


class SharedOrder:
    """Keeper of one order key for all replicas.

    The first replica puts its own key into Redis; the others take it from there. The key is put
    there again whenever it is gone, so that a Redis that lost its data has the key back within a
    second.
    """

    def __init__(self, key: ServerOrderKey, prefix: str = "guard") -> None:
        """Share a key.

        Args:
            key: order key in use.
            prefix: first part of the names of keys in Redis.
        """
        self._key, self._refused = key, b""
        self._name = f"{prefix}:order-key"
        # The check writes, since a Redis that answers but takes no writes (full, or a replica) is
        # of no use.
        self._look = (f"{prefix}:look", b"1")

    def first(self, redis: BlockingRedis) -> bool:
        """Compare keys before there is an event loop.

        A key that was set (``fixed``) is left alone; then the call only tests whether Redis takes
        writes.
        """
        if self._key.fixed:
            return bool(redis.set(*self._look, ex=_LOOK_SECONDS))
        try:
            self._compare(redis.set(self._name, self._key.value, nx=True, get=True))
        except ResponseError as error:
            self._refuse_type(error)
        return True

    async def look(self, redis: Redis) -> None:
        """Compare this replica's key with the key in Redis, and adopt Redis' key if it is another.

        A key that was set (``fixed``) is left alone; then the call only tests whether Redis takes
        writes.
        """
        if self._key.fixed:
            await redis.set(*self._look, ex=_LOOK_SECONDS)
            return
        try:
            self._compare(await redis.set(self._name, self._key.value, nx=True, get=True))
        except ResponseError as error:
            self._refuse_type(error)
        self._key.keep()

    def _compare(self, theirs: object) -> None:
        if not isinstance(theirs, bytes) or theirs == self._key.value:
            return
        if len(theirs) == KEY_BYTES:
            self._key.adopt(theirs)
        else:
            self._refuse(theirs)

    def _refuse_type(self, error: ResponseError) -> None:
        """Log that the key is of another type, which says that Redis answers and takes writes.

        Raises:
            ResponseError: it is another error.
        """
        if not str(error).startswith(_WRONG_TYPE):
            raise error
        self._refuse(_WRONG_TYPE.encode())

    def _refuse(self, theirs: bytes) -> None:
        if theirs != self._refused:
            self._refused = theirs
            structlog.get_logger().error(
                "what Redis holds is no order key",
                name=self._name,
                remedy=f"delete it: redis-cli DEL {self._name}",
            )
