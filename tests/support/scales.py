"""The scale of decimals on a layer that needs one."""

from __future__ import annotations

from typing import Any

__all__ = ["scale_on"]


def scale_on(layer: Any, digits: int = 2) -> int | None:
    """Return the digits after the point that a Decimal has on MariaDB, which asks for them; ``None`` for other layers."""
    return digits if "mariadb" in str(getattr(layer, "database", "")) else None
