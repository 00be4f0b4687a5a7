"""The proving door: the law book of the data layer port as pytest classes, and a clock that a test moves by hand."""

from __future__ import annotations

from resourcekit.testing.clock import ManualClock
from resourcekit.testing.laws import DataLayerLaws

__all__ = ["DataLayerLaws", "ManualClock"]
