"""Announces the data layer under the name, and URL scheme, ``jsonlines``."""

from __future__ import annotations

from resourcekit.extending import DataLayer, hookimpl
from resourcekit_jsonlines.layer import JSONLines

__all__ = ["resourcekit_data_layers"]


@hookimpl
def resourcekit_data_layers() -> dict[str, type[DataLayer]]:
    """Return the layer by the scheme of ``data_layer="jsonlines:records"``."""
    return {"jsonlines": JSONLines}
