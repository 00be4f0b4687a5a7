"""The proving door: laws for data layers, a clock moved by hand, declaration errors as data, resources on Memory.

Names are loaded when they are first used: a clock needs no pytest, and only the law book needs pytest and hypothesis.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from resourcekit.testing.clock import ManualClock
    from resourcekit.testing.findings import declaration_errors
    from resourcekit.testing.laws import DataLayerLaws
    from resourcekit.testing.swap import in_memory

__all__ = ["DataLayerLaws", "ManualClock", "declaration_errors", "in_memory"]

_ROOM_OF = {"DataLayerLaws": "laws", "ManualClock": "clock", "declaration_errors": "findings", "in_memory": "swap"}
_OF_THE_EXTRA = ("hypothesis", "pytest")


def __getattr__(name: str) -> object:
    """Load a name on demand (PEP 562)."""
    if name not in _ROOM_OF:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    try:
        room = import_module(f"{__name__}.{_ROOM_OF[name]}")
    except ModuleNotFoundError as error:
        if error.name in _OF_THE_EXTRA:
            msg = f"{name} needs {error.name}; install it with: pip install 'resourcekit[testing]'"
            raise ModuleNotFoundError(msg, name=error.name) from error
        raise
    value: object = getattr(room, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the door's names."""
    return sorted(__all__)
