"""The measurement when a store is loaded.

It covers what the measurement finds, what the settings fix, and that no answer depends on it.
"""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from mutant_guard.bank.bank_session import BankSession
from mutant_guard.runtime.options import Options
from mutant_guard.runtime.scheduling.profile import measure_runs
from mutant_guard.runtime.scheduling.row_budget import MOST_ROWS, RowBudget
from mutant_guard.store.reader import Store, load_store
from service.guard_service import guard_options
from tests.support.service import LOGGING, settings_for

MEASURED = {"batch_rows": None, "max_batch_rows": None, "inline_ms": 5.0}


def options_for(store: Path, **changes: object) -> Options:
    return Options(**guard_options(settings_for(store, **changes)))


@pytest.fixture
def session(store: Store) -> BankSession:
    return store.session(threads=1)


def test_what_the_settings_say_is_not_measured(store: Store, session: BankSession) -> None:
    settings = options_for(store.path, batch_rows=5, max_batch_rows=7)
    found = measure_runs(session, store, store.policy("calibrated"), settings)
    assert found.budget == RowBudget(7, fill=5)
    assert found.seconds == float("inf")
    assert (session.runs, session.seconds) == (0, 0)


def test_without_settings_everything_is_and_every_size_has_run(store: Store, session: BankSession) -> None:
    with capture_logs() as logs:
        found = measure_runs(
            session, store, store.policy("calibrated"), options_for(store.path, **MEASURED), LOGGING
        )
    assert 1 <= found.budget.fill <= found.budget.most <= MOST_ROWS
    assert 0 < found.seconds < 10
    assert session.runs >= 100  # ten sizes, five times each, alone and with many
    (told,) = logs
    assert (told["event"], told["store"]) == ("runs measured", "digits")
    assert (told["rows"], told["rows_when_idle"]) == (found.budget.most, found.budget.fill)
    assert told["milliseconds"] == pytest.approx(found.seconds * 1000, abs=0.01)


@pytest.mark.parametrize(
    ("changes", "fixed"),
    [
        ({"batch_rows": 9}, {"fill": 9}),
        ({"max_batch_rows": 100}, {"most": 100}),
        ({"batch_rows": 9, "max_batch_rows": 100}, {"fill": 9, "most": 100}),
    ],
)
def test_what_one_setting_leaves_open_is_measured(
    changes: dict[str, object], fixed: dict[str, int], store: Store, session: BankSession
) -> None:
    with capture_logs():
        found = measure_runs(
            session, store, store.policy("calibrated"), options_for(store.path, **MEASURED | changes)
        )
    assert {name: getattr(found.budget, name) for name in fixed} == fixed
    assert found.seconds < 10
    assert session.runs > 0


@pytest.mark.parametrize("batch_rows", [None, 64])
def test_where_a_policy_has_stops_no_run_is_filled_up(batch_rows: int | None, retrained_store: Path) -> None:
    soft = load_store(retrained_store)
    policy = soft.policy("calibrated")
    assert policy.stops
    for changes in ({"max_batch_rows": 512, "inline_ms": 0.0}, MEASURED):
        settings = options_for(retrained_store, **changes | {"batch_rows": batch_rows})
        with capture_logs():
            budget = measure_runs(soft.session(threads=1), soft, policy, settings).budget
        assert budget.fill == 1


@pytest.mark.parametrize("limit", [1, 3, 1000])
def test_runs_are_measured_under_any_limit_on_mutants(limit: int, store: Store, session: BankSession) -> None:
    policy = store.policy("calibrated").up_to(limit)
    with capture_logs():
        found = measure_runs(session, store, policy, options_for(store.path, **MEASURED))
    assert found.budget.fill <= 4 * policy.mutants
