"""A store of retrained mutants that processes made, to which clusters are compared."""

from tests.mutant_store.retraining.conftest import retrained_store  # noqa: F401
from tests.support.retraining import trained_on_one_thread  # noqa: F401
