"""Cost of a policy on clean images: mutants, and work as passes of the classifier."""

import numpy as np

from mutant_guard.decision.calibration.simulation import run_recorded
from mutant_guard.decision.evidence.kinds import Doubts
from mutant_guard.decision.sequential.policies import Policy
from mutant_guard.store.reader import Store
from mutant_store.calibrating.recordings import kept_recordings


def clean_cost(store: Store, policy: Policy) -> tuple[float, float]:
    """Return the mean mutants of a clean image, and its mean work as passes of the classifier.

    Images are those that certified the store's policies and that the classifier labels rightly,
    with mutants in random orders of the store's ranks. The classifier itself is a pass. Companions
    and robust mutants take as much as the manifest says, and any other mutant one pass.
    """
    manifest = store.manifest
    certification = kept_recordings(store)["certification"].only_correct()
    if isinstance(policy.evidence, Doubts):
        certification = certification.weighted(policy.evidence.weights)
    used = run_recorded(policy, certification.reordered(manifest.seed, manifest.ranks)).mutants
    work = np.ones(manifest.mutants)
    own = {companion.mutant: companion.relative_cost for companion in manifest.companions}
    own |= {robust.mutant: robust.relative_cost for robust in manifest.robust}
    for number, cost in own.items():
        work[number - 1] = cost
    ranks = np.array(manifest.ranks or [0] * manifest.mutants)
    for rank in np.unique(ranks):  # which mutants of a rank an image meets is drawn
        work[ranks == rank] = work[ranks == rank].mean()
    after = 1 + np.concatenate([[0.0], np.cumsum(work[np.argsort(ranks, kind="stable")])])
    return float(used.mean()), float(after[used].mean())
