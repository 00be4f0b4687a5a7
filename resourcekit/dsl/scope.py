"""Resolves the names in the annotations of a class statement."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from types import FrameType
from typing import Any

import attrs

__all__ = ["Scope", "annotations_of"]


@attrs.frozen
class Scope:
    """The names that are visible in a class body: those of its module, and of the function around it."""

    module: Mapping[str, Any]
    around: Mapping[str, Any]

    @classmethod
    def of_frame(cls, frame: FrameType) -> Scope:
        """Return the scope of the code that runs in this frame."""
        return cls(frame.f_globals, frame.f_locals)

    def resolve(self, annotation: object) -> Any:
        """Return the object of an annotation. A text is evaluated, as ``typing.get_type_hints`` does.

        Raise NameError (or another error of the text) if it cannot be evaluated.
        """
        if not isinstance(annotation, str):
            return annotation
        return eval(annotation, dict(self.module), dict(self.around))  # noqa: S307  # the class body's own text

    def with_names(self, **names: object) -> Scope:
        """Return this scope with additional names."""
        return attrs.evolve(self, around={**self.around, **names})


def annotations_of(cls: type) -> Mapping[str, object]:
    """Return the annotations of the class body itself, as they are written."""
    if sys.version_info >= (3, 14):
        import annotationlib

        return annotationlib.get_annotations(cls, format=annotationlib.Format.FORWARDREF)
    return inspect.get_annotations(cls)
