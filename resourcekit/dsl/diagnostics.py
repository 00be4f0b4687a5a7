"""Findings, the problems that verifiers and checks report, and origins: file, line and author of a declaration."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import attrs

from resourcekit.errors import DeclarationError, did_you_mean

__all__ = [
    "Finding",
    "Level",
    "Origin",
]

_PASSED_OVER = ("resourcekit.", "attr.", "attrs.")


@attrs.frozen
class Origin:
    """The place of a declaration.

    file: path of the source file.
    line: counted from 1; 0 if unknown.
    declared_by: ``"you"`` for a class body, else the name of the extension that added it.
    """

    file: str = ""
    line: int = 0
    declared_by: str = "you"

    @classmethod
    def here(cls) -> Origin:
        """Return the place of the call of the calling function. Calls within the kit itself are skipped.

        ``def silent(*actions): return Silent(actions=actions, origin=Origin.here())`` gives the line of the class body.
        """
        frame = sys._getframe(1)  # noqa: SLF001  # the standard library has no public way to get the line of the caller
        frame = frame.f_back or frame  # skip the entity builder itself, which may belong to an extension
        while frame.f_back is not None and _is_kit(frame.f_globals.get("__name__", ""), frame.f_code.co_filename):
            frame = frame.f_back
        return cls(frame.f_code.co_filename, frame.f_lineno)

    def __str__(self) -> str:
        """Return ``app/accounts.py:18, declared by you``. The path is relative to the working folder if it is below it."""
        if not self.file:
            return f"declared by {self.declared_by}"
        return f"{_shown(self.file)}:{self.line}, declared by {self.declared_by}"


def _is_kit(module: str, file: str) -> bool:
    return module.startswith(_PASSED_OVER) or module == "attr" or file.startswith("<attrs generated")


def _shown(file: str) -> str:
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file


Level = Literal["error", "warning", "info"]


class _FindingMeta(type):
    """Raises a DeclarationError for fields of a finding that are unknown, missing, or given by position."""

    if not TYPE_CHECKING:  # type checkers read the attrs signature, and report wrong fields themselves

        def __call__(cls, *args: Any, **given: Any) -> Any:
            """Raise DeclarationError RK016 with the line of the author, also outside of a verifier."""
            fields = attrs.fields(cls)
            known = [field.name for field in fields]
            if args:
                what, hint = (
                    "the fields of a finding are given by position",
                    "Give them by name: Finding(id=..., what=..., cure=...).",
                )
            elif unknown := next((name for name in given if name not in known), None):
                what, hint = f"a finding has no field {unknown!r}", did_you_mean(unknown, known)
            elif missing := [field.name for field in fields if field.default is attrs.NOTHING and field.name not in given]:
                what, hint = f"a finding lacks {' and '.join(missing)}", f"Give it: Finding({missing[0]}=...)."
            else:
                return super().__call__(**given)
            raise DeclarationError("RK016", what, path=("Finding",), origin=Origin.here(), hint=hint)


@attrs.frozen(kw_only=True)
class Finding(metaclass=_FindingMeta):
    """A problem, why it matters, and the cure.

    id: ``"RK043"``, a heading in docs/errors.md.
    what: the problem, one sentence.
    why: its possible consequence, one sentence.
    cure: the next step, one sentence.
    path: position in the resource, outermost first.
    level: ``"error"`` from a verifier refuses the declaration; ``"error"`` and ``"warning"`` fail ``doctor``; ``"info"`` is
        only shown.
    """

    id: str
    what: str
    cure: str
    why: str = ""
    level: Level = "error"
    resource: str = ""
    path: tuple[str, ...] = ()
    origin: Origin | None = None

    def __attrs_post_init__(self) -> None:
        """Raise DeclarationError RK016 for a level that is none: the finding would be passed over."""
        if self.level not in get_args(Level):
            what = f"the finding {self.id} has the level {self.level!r}"
            hint = f"Write one of {', '.join(map(repr, get_args(Level)))}."
            raise DeclarationError("RK016", what, path=self.path, origin=Origin.here(), hint=hint)

    @property
    def sentence(self) -> str:
        """Problem and cure in one line."""
        end = "" if self.what.endswith((".", "?", "!")) else "."
        return f"{self.what}{end} {self.cure}".rstrip()

    def as_error(self, resource: str = "") -> DeclarationError:
        """Return the error that a declaration with this finding raises."""
        return DeclarationError(
            self.id, self.what, resource=self.resource or resource, path=self.path, origin=self.origin or "", hint=self.cure
        )
