"""Type names for annotations in user code."""

from __future__ import annotations

from typing import TypeAlias, Union

__all__ = ["JSON", "JSONObject"]

JSON: TypeAlias = Union[str, int, float, bool, list["JSON"], dict[str, "JSON"], None]
"""Any JSON value."""

JSONObject: TypeAlias = dict[str, JSON]
"""A JSON object: text keys, JSON values."""
