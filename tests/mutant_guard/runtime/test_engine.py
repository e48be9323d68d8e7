"""The engine: the device it takes, its threads, and one run of the bank before it serves."""

import onnxruntime
import pytest
from structlog.testing import capture_logs

from mutant_guard.bank.workers import Workers
from mutant_guard.errors import DeviceError
from mutant_guard.runtime.engine import load_engine, providers
from mutant_guard.store.reader import Store
from service.settings import Device
from tests.support.service import LOGGING

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
WITHOUT_TF32 = (CUDA, {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"})


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
    """onnxruntime goes on with the CPU when the driver does not fit."""
    on_cpu = store.session(threads=1)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])
    monkeypatch.setattr(Store, "session", lambda *_, **__: on_cpu)
    with pytest.raises(DeviceError, match="check the driver and the CUDA libraries, or use --device cpu"):
        load_engine(store, device="cuda", workers=Workers(1))
    assert load_engine(store, device="auto", workers=Workers(1)) is on_cpu


def test_a_loaded_engine_has_run_once_and_said_what_it_runs_on(store: Store) -> None:
    with capture_logs() as logs:
        session = load_engine(store, device="cpu", workers=Workers(1), observer=LOGGING)
    assert session.provider == CPU
    assert session.runs == 1
    assert [(entry["event"], entry["provider"], entry["version"]) for entry in logs] == [
        ("engine loaded", CPU, store.version)
    ]


def test_the_bank_runs_on_the_threads_that_are_given(store: Store) -> None:
    workers = Workers(2)
    session = load_engine(store, device="cpu", workers=workers)
    session.close()
    workers.run([lambda: None, lambda: None])  # the threads are still there for others
    assert session._workers is workers
    workers.close()
