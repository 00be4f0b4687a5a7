"""Where a declaration stands: file, line, and who made it. It knows nobody."""

from __future__ import annotations

import sys
from pathlib import Path

import attrs

__all__ = ["Origin"]

_PASSED_OVER = ("resourcekit.", "attr.", "attrs.")


@attrs.frozen
class Origin:
    """The place of a declaration.

    file: path of the source file; line: counted from 1, 0 where unknown.
    declared_by: ``"you"`` for a class body, else the name of the extension that added it.
    """

    file: str = ""
    line: int = 0
    declared_by: str = "you"

    @classmethod
    def here(cls) -> Origin:
        """Return where the function that asks was called; calls from within the kit itself are passed over.

        ``def silent(*actions): return Silent(actions=actions, origin=Origin.here())`` gives the line of the class body.
        """
        frame = sys._getframe(1)  # noqa: SLF001  # the standard library has no public way to the caller's line
        frame = frame.f_back or frame  # the word itself, an extension's too, is not the place where it is used
        while frame.f_back is not None and _is_kit(frame.f_globals.get("__name__", ""), frame.f_code.co_filename):
            frame = frame.f_back
        return cls(frame.f_code.co_filename, frame.f_lineno)

    def __str__(self) -> str:
        """``app/accounts.py:18, declared by you``; the path is shown from the working folder where it lies below it."""
        if not self.file:
            return f"declared by {self.declared_by}"
        return f"{_shown(self.file)}:{self.line}, declared by {self.declared_by}"


def _is_kit(module: str, file: str) -> bool:
    return module.startswith(_PASSED_OVER) or module == "attr" or file.startswith("<attrs generated")


def _shown(file: str) -> str:
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file
