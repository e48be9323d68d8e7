"""Threads that share work: how many take part, which ones, and where failures surface."""

import threading
import time

import pytest

from mutant_guard.bank.workers import WORTH_A_THREAD, Workers


def test_the_threads_are_those_asked_for_else_the_cores_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mutant_guard.bank.workers.available_cores", lambda: 5)
    assert [Workers(threads).threads for threads in (1, 3, 0)] == [1, 3, 5]


@pytest.mark.parametrize(
    ("seconds", "threads"),
    [
        (0.0, 1),
        (WORTH_A_THREAD, 1),
        (1.9 * WORTH_A_THREAD, 1),
        (2.5 * WORTH_A_THREAD, 2),
        (3.5 * WORTH_A_THREAD, 3),
        (1.0, 3),
    ],
)
def test_every_thread_gets_work_that_is_worth_it(seconds: float, threads: int) -> None:
    assert Workers(3).worth(seconds) == threads
    assert Workers(1).worth(seconds) == 1


def test_parts_run_at_the_same_time_and_the_first_in_the_thread_that_asks() -> None:
    workers, names = Workers(3), dict[int, str]()
    together = threading.Barrier(3, timeout=10)

    def part(number: int) -> None:
        together.wait()  # no thread gets past it alone
        names[number] = threading.current_thread().name

    workers.run([lambda: part(0), lambda: part(1), lambda: part(2)])
    assert names.keys() == {0, 1, 2}
    assert names[0] == threading.current_thread().name
    assert all(names[number].startswith("mutants") for number in (1, 2))
    workers.close()


def test_a_lone_part_needs_no_other_thread() -> None:
    workers, before = Workers(4), threading.active_count()
    where: list[str] = []
    workers.run([lambda: where.append(threading.current_thread().name)])
    assert where == [threading.current_thread().name]
    assert threading.active_count() == before


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_a_failure_is_raised_once_every_part_has_ended(failing: int) -> None:
    workers, ended = Workers(3), list[int]()
    failed = threading.Event()

    def part(number: int) -> None:
        if number == failing:
            failed.set()
            raise ValueError(f"part {number}")
        assert failed.wait(10)
        threading.Event().wait(0.02)  # work that goes on after the failure
        ended.append(number)

    with pytest.raises(ValueError, match=f"part {failing}"):
        workers.run([lambda number=number: part(number) for number in range(3)])  # type: ignore[misc]
    assert sorted(ended) == [number for number in range(3) if number != failing]
    workers.run([lambda: ended.append(7), lambda: ended.append(8)])
    assert ended[-2:] in ([7, 8], [8, 7])
    workers.close()


def test_more_parts_than_threads_all_run() -> None:
    workers, done = Workers(2), list[int]()
    workers.run([lambda number=number: done.append(number) for number in range(20)])  # type: ignore[misc]
    assert sorted(done) == list(range(20))
    workers.close()


def test_idle_threads_take_no_time_of_a_core() -> None:
    """Threads of onnxruntime, in contrast, would spin."""
    workers = Workers(3)
    workers.run([lambda: None] * 3)
    before = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - before < 0.1
    workers.close()


def test_no_part_is_taken_after_the_end() -> None:
    workers = Workers(2)
    workers.close()
    with pytest.raises(RuntimeError):
        workers.run([lambda: None, lambda: None])
