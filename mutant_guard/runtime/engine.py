"""Loaded mutant bank on the device it runs on."""

import numpy as np
import onnxruntime

from mutant_guard.bank.bank_session import BankSession
from mutant_guard.bank.session import CPU, CUDA
from mutant_guard.bank.views import Inputs
from mutant_guard.bank.workers import Workers
from mutant_guard.errors import DeviceError, StoreError
from mutant_guard.runtime.memory import trim
from mutant_guard.runtime.observer import SILENT, Observer
from mutant_guard.runtime.options import Device
from mutant_guard.store.reader import Store

_CUDA_OPTIONS = {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}


def load_engine(
    store: Store, *, device: Device, workers: Workers, observer: Observer = SILENT
) -> BankSession:
    """Load a store's bank on a device, run it once, and tell the observer the provider in use.

    Raises:
        DeviceError: ``cuda`` is requested and onnxruntime has no CUDA provider, or cannot start it.
        StoreError: a mutant gives scores that are not finite on an image of noise.
    """
    session = store.session(providers=providers(device), workers=workers)
    trim()  # onnxruntime copied the weights, from copies that are free now
    if device == "cuda" and session.provider != CUDA:
        raise DeviceError(
            "onnxruntime could not start CUDA; check the driver and the CUDA libraries, or use --device cpu"
        )
    if not session.warm(noise(store, 1)):
        raise StoreError(
            f"the mutants in {store.path} give scores that are not finite (NaN or infinite) on an image of noise; "
            "build the store again"
        )
    observer.note("engine loaded", store=store.name, version=store.version, provider=session.provider)
    return session


def noise(store: Store, images: int) -> Inputs:
    """Return this many images of noise, as the networks of the bank read them."""
    rng = np.random.default_rng(0)
    shapes = [(images, spec.height, spec.width, spec.channels) for spec in store.manifest.inputs]
    return store.manifest.tensors([rng.integers(0, 256, shape, dtype=np.uint8) for shape in shapes])


def providers(device: Device) -> list[str | tuple[str, dict[str, str]]]:
    """Return execution providers in order of preference.

    CUDA runs without TF32, whose rounding would change labels. It chooses algorithms of convolutions
    by cuDNN's rules: trying out all of them, onnxruntime's default, is done again for every number
    of rows, and a server meets many.

    Raises:
        DeviceError: ``cuda`` is requested and this onnxruntime was built without it.
    """
    there = CUDA in onnxruntime.get_available_providers()
    if device == "cuda" and not there:
        raise DeviceError(
            "this onnxruntime has no CUDA provider; install mutant-guard[gpu], or use --device cpu"
        )
    return [(CUDA, _CUDA_OPTIONS), CPU] if there and device != "cpu" else [CPU]
