"""A data layer for resourcekit: each resource is a file of JSON lines."""

from __future__ import annotations

from resourcekit_jsonlines.layer import JSONLines

__all__ = ["JSONLines"]
