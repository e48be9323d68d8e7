"""The loaded mutant bank on the device it runs on."""

from math import inf

import numpy as np
import onnxruntime
import structlog
from numpy.typing import NDArray

from detection.policies import Policy
from mutant_store.bank_session import BankSession
from mutant_store.errors import GuardError
from mutant_store.reader import Store
from mutant_store.workers import Workers
from service.outcome import Request
from service.row_budget import RowBudget, measured_most, measured_shares
from service.scheduler import Scheduler
from service.settings import Device, Settings

_IMAGES_TOGETHER = 64

_CUDA, _CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


class DeviceError(GuardError):
    """The device asked for is not there."""


def load_engine(store: Store, *, device: Device, workers: Workers) -> BankSession:
    """Load a store's bank on a device, run it once, and log which provider was taken.

    Raises:
        DeviceError: ``cuda`` was asked for and onnxruntime has no CUDA provider.
    """
    session = store.session(providers=providers(device), workers=workers)
    if device == "cuda" and session.provider != _CUDA:
        raise DeviceError(
            "onnxruntime could not start CUDA; check the driver and the CUDA libraries, or use --device cpu"
        )
    session.warm(_noise(store, 1))
    structlog.get_logger().info(
        "engine loaded", store=store.name, version=store.version, provider=session.provider
    )
    return session


def row_budget(session: BankSession, store: Store, policy: Policy, settings: Settings) -> RowBudget:
    """How runs are filled: what the settings say, and for the rest what a short measurement finds best.

    Warms every size of a run on the way. Which sizes are found changes how fast answers come, and never an answer.
    """
    most = settings.max_batch_rows or measured_most(
        session, _noise(store, _IMAGES_TOGETHER), store.manifest.mutants
    )
    fill = settings.batch_rows
    if fill is not None or policy.stops:
        return RowBudget(most, fill=fill)
    scheduler = Scheduler(session, policy, max_in_flight=1, budget=RowBudget(most))
    orders = np.random.default_rng(0).permuted(
        np.tile(np.arange(1, store.manifest.mutants + 1), (_IMAGES_TOGETHER, 1)), axis=1
    )

    def step(requests: int, mutants: int) -> float:
        images = _noise(store, requests)
        waiting = [
            Request(images[n : n + 1], orders[n], deadline=inf, submitted=0.0) for n in range(requests)
        ]
        return scheduler.rehearse(waiting, mutants)

    look_ahead = int(policy.look_ahead(np.zeros(1, np.int64), np.zeros(1, np.int64))[0])
    shares = measured_shares(step, look_ahead, most)
    structlog.get_logger().info("runs measured", store=store.name, most_rows=most, shares=shares)
    return RowBudget(most, shares=shares)


def _noise(store: Store, images: int) -> NDArray[np.float32]:
    """So many images of noise as the classifier's input."""
    spec = store.manifest.input
    shape = (images, spec.height, spec.width, spec.channels)
    return spec.tensor(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))


def providers(device: Device) -> list[str | tuple[str, dict[str, str]]]:
    """Execution providers in order of preference. CUDA without TF32, whose rounding would change labels.

    Raises:
        DeviceError: ``cuda`` was asked for and this onnxruntime was built without it.
    """
    there = _CUDA in onnxruntime.get_available_providers()
    if device == "cuda" and not there:
        raise DeviceError(
            "this onnxruntime has no CUDA provider; install mutant-guard[gpu], or use --device cpu"
        )
    return [(_CUDA, {"use_tf32": "0"}), _CPU] if there and device != "cpu" else [_CPU]
