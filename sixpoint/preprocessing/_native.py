"""The library that ``kernels.c`` is compiled to: found, and called with what its functions take."""

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
"""The voxels that block means are made of as they are: NumPy's names of their types, and C's."""
_float, _double = ctypes.c_float, ctypes.c_double
_int, _long, _pointer = ctypes.c_int, ctypes.c_int64, ctypes.c_void_p
_MATRIX = [_pointer, _pointer, _long, _long]
_SIGNATURES = {
    "order": (_int, [_pointer, _long, _pointer, _long, _pointer]),
    "to_half": (None, [_pointer, _pointer, _long]),
    "window": (None, [_pointer, _pointer, _long, _float, _float, _int, _float, _int]),
    "heatmap": (None, [_pointer] * 3 + [_long] * 4 + [_float, _pointer, _int]),
    "ellipsoid": (None, [_pointer] * 3 + [_long] * 3 + [_pointer, _int]),
    "hull": (None, [_pointer, _long] + [_pointer] * 3 + [_long] * 3 + [_pointer, _int]),
    "taps": (None, [_pointer, _long, _long, _double, _long, *[_pointer] * 3]),
    "resample": (_int, [*[_pointer] * 4, *_MATRIX]),
    "cut": (_int, [_pointer, _long, _long, _long, *_MATRIX * 3, _float, _pointer]),
    "components": (_long, [_pointer, _pointer, _long, _long, _long]),
    "choose": (None, [_pointer, _pointer, _long, *[_pointer] * 3, _long]),
    "difference": (_int, [_pointer] * 8),
    **{f"reduce_{name}": (_int, [_pointer] * 5) for name in C_TYPES.values()},
}


def require_kernels() -> None:
    """Refuse to start without the compiled part.

    Raises:
        FailedPrecondition: Saying what to install.
    """
    load_library()


@cache
def load_library() -> ctypes.CDLL:
    """The library, loaded.

    Raises:
        FailedPrecondition: There is none, or one of another version of sixpoint.
    """
    found = importlib.util.find_spec("sixpoint.preprocessing._kernels")
    if found is None or found.origin is None:
        raise FailedPrecondition(
            "sixpoint was installed without its compiled part, which the gateway and the trainer need: install a C "
            "compiler (Debian and Ubuntu: apt install gcc libc6-dev), then sixpoint again"
        )
    loaded = ctypes.CDLL(found.origin)
    for name, (result, arguments) in _SIGNATURES.items():
        try:
            function = getattr(loaded, f"sixpoint_{name}")
        except AttributeError:
            raise FailedPrecondition(
                "sixpoint's compiled part is of another version than the rest of it: install sixpoint again"
            ) from None
        function.restype, function.argtypes = result, arguments
    return loaded


def call_kernel(name: str, *arguments: Any) -> int:
    """Call one of its functions."""
    result: int = getattr(load_library(), f"sixpoint_{name}")(*arguments)
    return result


def data_pointer(array: Array, dtype: npt.DTypeLike) -> int:
    """Where an array lies that C can read as it is.

    Raises:
        ValueError: It is of another type, or not contiguous.
    """
    if array.dtype != dtype or not array.flags.c_contiguous:
        raise ValueError(f"a contiguous array of {np.dtype(dtype)} was expected, not {array.dtype} {array.strides}")
    return array.ctypes.data
