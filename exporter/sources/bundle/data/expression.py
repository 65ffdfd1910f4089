"""Evaluate the ``$`` expressions of a MONAI config that are plain data: literals, arithmetic, ``@`` references.

MONAI evaluates ``$`` expressions as Python. Here no code of a bundle runs: an expression is parsed, and only the kinds
of nodes listed below are evaluated. Any other expression becomes :class:`Unknown`, which matters only where it is used.
"""

from __future__ import annotations

import ast
import operator
import posixpath
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from exporter.sources.bundle.data.constants import constant

__all__ = ["Unknown", "UnknownValueError", "evaluate", "references"]

_REFERENCE = re.compile(r"@((?:\w+|(?:#|::)(?=\w))+)")
_MAX_ITEMS = 100_000
"""Largest number of items of a list or characters of a text. Numbers stay small, as there are no powers."""
_BINARY: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_UNARY: dict[type, Callable[[Any], Any]] = {ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Not: operator.not_}
_COMPARE: dict[type, Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda item, items: item in items,
    ast.NotIn: lambda item, items: item not in items,
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (len, int, float, str, bool, list, tuple, dict, sum, min, max, abs, round, sorted)
}
_METHODS = ("keys", "values", "items")


class UnknownValueError(Exception):
    """A decision depends on a value that can be computed by running code only.

    Attributes:
        text: The expression as it stands in the config.
    """

    def __init__(self, text: str) -> None:
        super().__init__(f"{text} can be computed by running code only")
        self.text = text


@dataclass(frozen=True, eq=False)
class Unknown:
    """A value that can be computed by running code only. It cannot be compared or tested for truth: that would guess.

    Attributes:
        text: The expression as it stands in the config.
    """

    text: str

    def __bool__(self) -> NoReturn:
        raise UnknownValueError(self.text)

    def __eq__(self, other: object) -> NoReturn:
        raise UnknownValueError(self.text)

    def __ne__(self, other: object) -> NoReturn:
        raise UnknownValueError(self.text)

    def __hash__(self) -> NoReturn:
        raise UnknownValueError(self.text)

    def __str__(self) -> str:
        return self.text


class _NotDataError(Exception):
    """The expression is not plain data."""


def evaluate(text: str, look_up: Callable[[str], Any], *, modules: Mapping[str, str] | None = None) -> Any:
    """Evaluate an expression.

    Args:
        text: The expression without its ``$``.
        look_up: Function that returns the value of a reference, given the path after its ``@``.
        modules: Dotted names of what the config imports, by the names under which it does.

    Returns:
        Plain data, or :class:`Unknown` if the expression is not.
    """
    names: dict[str, str] = {}

    def name(match: re.Match[str]) -> str:
        return names.setdefault(match[1], f"__reference_{len(names)}")

    try:
        tree = ast.parse(_REFERENCE.sub(name, text).strip(), mode="eval")
        return _Evaluator({alias: path for path, alias in names.items()}, look_up, modules or {}).value(tree.body)
    # Operations on operands of the wrong kind raise any of these.
    except (
        _NotDataError,
        UnknownValueError,
        SyntaxError,
        ValueError,
        TypeError,
        ArithmeticError,
        LookupError,
        RecursionError,
        MemoryError,
    ):
        return Unknown(f"${text}")


def references(text: str) -> list[str]:
    """Return the entries of the config that an expression or a reference names, without what follows a ``#``."""
    return [re.split("#|::", path)[0] for path in _REFERENCE.findall(text)]


@dataclass(frozen=True)
class _Evaluator:
    names: dict[str, str]
    look_up: Callable[[str], Any]
    modules: Mapping[str, str]

    def value(self, node: ast.expr) -> Any:
        """Evaluate a node; every kind of node that is not listed is refused."""
        result = self._value(node)
        if isinstance(result, Unknown):
            raise _NotDataError
        return result

    def _value(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=value) if value is None or isinstance(value, bool | int | float | str):
                return value
            case ast.Name(id=name) if name in self.names:
                return self.look_up(self.names[name])
            case ast.Attribute() if (value := constant(self._dotted(node))) is not None:
                return value
            case ast.Call(func=ast.Attribute() as function, args=parts, keywords=[]) if (
                self._dotted(function) == "os.path.join"
            ):
                return posixpath.join(*map(self.value, parts))
            case ast.List(elts=parts):
                return [item for part in parts for item in self._items(part)]
            case ast.Tuple(elts=parts):
                return tuple(self.value(part) for part in parts)
            case ast.Dict(keys=keys, values=values) if all(keys):
                return {self.value(key): self.value(value) for key, value in zip(keys, values, strict=True) if key}
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
                return self._binary(op, self.value(left), self.value(right))
            case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
                return _UNARY[type(op)](self.value(operand))
            case ast.BoolOp(op=op, values=parts):
                results = [self.value(part) for part in parts]
                stop = [result for result in results[:-1] if bool(result) is isinstance(op, ast.Or)]
                return (stop or results[-1:])[0]
            case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARE:
                return _COMPARE[type(op)](self.value(left), self.value(right))
            case ast.IfExp(test=test, body=body, orelse=other):
                return self.value(body if self.value(test) else other)
            case ast.Subscript(value=whole, slice=ast.Slice() as part):
                edges = [None if edge is None else self.value(edge) for edge in (part.lower, part.upper, part.step)]
                return self.value(whole)[slice(*edges)]
            case ast.Subscript(value=whole, slice=key):
                return self.value(whole)[self.value(key)]
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in _FUNCTIONS:
                return _FUNCTIONS[name](*map(self.value, arguments))
            case ast.Call(func=ast.Attribute(value=whole, attr=name), args=[], keywords=[]) if name in _METHODS:
                mapping = self.value(whole)
                if isinstance(mapping, dict):
                    return list(getattr(mapping, name)())
        raise _NotDataError

    def _items(self, node: ast.expr) -> list[Any]:
        """Return the value of an item of a list, or, with a star, its items."""
        if not isinstance(node, ast.Starred):
            return [self.value(node)]
        items = self.value(node.value)
        if not isinstance(items, list | tuple) or len(items) > _MAX_ITEMS:
            raise _NotDataError
        return list(items)

    def _dotted(self, node: ast.expr) -> str:
        """Return the dotted name of an imported object; empty for anything else."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name) or node.id in self.names:
            return ""
        return ".".join([self.modules.get(node.id, node.id), *reversed(parts)])

    @staticmethod
    def _binary(op: ast.operator, left: Any, right: Any) -> Any:
        if isinstance(op, ast.Mod) and isinstance(left, str):
            raise _NotDataError  # string formatting, which may produce any width
        if isinstance(op, ast.Mult):
            for items, times in ((left, right), (right, left)):
                if isinstance(items, str | list | tuple) and isinstance(times, int):
                    nested = any(isinstance(part, list | tuple | dict) for part in items)
                    if nested or len(items) * times > _MAX_ITEMS:  # nested lists could multiply again
                        raise _NotDataError
        result = _BINARY[type(op)](left, right)
        if isinstance(result, str | list | tuple) and len(result) > _MAX_ITEMS:
            raise _NotDataError
        return result
