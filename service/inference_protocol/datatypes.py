"""Datatypes of the Open Inference Protocol, and their NumPy types."""

from enum import StrEnum
from typing import Any

import numpy as np


class Datatype(StrEnum):
    """Datatypes that models here take or give; elements are little-endian on the wire."""

    BOOL = "BOOL"
    UINT8 = "UINT8"
    INT64 = "INT64"
    FP32 = "FP32"
    BYTES = "BYTES"

    @property
    def dtype(self) -> np.dtype[Any]:
        """NumPy type of its arrays; BYTES are arrays of objects, each ``bytes``."""
        return _DTYPES[self]


_DTYPES: dict[Datatype, np.dtype[Any]] = {
    Datatype.BOOL: np.dtype(np.bool_),
    Datatype.UINT8: np.dtype(np.uint8),
    Datatype.INT64: np.dtype("<i8"),
    Datatype.FP32: np.dtype("<f4"),
    Datatype.BYTES: np.dtype(np.object_),
}
