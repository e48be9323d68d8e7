"""The loaded mutant bank on the device it runs on."""

import numpy as np
import onnxruntime
import structlog
from numpy.typing import NDArray

from mutant_store.bank_session import BankSession
from mutant_store.errors import GuardError
from mutant_store.reader import Store
from mutant_store.session import CPU, CUDA
from mutant_store.workers import Workers
from service.settings import Device


class DeviceError(GuardError):
    """The device asked for is not there."""


def load_engine(store: Store, *, device: Device, workers: Workers) -> BankSession:
    """Load a store's bank on a device, run it once, and log which provider was taken.

    Raises:
        DeviceError: ``cuda`` was asked for and onnxruntime has no CUDA provider.
    """
    session = store.session(providers=providers(device), workers=workers)
    if device == "cuda" and session.provider != CUDA:
        raise DeviceError(
            "onnxruntime could not start CUDA; check the driver and the CUDA libraries, or use --device cpu"
        )
    session.warm(noise(store, 1))
    structlog.get_logger().info(
        "engine loaded", store=store.name, version=store.version, provider=session.provider
    )
    return session


def noise(store: Store, images: int) -> NDArray[np.float32]:
    """So many images of noise, float32 [images, …], as the classifier's input."""
    spec = store.manifest.input
    shape = (images, spec.height, spec.width, spec.channels)
    return spec.tensor(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))


def providers(device: Device) -> list[str | tuple[str, dict[str, str]]]:
    """Execution providers in order of preference. CUDA without TF32, whose rounding would change labels.

    Raises:
        DeviceError: ``cuda`` was asked for and this onnxruntime was built without it.
    """
    there = CUDA in onnxruntime.get_available_providers()
    if device == "cuda" and not there:
        raise DeviceError(
            "this onnxruntime has no CUDA provider; install mutant-guard[gpu], or use --device cpu"
        )
    return [(CUDA, {"use_tf32": "0"}), CPU] if there and device != "cpu" else [CPU]
