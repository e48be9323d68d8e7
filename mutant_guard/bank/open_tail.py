"""Opening of a stored tail: the way to evaluate its rows follows from its mutants' weights.

Its imports are light: the server loads it.
"""

from collections.abc import Mapping, Sequence

from mutant_guard.bank.graph_tail import GraphTail
from mutant_guard.bank.own_tail import OwnTail
from mutant_guard.bank.pool import Mutant, is_whole, patch
from mutant_guard.bank.session import FloatArray, Providers
from mutant_guard.bank.session_tail import SessionTail
from mutant_guard.bank.shared_tail import SharedTail
from mutant_guard.bank.tail import Tail, TailRecord
from mutant_guard.bank.workers import Workers
from mutant_guard.errors import StoreError


def open_tail(
    record: TailRecord,
    pool: Sequence[Mutant],
    parameters: FloatArray | None,
    external: Mapping[str, bytes] | None,
    providers: Providers,
    classes: int,
    copies: int,
    workers: Workers | None,
) -> Tail:
    """Open the tail that a record describes.

    Args:
        record: the tail as it is stored.
        pool: the mutants; needed only where weights are not shared.
        parameters: the original's parameters, float32 [P]; needed only where mutants change some of
            them.
        external: contents of the files of external data, see ``open_session``.
        providers: execution providers in order of preference.
        classes: number of classes.
        copies: number of threads that run the tail at a time.
        workers: threads to measure with, see ``open_measured``.

    Raises:
        ModelError: onnxruntime cannot load the graph.
        StoreError: mutants of the tail are missing from the pool.
    """
    if record.own_graph:
        return GraphTail(
            record.model, record.features, providers=providers, external=external, workers=workers
        )
    if record.shared:
        return SharedTail(
            record.model, record.features, providers=providers, external=external, workers=workers
        )
    choices = [pool[number - 1].choice for number in record.mutants if number <= len(pool)]
    complete = len(choices) == len(record.mutants)
    if complete and all(map(is_whole, choices)):
        values = [choice["values"] for choice in choices]
        return SessionTail(
            record.model,
            record.features,
            values=values,
            classes=classes,
            providers=providers,
            external=external,
            workers=workers,
        )
    if parameters is None or not complete:
        raise StoreError(
            "the parameters of mutants with weights of their own are missing; build the store again"
        )
    patches = [patch(choice, parameters) for choice in choices]
    return OwnTail(
        record.model,
        record.features,
        original=parameters,
        patches=patches,
        classes=classes,
        providers=providers,
        copies=copies,
        external=external,
        workers=workers,
    )
