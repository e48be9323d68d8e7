"""Training runs that stop where a test wants them to."""

from collections.abc import Callable

import pytest

from evaluation.training.trainer import Step, Trainer


def interrupt(monkeypatch: pytest.MonkeyPatch, epoch: int, step: int) -> None:
    """Make training stop abruptly in the middle of an epoch."""
    original = Trainer.run_epoch

    def run_epoch(self: Trainer, on_step: Callable[[Step], None] | None = None) -> Step:
        def stop(report: Step) -> None:
            if (report.epoch, report.step) == (epoch, step):
                raise KeyboardInterrupt
            if on_step is not None:
                on_step(report)

        return original(self, stop)

    monkeypatch.setattr(Trainer, "run_epoch", run_epoch)
