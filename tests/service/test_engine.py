"""The engine: which device is taken, which cores are used, and that the bank has run once."""

import onnxruntime
import pytest
from structlog.testing import capture_logs

from mutant_store.bank_session import BankSession
from mutant_store.reader import Store
from service.engine import DeviceError, load_engine, providers
from service.settings import Device

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


@pytest.mark.parametrize(
    ("there", "device", "taken"),
    [
        ([CUDA, CPU], "auto", [CUDA, CPU]),
        ([CUDA, CPU], "cuda", [CUDA, CPU]),
        ([CUDA, CPU], "cpu", [CPU]),
        ([CPU], "auto", [CPU]),
        ([CPU], "cpu", [CPU]),
        (["TensorrtExecutionProvider", CPU], "auto", [CPU]),
    ],
)
def test_cuda_is_taken_where_it_is_there_and_not_declined(
    there: list[str], device: Device, taken: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: there)
    assert providers(device) == taken


def test_cuda_that_is_asked_for_and_not_built_in_is_refused_with_the_remedy(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CPU])
    with pytest.raises(DeviceError, match=r"install mutant-guard\[gpu\], or use --device cpu"):
        load_engine(store, device="cuda", threads=1)


def test_cuda_that_is_asked_for_and_does_not_start_is_refused_with_the_remedy(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As onnxruntime does with a driver that does not fit: it goes on with the CPU."""
    on_cpu = store.session(threads=1)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])
    monkeypatch.setattr(Store, "session", lambda *_, **__: on_cpu)
    with pytest.raises(DeviceError, match="check the driver and the CUDA libraries, or use --device cpu"):
        load_engine(store, device="cuda", threads=1)
    assert load_engine(store, device="auto", threads=1) is on_cpu


def test_a_loaded_engine_has_run_once_and_said_what_it_runs_on(store: Store) -> None:
    with capture_logs() as logs:
        session = load_engine(store, device="cpu", threads=1)
    assert session.provider == CPU
    assert session.runs == 1
    assert [(entry["event"], entry["provider"], entry["version"]) for entry in logs] == [
        ("engine loaded", CPU, store.version)
    ]


@pytest.mark.parametrize(("threads", "used"), [(3, 3), (0, 5)])
def test_the_threads_are_those_asked_for_else_the_cores_there_are(
    threads: int, used: int, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, asked = store.session(threads=1), list[int]()

    def opened(self: Store, *, providers: list[str], threads: int) -> BankSession:
        asked.append(threads)
        return session

    monkeypatch.setattr("service.engine.available_cores", lambda: 5)
    monkeypatch.setattr(Store, "session", opened)
    load_engine(store, device="cpu", threads=threads)
    assert asked == [used]
