"""Names that stand for plain data: MONAI's enums and the data types of PyTorch and NumPy."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from enum import Enum

from monai.utils import enums

__all__ = ["constant", "imported_modules"]

_MONAI = ("monai.utils.enums.", "monai.utils.")
_TYPES = frozenset(["float16", "bfloat16", "float32", "float64", "float", "double", "half", "bool"]) | frozenset(
    f"{sign}int{bits}" for sign in ("", "u") for bits in ("", 8, 16, 32, 64)
)
_ALIASES = {"np": "numpy"}
"""Modules under their usual names, which a config may use without importing them."""


def constant(dotted: str) -> str | None:
    """Return the value that a dotted name stands for: of an enum of MONAI, or the name of a data type.

    Args:
        dotted: Name such as ``monai.utils.CommonKeys.IMAGE``, with or without ``.value``; or ``torch.float32``.

    Returns:
        None if the name is another one.
    """
    module, _, name = dotted.partition(".")
    if _ALIASES.get(module, module) in {"torch", "numpy"}:
        return name if name in _TYPES else None
    for prefix in _MONAI:
        if dotted.startswith(prefix):
            kind, _, member = dotted.removeprefix(prefix).removesuffix(".value").partition(".")
            enum = getattr(enums, kind, None)
            if isinstance(enum, type) and issubclass(enum, Enum) and member in enum.__members__:
                value = enum[member].value
                return value if isinstance(value, str) else None
    return None


def imported_modules(statements: object) -> dict[str, str]:
    """Return the dotted names of what a config's ``imports`` import, by the names under which they do.

    Args:
        statements: The config's list, as ``["$import glob", "$from monai.utils import BlendMode"]``.
    """
    result: dict[str, str] = {}
    for statement in statements if isinstance(statements, Iterable) and not isinstance(statements, str) else ():
        try:
            body = ast.parse(str(statement).removeprefix("$").strip()).body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        for node in body:
            if isinstance(node, ast.Import):
                result |= {alias.asname: alias.name for alias in node.names if alias.asname}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                result |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return result
