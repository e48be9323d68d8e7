"""Number of threads that a mutant runs best with: one, or one a core."""

from collections.abc import Callable

import torch

from benchmarks.interleave import fastest, interleaved
from benchmarks.subjects import ServedStore
from mutant_guard.bank.cores import available_cores
from mutant_guard.bank.session import IMAGES, open_session
from mutant_store.bank.export import open_mutants
from mutant_store.networks import weights

_RUNS, _ROUNDS = 20, 7


def of_sessions(subject: ServedStore) -> int:
    """Return the faster number of threads for a session of the original on one image."""
    model = open_mutants(subject.store).model(0, original_names=False).SerializeToString()
    inputs = subject.store.manifest.input.tensor(subject.images[:1])

    def run(threads: int) -> Callable[[], object]:
        session = open_session(model, threads=threads)
        return lambda: [session.run(None, {IMAGES: inputs}) for _ in range(_RUNS)]

    return _faster(run)


def of_modules(subject: ServedStore) -> int:
    """Return the faster number of threads for the original as a torch module on one image."""
    network = weights.load(subject.weights).network
    inputs = torch.from_numpy(subject.store.manifest.input.tensor(subject.images[:1]))

    def run(threads: int) -> Callable[[], object]:
        def runs() -> None:
            torch.set_num_threads(threads)
            with torch.inference_mode():
                for _ in range(_RUNS):
                    network(inputs)

        return runs

    return _faster(run)


def _faster(run: Callable[[int], Callable[[], object]]) -> int:
    timings = interleaved({str(n): run(n) for n in sorted({1, available_cores()})}, _ROUNDS)
    return int(fastest(timings))
