"""The error of a value that cannot be cast, with the place inside the value."""

from __future__ import annotations

from collections.abc import Sequence

from resourcekit.errors import FieldFinding

__all__ = ["CastError"]


class CastError(ValueError):
    """A value that cannot be cast. The message states what is allowed, and never contains the value.

    path: position inside the value, with dots for deeper levels (``"2"``, ``"zip"``); ``""`` for the value itself.
    others: further errors of the same value, each with its own path.
    """

    def __init__(self, message: str, path: str = "", others: Sequence[CastError] = ()) -> None:
        super().__init__(message)
        self.path = path
        self.others = tuple(others)

    @classmethod
    def of(cls, errors: Sequence[CastError]) -> CastError:
        """Return one error for all errors of a value."""
        first, *others = [each for error in errors for each in error.alone]
        return cls(str(first), first.path, others)

    @property
    def alone(self) -> tuple[CastError, ...]:
        """This error and the others, one by one."""
        return (CastError(str(self), self.path), *self.others) if self.others else (self,)

    def inside(self, step: object) -> CastError:
        """Return this error with the path extended by the item or key that contains the value."""
        others = [other.inside(step) for other in self.others]
        return CastError(str(self), f"{step}.{self.path}" if self.path else str(step), others)

    def finding(self, field: str) -> FieldFinding:
        """Return the finding for the field that has this value; the first one, if there are several."""
        return FieldFinding(f"{field}.{self.path}" if self.path else field, str(self))

    def findings(self, field: str) -> list[FieldFinding]:
        """Return all findings for the field that has this value."""
        return [error.finding(field) for error in self.alone]
