"""The value that means "nothing was said", where ``None`` would be an answer. It knows nobody."""

from __future__ import annotations

import enum
from typing import Final

__all__ = ["MISSING", "Missing"]


class Missing(enum.Enum):
    """The type of MISSING; an enum, because checkers can narrow it away."""

    MISSING = "MISSING"

    def __bool__(self) -> bool:
        """Be false, as nothing is."""
        return False


MISSING: Final = Missing.MISSING
