"""Load the compiled kernels (``kernels.c``) and call them through ctypes.

Installing sixpoint compiles them with GCC, Clang or MSVC where setuptools finds a compiler. Tested and supported is
Linux. Without a compiler, as often on Windows and macOS, sixpoint is installed without them: the client and the command
``sixpoint`` need none, the gateway and the trainer refuse to start.
"""

from __future__ import annotations

import ctypes
import importlib.util
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from sixpoint._typing import Array
from sixpoint.errors import FailedPrecondition

__all__ = ["C_TYPES", "call_kernel", "data_pointer", "load_library", "require_kernels"]

C_TYPES = {
    "|b1": "uint8_t",
    "|i1": "int8_t",
    "|u1": "uint8_t",
    "<i2": "int16_t",
    "<u2": "uint16_t",
    "<i4": "int32_t",
    "<u4": "uint32_t",
    "<f4": "float",
    "<f8": "double",
}
"""Voxel types with a block-means kernel: NumPy's type strings and the C types."""
_float, _double = ctypes.c_float, ctypes.c_double
_int, _long, _pointer = ctypes.c_int, ctypes.c_int64, ctypes.c_void_p
_MATRIX = [_pointer, _pointer, _long, _long]
_SIGNATURES = {
    "to_half": (None, [_pointer, _pointer, _long]),
    "apply_window": (None, [_pointer, _pointer, _long, _float, _float, _int, _float, _int]),
    "heatmap": (None, [_pointer] * 3 + [_long] * 4 + [_float, _pointer, _int]),
    "ellipsoid": (None, [_pointer] * 3 + [_long] * 3 + [_pointer, _int]),
    "hull": (None, [_pointer, _long] + [_pointer] * 3 + [_long] * 3 + [_pointer, _int]),
    "linear_taps": (None, [_pointer, _long, _long, _double, _long, *[_pointer] * 3]),
    "resample": (_int, [*[_pointer] * 4, *_MATRIX]),
    "threshold_resampled": (_int, [_pointer, _long, _long, _long, *_MATRIX * 3, _float, _pointer]),
    "connected_components": (_long, [_pointer, _pointer, _long, _long, _long]),
    "difference_box": (_int, [_pointer] * 8),
    **{f"block_means_{name}": (_int, [_pointer] * 5) for name in C_TYPES.values()},
}


def require_kernels() -> None:
    """Refuse to start without the compiled kernels.

    Raises:
        FailedPrecondition: The kernels are missing or of another version; the message says what to install.
    """
    load_library()


@cache
def load_library() -> ctypes.CDLL:
    """Load the shared library and declare its functions.

    Raises:
        FailedPrecondition: The library is missing or of another version of sixpoint; the message says what to install.
    """
    spec = importlib.util.find_spec("sixpoint.preprocessing._kernels")
    if spec is None or spec.origin is None:
        raise FailedPrecondition(
            "sixpoint was installed without its compiled kernels, which the gateway and the trainer need: install a C "
            "compiler (Debian and Ubuntu: apt install gcc libc6-dev), then install sixpoint again"
        )
    library = ctypes.CDLL(spec.origin)
    for name, (result, arguments) in _SIGNATURES.items():
        try:
            function = getattr(library, f"sixpoint_{name}")
        except AttributeError:
            raise FailedPrecondition(
                "sixpoint's compiled kernels belong to another version of sixpoint: install sixpoint again"
            ) from None
        function.restype, function.argtypes = result, arguments
    return library


def call_kernel(name: str, *arguments: Any) -> int:
    """Call a function of the library."""
    result: int = getattr(load_library(), f"sixpoint_{name}")(*arguments)
    return result


def data_pointer(array: Array, dtype: npt.DTypeLike) -> int:
    """Address of the first element of an array that C can read as it is.

    Raises:
        ValueError: The array has another type, or is not contiguous.
    """
    if array.dtype != dtype or not array.flags.c_contiguous:
        raise ValueError(
            f"expected a contiguous array of {np.dtype(dtype)}, got {array.dtype}, strides {array.strides}"
        )
    return array.ctypes.data
