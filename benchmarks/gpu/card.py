"""Names of the NVIDIA GPUs of this machine, from the driver.

This module imports nothing but the standard library.
"""

import ctypes

NO_GPU = (
    "no NVIDIA GPU here: the driver (libcuda.so.1) is missing or finds none. Nothing was measured; make gpu-check "
    "needs a GPU"
)

_DRIVER = "libcuda.so.1"
_LONGEST = 100


def cards(driver: str = _DRIVER) -> list[str]:
    """Return the name of every GPU, none where there is no driver.

    Args:
        driver: name of the driver's library.
    """
    try:
        cuda = ctypes.CDLL(driver)
        count = ctypes.c_int()
        if cuda.cuInit(0) or cuda.cuDeviceGetCount(ctypes.byref(count)):
            return []
    except (OSError, AttributeError):
        return []
    names = []
    for number in range(count.value):
        text = ctypes.create_string_buffer(_LONGEST)
        known = cuda.cuDeviceGetName(text, _LONGEST, number) == 0
        names.append(text.value.decode(errors="replace") if known else "unnamed NVIDIA GPU")
    return names
