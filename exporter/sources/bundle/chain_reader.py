"""Read a chain of transforms one after the other, and collect what it leaves open."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Protocol

from exporter.sources.bundle.data.expression import UnknownValueError
from exporter.sources.bundle.data.transforms import Step, plain_name, steps
from exporter.sources.bundle.missing import MissingField

__all__ = ["read_chain"]


class _Findings(Protocol):
    notes: list[str]
    missing: list[MissingField]


def read_chain(
    findings: _Findings,
    value: Any,
    *,
    name: str,
    key: str,
    ignore: Collection[str],
    left_out: str,
    place: Callable[[Step], tuple[str, str]],
    read: Callable[[Step], None],
) -> None:
    """Read every transform of a chain for one key; what cannot be read becomes a missing field.

    Args:
        findings: Notes and missing fields, to which those of the chain are added.
        value: The chain, with references resolved.
        name: Name of the chain in messages.
        key: Name of the image or the output in it.
        ignore: Names of transforms to leave out.
        left_out: Text of the note about a transform that was left out.
        place: Function that returns the spec's field that a transform is for, and the flag that supplies it.
        read: Function that takes in one transform. It raises ``ValueError`` or ``UnknownValueError`` if it cannot.
    """
    ignored = {plain_name(text) for text in ignore}
    chain = list(steps(value, key))
    if value is not None and not chain:
        path, flag = place(Step(""))
        findings.missing.append(MissingField(path, f"no {name} is for {key!r}", flag))
    for step in chain:
        label, last = step.name or name, step.name.rpartition(".")[2]
        if {step.name, last, plain_name(last)} & ignored:
            findings.notes.append(f"{label}: {left_out}")
            continue
        try:
            if step.problem:
                raise ValueError(step.problem)
            read(step)
        except (UnknownValueError, ValueError) as error:
            path, flag = place(step)
            findings.missing.append(MissingField(path, f"{name} {label}: {error}", flag))
