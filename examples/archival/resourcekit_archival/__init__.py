"""Soft deletion for resourcekit: destroy becomes "mark as archived"."""

from __future__ import annotations

from resourcekit_archival.archival import Archival

__all__ = ["Archival"]
