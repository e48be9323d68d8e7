"""Registry of the stores that are served, by name."""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mutant_guard.errors import StoreError, UnknownStoreError
from mutant_guard.runtime.memory import give_back
from mutant_guard.runtime.model import Model
from mutant_guard.runtime.observer import Observer
from mutant_guard.store.reader import current_version


class ModelRegistry:
    """Models of all stores; a new version of a store replaces the old one without a break.

    Requests stay with the version they started with. A version is closed when the last of its
    requests has ended. Every method may be called from any thread.
    """

    def __init__(
        self,
        paths: tuple[Path, ...],
        open_model: Callable[[Path, Model | None], Model],
        grace_seconds: float,
        observer: Observer,
    ) -> None:
        """Load every store.

        Args:
            paths: the stores' directories; the first is the default.
            open_model: function that loads the current version of a store, given its path and the
                version that it replaces, or None.
            grace_seconds: seconds that a model may take to finish its requests: a run may hang.
            observer: object that is told of every version that is loaded.

        Raises:
            StoreError: a store does not load, or two stores have the same name.
        """
        self._open, self._grace, self._observer = open_model, grace_seconds, observer
        self._lock = threading.Lock()
        self._started = self._closed = False
        self._event_loop: asyncio.AbstractEventLoop | None = None
        self._models: dict[str, Model] = {}
        self._leases: Counter[Model] = Counter()
        self._retired: set[Model] = set()
        self._closing: set[threading.Thread] = set()
        for path in paths:
            model = open_model(path, None)
            if model.name in self._models:
                raise StoreError(
                    f"{path} and {self._models[model.name].path} are both named '{model.name}'; build one of them "
                    "under another name (the last part of --out), or serve them from two servers"
                )
            self._models[model.name] = model
        self._loading = {name: threading.Lock() for name in self._models}
        for model in self:
            observer.loaded(model.store, model.policy)

    @property
    def default(self) -> Model:
        """Model for requests that name no store."""
        return next(iter(self._models.values()))

    @property
    def names(self) -> list[str]:
        """Names of the stores, the default first."""
        return list(self._models)

    def __iter__(self) -> Iterator[Model]:
        """Iterate over the models that take requests."""
        return iter(self._models.values())

    @property
    def everything(self) -> list[Model]:
        """All models, also those that only finish their requests."""
        with self._lock:
            return [*self._models.values(), *self._retired]

    def get(self, name: str | None) -> Model:
        """Return the model of a store name, or the default for None.

        Raises:
            UnknownStoreError: no store has that name.
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
        """Hold the model of a store name for the length of a request: it is not closed before.

        Raises:
            UnknownStoreError: no store has that name.
        """
        with self._lock:
            model = self.get(name)
            self._leases[model] += 1
        try:
            yield model
        finally:
            with self._lock:
                self._leases[model] -= 1
                if not self._leases[model]:
                    del self._leases[model]
                    self._let_go()

    def start(self, event_loop: asyncio.AbstractEventLoop | None) -> None:
        """Start every inference loop, once; see ``Model.start``."""
        if self._started:  # asked with every request, so without the lock
            return
        with self._lock:
            if self._started or self._closed:
                return
            self._started, self._event_loop = True, event_loop
            for model in self:
                model.start(event_loop)

    def load(self, name: str) -> Model:
        """Serve the current version of a store; keep it if it is served already. Takes seconds.

        Raises:
            UnknownStoreError: no store has that name.
            StoreError: the new version does not load; the version before stays in use.
        """
        self.get(name)
        with self._loading[name]:
            before = self._models[name]
            if before.ready and current_version(before.path) == before.version:
                return before
            model = self._open(before.path, before)
            if model.name != name:
                raise StoreError(f"{before.path} is now named '{model.name}'; serve it from a new server")
            self._observer.loaded(model.store, model.policy)
            with self._lock:
                if self._started and not self._closed:
                    model.start(self._event_loop)
                self._models[name] = model
                self._retired.add(before)
                self._let_go()
        self._observer.note("store loaded", store=name, version=model.version, before=before.version)
        return model

    def close(self) -> None:
        """Finish the requests in flight of all models, and stop.

        Do not call it in the event loop that runs take turns with.
        """
        with self._lock:
            self._closed = True
            self._retired.update(self._models.values())
            left = list(self._retired)
            self._retired.clear()
            for model in left:
                self._close(model, free=False)
            closing = list(self._closing)
        for thread in closing:
            thread.join()

    def _let_go(self) -> None:
        """Close the retired models that no request uses any more. The caller holds the lock."""
        for model in [model for model in self._retired if not self._leases[model]]:
            self._retired.discard(model)
            self._close(model, free=True)

    def _close(self, model: Model, *, free: bool) -> None:
        thread = threading.Thread(target=self._end, args=(model, free), name="let-go", daemon=True)
        self._closing.add(thread)
        thread.start()

    def _end(self, model: Model, free: bool) -> None:
        """Close a model; free its memory now where others go on.

        Its parts refer to each other, and Python seldom collects such cycles.
        """
        model.close(self._grace)
        del model
        if free:
            give_back()
        with self._lock:
            self._closing.discard(threading.current_thread())
