"""What a call brings along besides its input: who acts, by when, in which colour. It knows nobody."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from contextvars import ContextVar, Token
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, TypedDict, Unpack

import attrs

from resourcekit.errors import FieldFinding, InvalidArgument, Timeout, did_you_mean
from resourcekit.flow.clock import current_clock

__all__ = ["Colour", "Context", "ambient_context", "colour", "context"]


class Colour(enum.Enum):
    """How the running call may wait: not at all (sync), or by ``await`` (async)."""

    SYNC = "sync"
    ASYNC = "async"


colour: ContextVar[Colour | None] = ContextVar("resourcekit_colour", default=None)
"""The colour of the call that runs in this thread or task; ``None`` outside of calls."""


@attrs.frozen(kw_only=True)
class Context:
    """The surroundings of one call; changes, validations and hooks get it.

    actor: whoever acts, any value of the application; ``None`` for nobody.
    deadline: the longest time the call may take; ``None``: the data layer's own (5 s unless set).
    metadata: anything else the application wants to hand down.
    ends_at: the deadline as a monotonic time in seconds; set when the call starts.
    """

    actor: Any = None
    deadline: timedelta | None = None
    metadata: Mapping[str, object] = attrs.field(factory=dict)
    ends_at: float | None = None

    def now(self) -> datetime:
        """Return the present moment by the clock of this call."""
        return current_clock().now()

    def remaining(self, otherwise: float) -> float:
        """Return how many seconds are left, never below zero; ``otherwise`` where the call has no deadline."""
        if self.ends_at is None:
            return otherwise
        return max(0.0, self.ends_at - current_clock().monotonic())

    def require_time(self) -> None:
        """Raise Timeout where the deadline has passed already, so that no store need be asked."""
        if self.ends_at is not None and self.ends_at <= current_clock().monotonic():
            raise Timeout("the deadline of the call has passed")

    def merged(self, given: Mapping[str, Any]) -> Context:
        """Return this context with the given facts in place of its own; a deadline starts to run now."""
        facts = dict(given)
        if facts.get("deadline") is not None:
            ends_at = current_clock().monotonic() + facts["deadline"].total_seconds()
            # An outer call's deadline holds for what it calls, too.
            facts["ends_at"] = ends_at if self.ends_at is None else min(ends_at, self.ends_at)
        return attrs.evolve(self, **facts)


_ambient: ContextVar[Context] = ContextVar("resourcekit_context", default=Context())


def ambient_context() -> Context:
    """Return the context that surrounds this line."""
    return _ambient.get()


class Facts(TypedDict, total=False):
    """What ``context(...)`` and ``Ticket.submit.using(...)`` set; see Context."""

    actor: object
    deadline: timedelta | None
    metadata: Mapping[str, object] | None


_TYPES: Mapping[str, type] = {"actor": object, "deadline": timedelta, "metadata": Mapping}


class context:  # noqa: N801  # a context manager, named as it is used: with context(actor=user):
    """Set facts for all calls inside a ``with`` block; what is not named stays as it was outside."""

    def __init__(self, base: Context | None = None, **facts: Unpack[Facts]) -> None:
        self._given = {name: value for name, value in facts.items() if value is not None or name == "actor"}
        for name, value in self._given.items():
            if name not in _TYPES:
                raise InvalidArgument(FieldFinding(name, f"is no fact of a call. {did_you_mean(name, _TYPES)}"))
            if not isinstance(value, _TYPES[name]):
                raise InvalidArgument(FieldFinding(name, f"must be a {_TYPES[name].__name__}, is {type(value).__name__}"))
        self._base = base
        self._tokens: list[Token[Context]] = []  # several where one value is entered inside itself

    def __enter__(self) -> Context:
        """Make the facts ambient."""
        merged = (self._base or _ambient.get()).merged(self._given)
        self._tokens.append(_ambient.set(merged))
        return merged

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Put the outer context back."""
        _ambient.reset(self._tokens.pop())
