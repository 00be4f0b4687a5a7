"""The testing API: a conformance suite for data layers, a clock moved by hand, declaration errors as data, resources on
Memory.

Names are loaded at their first use: the clock needs no pytest, and only the conformance suite needs pytest and hypothesis.
"""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from resourcekit.testing.clock import ManualClock
    from resourcekit.testing.conformance import DataLayerSuite, FleetSuite
    from resourcekit.testing.findings import declaration_errors
    from resourcekit.testing.swap import in_memory

__all__ = ["DataLayerSuite", "FleetSuite", "ManualClock", "declaration_errors", "in_memory"]

_MODULE_OF = {
    "DataLayerSuite": "conformance",
    "FleetSuite": "conformance",
    "ManualClock": "clock",
    "declaration_errors": "findings",
    "in_memory": "swap",
}
_RENAMED = {"DataLayerLaws": "DataLayerSuite", "FleetLaws": "FleetSuite"}
"""Former names, which warn for one version."""

_OF_THE_EXTRA = ("hypothesis", "pytest")


def __getattr__(name: str) -> object:
    """Load a name on demand (PEP 562)."""
    if name in _RENAMED:
        warnings.warn(f"{__name__}.{name} is now {_RENAMED[name]}", DeprecationWarning, stacklevel=2)
        return __getattr__(_RENAMED[name])
    if name not in _MODULE_OF:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    try:
        module = import_module(f"{__name__}.{_MODULE_OF[name]}")
    except ModuleNotFoundError as error:
        if error.name in _OF_THE_EXTRA:
            msg = f"{name} needs {error.name}; install it with: pip install 'resourcekit[testing]'"
            raise ModuleNotFoundError(msg, name=error.name) from error
        raise
    value: object = getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
