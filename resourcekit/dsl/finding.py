"""One thing that a verifier or a check found, as a plain value. It knows nobody."""

from __future__ import annotations

from typing import Literal

import attrs

from resourcekit.dsl.origin import Origin
from resourcekit.errors import DeclarationError

__all__ = ["Finding", "Level"]

Level = Literal["error", "warning", "info"]


@attrs.frozen(kw_only=True)
class Finding:
    """What is wrong, why it matters, and the cure.

    id: ``"RK043"``, a heading in docs/errors.md.
    what: the fact; why: what may come of it; cure: the next step. One sentence each.
    path: where in the resource, outermost first.
    level: ``"error"`` refuses the declaration when it comes from a verifier, and fails ``doctor``, as ``"warning"``
        does; ``"info"`` is told only.
    """

    id: str
    what: str
    cure: str
    why: str = ""
    level: Level = "error"
    resource: str = ""
    path: tuple[str, ...] = ()
    origin: Origin | None = None

    @property
    def sentence(self) -> str:
        """What and cure, for a line."""
        end = "" if self.what.endswith((".", "?", "!")) else "."
        return f"{self.what}{end} {self.cure}".rstrip()

    def as_error(self, resource: str = "") -> DeclarationError:
        """Return the error that a declaration with this finding raises."""
        return DeclarationError(
            self.id, self.what, resource=self.resource or resource, path=self.path, origin=self.origin or "", hint=self.cure
        )
