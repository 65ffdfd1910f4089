"""The few ``$`` expressions of a MONAI config that can be worked out as data: literals, arithmetic, ``@`` references.

MONAI evaluates ``$`` expressions as Python. Here nothing of a bundle runs: an expression is parsed, and only the kinds
of nodes below are worked out. What else there is comes back as :class:`Unknown`, and matters only where it is used.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["Unknown", "evaluate"]

_REFERENCE = re.compile(r"@((?:\w+|(?:#|::)(?=\w))+)")
_MOST = 100_000
"""Items of a list or characters of a text; digits are bounded by there being no powers."""
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
    ast.In: lambda one, many: one in many,
    ast.NotIn: lambda one, many: one not in many,
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (len, int, float, str, bool, list, tuple, dict, sum, min, max, abs, round, sorted)
}
_METHODS = ("keys", "values", "items")


@dataclass(frozen=True)
class Unknown:
    """A value that only code could tell.

    Attributes:
        text: The expression, as it stands in the config.
    """

    text: str


class _NoDataError(Exception):
    """The expression needs code."""


def evaluate(text: str, look_up: Callable[[str], Any]) -> Any:
    """Work out an expression.

    Args:
        text: The expression without its ``$``.
        look_up: The value of a reference, given what follows its ``@``.

    Returns:
        Plain data; or :class:`Unknown`, where that would take code.
    """
    names: dict[str, str] = {}

    def name(match: re.Match[str]) -> str:
        return names.setdefault(match[1], f"__reference_{len(names)}")

    try:
        tree = ast.parse(_REFERENCE.sub(name, text).strip(), mode="eval")
        return _Evaluator({alias: path for path, alias in names.items()}, look_up).value(tree.body)
    # Whatever the data's own operations make of wrong operands: it is no expression for us.
    except (
        _NoDataError,
        SyntaxError,
        ValueError,
        TypeError,
        ArithmeticError,
        LookupError,
        RecursionError,
        MemoryError,
    ):
        return Unknown(f"${text}")


@dataclass(frozen=True)
class _Evaluator:
    names: dict[str, str]
    look_up: Callable[[str], Any]

    def value(self, node: ast.expr) -> Any:
        """What a node comes to; refuses every kind of node that is not listed."""
        result = self._value(node)
        if isinstance(result, Unknown):
            raise _NoDataError
        return result

    def _value(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=value) if value is None or isinstance(value, bool | int | float | str):
                return value
            case ast.Name(id=name) if name in self.names:
                return self.look_up(self.names[name])
            case ast.List(elts=parts):
                return [self.value(part) for part in parts]
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
                stop = [one for one in results[:-1] if bool(one) is isinstance(op, ast.Or)]
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
        raise _NoDataError

    @staticmethod
    def _binary(op: ast.operator, left: Any, right: Any) -> Any:
        if isinstance(op, ast.Mod) and isinstance(left, str):
            raise _NoDataError  # a format, which may ask for any width
        if isinstance(op, ast.Mult):
            for many, times in ((left, right), (right, left)):
                if isinstance(many, str | list | tuple) and isinstance(times, int):
                    nested = any(isinstance(part, list | tuple | dict) for part in many)
                    if nested or len(many) * times > _MOST:  # lists of lists would multiply
                        raise _NoDataError
        result = _BINARY[type(op)](left, right)
        if isinstance(result, str | list | tuple) and len(result) > _MOST:
            raise _NoDataError
        return result
