"""Service in process: the judge, then the memory of queries and its policy, as the server has them."""

import hashlib
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from evaluation.queries.config import Memory
from evaluation.queries.services.answer import Answer, Pixels, Query
from evaluation.queries.services.judge import Judged
from evaluation.queries.services.remembering import Remembering
from service.probing.memory import QueryMemory
from service.probing.sequence import UNKNOWN

Judge = Callable[[Pixels], list[Judged]]


class InProcess:
    """Service without a protocol: images at the classifier's size."""

    def __init__(
        self,
        judge: Judge,
        remembering: Remembering | None = None,
        policy: Memory = "off",
        scores: bool = True,
    ) -> None:
        """Make the service; it has no queries.

        Args:
            judge: function that labels images, with a verdict or without.
            remembering: maker of the memory; None where nothing is remembered.
            policy: what becomes of queries that belong to a campaign.
            scores: whether answers tell the confidence and the doubt.
        """
        self._judge, self._remembering, self._policy, self._scores = judge, remembering, policy, scores
        self._memory: QueryMemory | None = None
        self.forget()

    def forget(self) -> None:
        """Begin with an empty memory."""
        self._memory = None if self._remembering is None else self._remembering.memory()

    def ask(self, images: Pixels, queries: Sequence[Query]) -> list[Answer]:
        """Answer images uint8 [N, H, W, C], one after the other."""
        judged = self._judge(images)
        if self._memory is None or self._remembering is None:
            return [self._plain(one, self._scores) for one in judged]
        return [
            self._remembered(one, image, query)
            for one, image, query in zip(judged, images, queries, strict=True)
        ]

    def _plain(self, judged: Judged, scores: bool) -> Answer:
        return Answer(
            judged.label,
            judged.label,
            confidence=judged.confidence if scores else None,
            alarm=judged.alarm,
            doubt=judged.doubt if scores else None,
        )

    def _remembered(self, judged: Judged, image: NDArray[np.uint8], query: Query) -> Answer:
        memory, remembering = self._memory, self._remembering
        if memory is None or remembering is None:
            raise RuntimeError("nothing is remembered")
        digest = hashlib.sha256(image.tobytes()).digest()
        seen = memory.seen(remembering.fingerprint(image), digest, query.caller, query.seconds)
        sequence = seen.sequence
        probing, related = sequence.probing, sequence.related
        if probing and self._policy == "429":
            return Answer(None, None, probing=True, refused=True)
        memory.answered(seen, judged.label, judged.alarm, judged.confidence)
        plain = self._plain(judged, self._scores and not (probing and self._policy in {"no-scores", "flat"}))
        label, alarm = judged.label, judged.alarm
        if probing and self._policy == "flat" and sequence.first_label != UNKNOWN:
            label, alarm = sequence.first_label, False
        return Answer(label, judged.label, plain.confidence, alarm, plain.doubt, probing, related)
