"""What the names in an annotation mean where a class statement stands. It knows no resource."""

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
    """The names that can be seen from a class body: its module's, and those of the function around it."""

    module: Mapping[str, Any]
    around: Mapping[str, Any]

    @classmethod
    def of_frame(cls, frame: FrameType) -> Scope:
        """Return the scope of the code that runs in this frame."""
        return cls(frame.f_globals, frame.f_locals)

    def resolve(self, annotation: object) -> Any:
        """Return the object an annotation stands for; a text is evaluated, as ``typing.get_type_hints`` does.

        Raises NameError (or whatever the text raises) where it cannot be evaluated.
        """
        if not isinstance(annotation, str):
            return annotation
        return eval(annotation, dict(self.module), dict(self.around))  # noqa: S307  # the class body's own text

    def with_names(self, **names: object) -> Scope:
        """Return this scope with a few more names."""
        return attrs.evolve(self, around={**self.around, **names})


def annotations_of(cls: type) -> Mapping[str, object]:
    """Return the annotations that a class body itself has, as they were written."""
    if sys.version_info >= (3, 14):
        import annotationlib

        return annotationlib.get_annotations(cls, format=annotationlib.Format.FORWARDREF)
    return inspect.get_annotations(cls)
