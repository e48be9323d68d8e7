"""The original and its mutants as a session each, and as an eager torch module each, on one device."""

import time
from collections.abc import Callable, Sequence

import numpy as np
import onnx2fx
import onnxruntime
import torch
from torch import nn

from mutant_guard.bank.session import IMAGES, FloatArray, open_session, outputs
from mutant_guard.bank.views import Inputs, arrays_of
from mutant_guard.runtime.engine import providers
from mutant_guard.runtime.options import Device
from mutant_store.bank.export import Mutants

Scorer = Callable[[Inputs], list[FloatArray]]
"""Function from images to the scores float32 [N, classes] of the original and of each mutant."""


LEAST = 8
"""Mutants that are measured however long they take."""


def sessions(mutants: Mutants, most: int, device: Device, until: float) -> list[onnxruntime.InferenceSession]:
    """Open a session for the original and each mutant, as many as there is time for.

    ``LEAST`` mutants are opened in any case, where there are so many.

    Args:
        mutants: mutants of a store.
        most: most mutants.
        device: device of the sessions.
        until: time, by the monotonic clock, at which no more are opened.

    Raises:
        DeviceError: onnxruntime has no provider for the device.
    """
    opened: list[onnxruntime.InferenceSession] = []
    for number in range(most + 1):
        if len(opened) > LEAST and time.monotonic() > until:
            break
        model = mutants.model(number, original_names=False).SerializeToString()
        opened.append(open_session(model, providers=providers(device), threads=1))
    return opened


def modules(mutants: Mutants, count: int, device: Device) -> list[nn.Module]:
    """Return the original and ``count`` mutants as torch modules on a device."""
    return [
        onnx2fx.convert(mutants.model(number, original_names=False)).eval().to(device)
        for number in range(count + 1)
    ]


def by_sessions(opened: Sequence[onnxruntime.InferenceSession], views: Sequence[int]) -> Scorer:
    """Return a scorer that runs session by session, all images in one batch.

    Args:
        opened: the sessions.
        views: number of the view that each reads.
    """

    def scores(images: Inputs) -> list[FloatArray]:
        arrays = arrays_of(images)
        return [
            outputs(session, {IMAGES: arrays[view]})[0] for session, view in zip(opened, views, strict=True)
        ]

    return scores


def by_modules(made: Sequence[nn.Module], views: Sequence[int], device: Device) -> Scorer:
    """Return a scorer that runs module by module, all images in one batch that is moved there once."""

    def scores(images: Inputs) -> list[FloatArray]:
        with torch.inference_mode():
            there = [torch.from_numpy(np.ascontiguousarray(array)).to(device) for array in arrays_of(images)]
            found = [module(there[view]) for module, view in zip(made, views, strict=True)]
            return [scores.cpu().numpy() for scores in found]

    return scores


def views_of(mutants: Mutants, count: int) -> list[int]:
    """Return the number of the view that the original and each of ``count`` mutants reads."""
    own = mutants.companions
    return [own[number].view if number in own else 0 for number in range(count + 1)]
