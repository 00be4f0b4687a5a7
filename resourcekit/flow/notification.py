"""What a notifier is told after a commit, as a plain value; it knows nobody."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import attrs

__all__ = ["Notification"]


@attrs.frozen(kw_only=True)
class Notification:
    """One action was committed.

    resource: the class; action: its name; kind: ``"create"``, ``"update"`` or ``"destroy"``.
    record: the record as written (as it was, for a destroy).
    actor: whoever acted; at: when, UTC.
    """

    resource: Any
    action: str
    kind: str
    record: Any
    actor: Any
    at: datetime
    metadata: Mapping[str, object] = attrs.field(factory=dict)
