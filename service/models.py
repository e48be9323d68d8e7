"""The stores that are served, by name."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from mutant_store.errors import StoreError
from mutant_store.reader import current_version
from service.errors import UnknownStoreError
from service.memory import give_back
from service.model import Model


class Models:
    """One model a store. A new version takes the place of the one before while requests go on.

    Requests stay with the version they began with: it is let go of when the last of them has ended.
    """

    def __init__(
        self,
        paths: tuple[Path, ...],
        open_model: Callable[[Path, Model | None], Model],
        grace_seconds: float,
    ) -> None:
        """Load every store.

        Args:
            paths: the stores' directories; the first is the default.
            open_model: loads the current version of one, in place of a version of it or of none.
            grace_seconds: how long a model may take to finish what it has: a run may hang.

        Raises:
            StoreError: a store does not load, or two have the same name.
        """
        self._open, self._grace, self._running = open_model, grace_seconds, False
        self._models: dict[str, Model] = {}
        self._leases: Counter[Model] = Counter()
        self._retired: set[Model] = set()
        self._loading: dict[str, asyncio.Lock] = {}
        self._closing: set[asyncio.Task[None]] = set()
        for path in paths:
            model = open_model(path, None)
            if model.name in self._models:
                raise StoreError(
                    f"{path} and {self._models[model.name].path} are both named '{model.name}'; build one of them "
                    "under another name (the last part of --out), or serve them from two servers"
                )
            self._models[model.name] = model

    @property
    def default(self) -> Model:
        """The model of requests that name none."""
        return next(iter(self._models.values()))

    @property
    def names(self) -> list[str]:
        """Names of the stores, the default first."""
        return list(self._models)

    def __iter__(self) -> Iterator[Model]:
        """The models that take requests."""
        return iter(self._models.values())

    @property
    def everything(self) -> list[Model]:
        """Also those that only finish what they have."""
        return [*self._models.values(), *self._retired]

    def get(self, name: str | None) -> Model:
        """The model of a name, or the default.

        Raises:
            UnknownStoreError: there is none of that name.
        """
        if name is None:
            return self.default
        found = self._models.get(name)
        if found is None:
            raise UnknownStoreError(
                f"there is no store '{name[:64]}'; this server has {', '.join(self.names)}"
            )
        return found

    @contextmanager
    def lease(self, name: str | None) -> Iterator[Model]:
        """The model of a name for the length of a request: it is not let go of before."""
        model = self.get(name)
        self._leases[model] += 1
        try:
            yield model
        finally:
            self._leases[model] -= 1
            if not self._leases[model]:
                del self._leases[model]
                self._let_go()

    def start(self, event_loop: asyncio.AbstractEventLoop | None) -> None:
        """Start every inference loop; see :meth:`service.model.Model.start`."""
        self._running = True
        for model in self:
            model.start(event_loop)

    async def load(self, name: str) -> Model:
        """Serve the current version of a store; the one that is there already is kept.

        Raises:
            UnknownStoreError: there is no store of that name.
            StoreError: the version does not load; the one before goes on.
        """
        before = self.get(name)
        async with self._loading.setdefault(name, asyncio.Lock()):
            before = self._models[name]
            if before.ready and await asyncio.to_thread(current_version, before.path) == before.version:
                return before
            model = await asyncio.to_thread(self._open, before.path, before)
            if model.name != name:
                raise StoreError(f"{before.path} is now named '{model.name}'; serve it from a new server")
            if self._running:
                model.start(asyncio.get_running_loop())
            self._models[name] = model
            self._retired.add(before)
            self._let_go()
        structlog.get_logger().info("store loaded", store=name, version=model.version, before=before.version)
        return model

    async def close(self) -> None:
        """Finish what is in flight everywhere and stop."""
        self._running = False
        self._retired.update(self._models.values())
        closing = (asyncio.to_thread(model.close, self._grace) for model in self._retired)
        await asyncio.gather(*closing, *self._closing)
        self._retired.clear()

    def _let_go(self) -> None:
        for model in [model for model in self._retired if not self._leases[model]]:
            self._retired.discard(model)
            task = asyncio.get_running_loop().create_task(_close(model, self._grace))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)


async def _close(model: Model, seconds: float) -> None:
    """Let go of a model, and of its memory now: its parts know each other, and Python looks for such seldom."""
    await asyncio.to_thread(model.close, seconds)
    del model
    await asyncio.to_thread(give_back)
