"""Store that is sent to the nodes of a cluster."""

import tempfile
from pathlib import Path

from mutant_guard.bank.bank_session import BankSession
from mutant_guard.store.reader import CALIBRATION, MANIFEST, Store, open_store


class SentStore:
    """Files of a store's version, which load where they were sent to as they do here."""

    def __init__(self, store: Store) -> None:
        """Read the files that a bank is loaded from, and those that say what they are.

        Args:
            store: the version.

        Raises:
            StoreError: a file is missing or changed.
        """
        self._name, self._version = store.name, store.version
        self._files = {name: store.read(name) for name in store.bank_files | {CALIBRATION}}
        self._files[MANIFEST] = store.manifest_text

    def session(self) -> BankSession:
        """Load the bank on one thread, from bytes that are checked; see ``Store.session``."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / self._name / self._version
            path.mkdir(parents=True)
            for name, content in self._files.items():
                (path / name).write_bytes(content)
            return open_store(path.parent, self._version).session(threads=1)
