"""The engine: which device is taken, that the bank has run once, and how large its runs are."""

from pathlib import Path

import onnxruntime
import pytest
from structlog.testing import capture_logs

from mutant_store.bank_session import BankSession
from mutant_store.reader import Store, open_store
from mutant_store.workers import Workers
from service.engine import DeviceError, load_engine, providers, row_budget
from service.row_budget import MOST_ROWS, RowBudget
from service.settings import Device
from tests.support.service import settings_for

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
WITHOUT_TF32 = (CUDA, {"use_tf32": "0"})


@pytest.mark.parametrize(
    ("there", "device", "taken"),
    [
        ([CUDA, CPU], "auto", [WITHOUT_TF32, CPU]),
        ([CUDA, CPU], "cuda", [WITHOUT_TF32, CPU]),
        ([CUDA, CPU], "cpu", [CPU]),
        ([CPU], "auto", [CPU]),
        ([CPU], "cpu", [CPU]),
        (["TensorrtExecutionProvider", CPU], "auto", [CPU]),
    ],
)
def test_cuda_is_taken_where_it_is_there_and_not_declined(
    there: list[str], device: Device, taken: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: there)
    assert providers(device) == taken


def test_cuda_that_is_asked_for_and_not_built_in_is_refused_with_the_remedy(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CPU])
    with pytest.raises(DeviceError, match=r"install mutant-guard\[gpu\], or use --device cpu"):
        load_engine(store, device="cuda", workers=Workers(1))


def test_cuda_that_is_asked_for_and_does_not_start_is_refused_with_the_remedy(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As onnxruntime does with a driver that does not fit: it goes on with the CPU."""
    on_cpu = store.session(threads=1)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])
    monkeypatch.setattr(Store, "session", lambda *_, **__: on_cpu)
    with pytest.raises(DeviceError, match="check the driver and the CUDA libraries, or use --device cpu"):
        load_engine(store, device="cuda", workers=Workers(1))
    assert load_engine(store, device="auto", workers=Workers(1)) is on_cpu


def test_a_loaded_engine_has_run_once_and_said_what_it_runs_on(store: Store) -> None:
    with capture_logs() as logs:
        session = load_engine(store, device="cpu", workers=Workers(1))
    assert session.provider == CPU
    assert session.runs == 1
    assert [(entry["event"], entry["provider"], entry["version"]) for entry in logs] == [
        ("engine loaded", CPU, store.version)
    ]


def test_the_bank_runs_on_the_threads_that_are_given(store: Store) -> None:
    workers = Workers(2)
    session = load_engine(store, device="cpu", workers=workers)
    session.close()
    workers.run([lambda: None, lambda: None])  # they are still there for others
    assert session._workers is workers
    workers.close()


@pytest.fixture
def fresh(store: Store) -> BankSession:
    return store.session(threads=1)


@pytest.mark.parametrize("most", [7, 512])
def test_runs_are_as_large_as_the_settings_say_and_then_nothing_is_measured(
    most: int, store: Store, fresh: BankSession
) -> None:
    settings = settings_for(store.path, batch_rows=5, max_batch_rows=most)
    budget = row_budget(fresh, store, store.policy("calibrated"), settings)
    assert budget == RowBudget(most, fill=5)
    assert (fresh.runs, fresh.seconds) == (0, 0)


def test_without_settings_runs_are_measured_and_every_size_has_run_once(
    store: Store, fresh: BankSession
) -> None:
    settings = settings_for(store.path, batch_rows=None, max_batch_rows=None)
    with capture_logs() as logs:
        budget = row_budget(fresh, store, store.policy("calibrated"), settings)
    assert budget.fill is None
    assert 1 <= budget.most <= MOST_ROWS
    assert [one for one, _ in budget.shares] == [1, 2, 4, 8, 16, 32, 64][: len(budget.shares)]
    assert fresh.runs >= 2
    assert [(entry["event"], entry["store"], entry["most_rows"], entry["shares"]) for entry in logs] == [
        ("runs measured", "digits", budget.most, budget.shares)
    ]


def test_one_of_both_may_be_set_and_the_other_is_measured(store: Store, fresh: BankSession) -> None:
    policy = store.policy("calibrated")
    filled = row_budget(fresh, store, policy, settings_for(store.path, batch_rows=9, max_batch_rows=None))
    assert (filled.fill, filled.shares) == (9, ())
    assert fresh.runs > 0
    with capture_logs():
        limited = row_budget(
            fresh, store, policy, settings_for(store.path, batch_rows=None, max_batch_rows=100)
        )
    assert (limited.most, limited.fill) == (100, None)
    assert limited.shares


def test_where_a_policy_has_stops_no_surplus_is_measured(retrained_store: Path) -> None:
    soft = open_store(retrained_store)
    settings = settings_for(retrained_store, batch_rows=None, max_batch_rows=None)
    budget = row_budget(soft.session(threads=1), soft, soft.policy("calibrated"), settings)
    assert (budget.fill, budget.shares) == (None, ())
    assert 1 <= budget.most <= MOST_ROWS
