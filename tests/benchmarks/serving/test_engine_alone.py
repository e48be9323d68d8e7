import pytest

from benchmarks.alternatives import threads
from benchmarks.serving import engine_alone
from benchmarks.subjects import ServedStore
from mutant_guard.bank.cores import available_cores
from mutant_guard.errors import NotReadyError
from mutant_guard.runtime.scheduling.scheduler import Scheduler


def test_the_loop_and_the_sessions_are_timed(subject: ServedStore) -> None:
    with engine_alone.engine(subject) as engine, engine_alone.sessions(subject, 1) as sessions:
        assert engine(0.1) > 0
        assert engine(0.1) > 0
        assert sessions(0.1) > 0


def test_as_many_requests_are_in_flight_as_are_said(
    subject: ServedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    submit = Scheduler.submit

    def counted(self: Scheduler, *request: object) -> object:
        future = submit(self, *request)  # type: ignore[arg-type]
        seen.append(self.in_flight)
        return future

    monkeypatch.setattr(Scheduler, "submit", counted)
    with engine_alone.engine(subject) as engine:
        engine(0.1)
    assert max(seen) == engine_alone.IN_FLIGHT


def test_a_loop_that_fails_is_not_timed(subject: ServedStore) -> None:
    with engine_alone.engine(subject) as engine:
        pass
    with pytest.raises(NotReadyError):
        engine(0.1)


def test_threads_are_one_or_all(subject: ServedStore) -> None:
    assert threads.of_sessions(subject) in (1, available_cores())
