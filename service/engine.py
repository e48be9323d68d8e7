"""The loaded mutant bank on the device it runs on."""

import numpy as np
import onnxruntime
import structlog

from mutant_store.bank_session import BankSession
from mutant_store.cores import available_cores
from mutant_store.errors import GuardError
from mutant_store.reader import Store
from service.settings import Device

_CUDA, _CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


class DeviceError(GuardError):
    """The device asked for is not there."""


def load_engine(store: Store, *, device: Device, threads: int) -> BankSession:
    """Load a store's bank on a device, run it once, and log which provider was taken.

    Raises:
        DeviceError: ``cuda`` was asked for and onnxruntime has no CUDA provider.
    """
    session = store.session(providers=providers(device), threads=threads or available_cores())
    if device == "cuda" and session.provider != _CUDA:
        raise DeviceError(
            "onnxruntime could not start CUDA; check the driver and the CUDA libraries, or use --device cpu"
        )
    spec = store.manifest.input
    blank = spec.tensor(np.zeros((1, spec.height, spec.width, spec.channels), np.uint8))
    session.warm(blank)
    structlog.get_logger().info(
        "engine loaded", store=store.name, version=store.version, provider=session.provider
    )
    return session


def providers(device: Device) -> list[str]:
    """Execution providers in order of preference.

    Raises:
        DeviceError: ``cuda`` was asked for and this onnxruntime was built without it.
    """
    there = _CUDA in onnxruntime.get_available_providers()
    if device == "cuda" and not there:
        raise DeviceError(
            "this onnxruntime has no CUDA provider; install mutant-guard[gpu], or use --device cpu"
        )
    return [_CUDA, _CPU] if there and device != "cpu" else [_CPU]
