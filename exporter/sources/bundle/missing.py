"""What a model's description does not state, or not in a form that a spec can express."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["MissingField"]


@dataclass(frozen=True)
class MissingField:
    """A field of the spec that a model's description does not state, or not in a supported form.

    Attributes:
        path: Dotted path of the field, as ``patch.spacing``.
        text: Explanation for the user.
        flag: Command line flag that supplies the field.
    """

    path: str
    text: str
    flag: str
