"""Files that a bank is stored in."""

from safetensors.numpy import save

from mutant_guard.bank.pool import pack
from mutant_guard.store.manifest import TailEntry
from mutant_guard.store.reader import BANK, MUTANTS, PARAMETERS, PREFIX, WEIGHTS
from mutant_store.bank.builder import Bank, Weights
from mutant_store.bank.weights_file import WeightsFile
from mutant_store.graph.row_bytes import note_row_bytes


def bank_files(bank: Bank) -> tuple[dict[str, bytes], list[TailEntry]]:
    """Return the contents of a bank's files by name, and the manifest's entries for the tails.

    The original's parameters are stored with the mutants only where some mutants change a part of
    them.
    """
    arrays = pack(bank.pool)
    if any(tail.weights is Weights.PATCHED for tail in bank.tails):
        arrays[PARAMETERS] = bank.parameters.values
    weights = WeightsFile(WEIGHTS)
    files = {
        PREFIX: weights.moved(note_row_bytes(bank.prefix)).SerializeToString(deterministic=True),
        MUTANTS: save(arrays),
    }
    tails = []
    for number, tail in enumerate(bank.tails):
        name = BANK.format(number)
        files[name] = weights.moved(note_row_bytes(tail.model)).SerializeToString(deterministic=True)
        entry = TailEntry(
            file=name,
            shared=tail.shared,
            features=tail.features,
            mutants=tail.mutants,
            own_graph=tail.weights is Weights.OWN_GRAPH,
        )
        tails.append(entry)
    if weights.content:  # it is empty where every constant is small
        files[WEIGHTS] = bytes(weights.content)
    return files, tails
