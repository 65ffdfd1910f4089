"""What all errors have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

from sixpoint.errors.shortening import shorten

__all__ = [
    "SixpointError",
    "Violation",
]


@dataclass(frozen=True)
class Violation:
    """A wrong field of a request: its path, and the value that was expected."""

    field: str
    description: str


class SixpointError(Exception):
    """Base of all errors of sixpoint.

    Attributes:
        message: What is wrong, what was expected and what to do; free of patient data, and of at most 4000 characters.
        violations: Wrong fields of the request, if any.
        retry_after: Seconds after which a retry may succeed; None: unknown.
    """

    reason: ClassVar[str] = "UNKNOWN"
    retryable: ClassVar[bool] = False

    def __init__(
        self, message: str, *, violations: tuple[Violation, ...] = (), retry_after: float | None = None
    ) -> None:
        # Names in it are shortened where it is made; this holds for what nobody thought of, such as a list of names.
        self.message: str = shorten(message, 4000)
        super().__init__(self.message)
        self.violations = violations
        self.retry_after = retry_after

    def under(self, path: str) -> Self:
        """The same error, with the paths of its wrong fields prefixed: fields of a part become fields of the whole.

        Args:
            path: Path of the part; an empty field is the part itself.
        """
        violations = tuple(
            Violation(f"{path}.{fault.field}" if fault.field else path, fault.description) for fault in self.violations
        )
        return type(self)(self.message, violations=violations, retry_after=self.retry_after)

    @classmethod
    def tree(cls) -> Iterator[type[SixpointError]]:
        """This class and all its subclasses."""
        yield cls
        for child in cls.__subclasses__():
            yield from child.tree()
