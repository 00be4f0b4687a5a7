"""Calls: how one runs, sync or async, and its context: its actor, its deadline, its call mode.

A maintainer opens it to change how the time of a call is measured, or how a sync call runs a coroutine.
"""

from __future__ import annotations

import contextlib
import enum
import inspect
import sys
import time
from collections.abc import Coroutine, Mapping
from contextvars import ContextVar, Token
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, TypedDict, TypeVar, Unpack

import attrs

from resourcekit.clock import LATE, NEVER, SYSTEM, Deadline, current_clock, elapsed
from resourcekit.errors import FieldFinding, InvalidArgument, MixedCallMode, Timeout, did_you_mean
from resourcekit.known_names import KnownNames, unchangeable

__all__ = [
    "Call",
    "CallMode",
    "Context",
    "Deadline",
    "Suspended",
    "ambient_context",
    "apart",
    "call_deadline",
    "call_mode",
    "context",
    "current_context",
    "drive",
    "in_call_mode",
    "is_async_function",
    "pause",
    "require_going_on",
    "running_call",
]


T = TypeVar("T")


class CallMode(enum.Enum):
    """Whether the running call is sync, and must not suspend, or async, and may ``await``."""

    SYNC = "sync"
    ASYNC = "async"


_SYNC, _PARTS = CallMode.SYNC, frozenset(CallMode)
"""Call modes in which code runs as a part of a call."""

call_mode: ContextVar[CallMode | None] = ContextVar("resourcekit_call_mode", default=None)
"""The call mode of the call that runs in this thread or task; ``None`` outside of calls."""


def is_async_function(value: object) -> bool:
    """Return whether a function, or an object that is called like one, is declared with ``async def``."""
    return inspect.iscoroutinefunction(value) or inspect.iscoroutinefunction(getattr(type(value), "__call__", None))  # noqa: B004


@unchangeable("the context of a call", "open another one: with context(actor=...):")
@attrs.frozen(kw_only=True)
class Context(KnownNames):
    """The circumstances of one call besides its input. Changes, validations and hooks receive it.

    actor: the user or service that acts, any value of the application; ``None`` if there is none.
    tenant: the customer whose records the call is about; ``None`` if there is none. Expressions read it with ``tenant()``; nothing
        else is kept apart by it.
    deadline: the moment by which the call must end; ``None``: the data layer's timeout applies (5 s by default).
    metadata: further values of the application.
    """

    actor: Any = None
    tenant: Any = None
    deadline: Deadline | None = None
    metadata: Mapping[str, object] = attrs.field(factory=dict)

    def now(self) -> datetime:
        """Return the current time by the clock of this call."""
        return current_clock().now()

    def require_time(self) -> None:
        """Raise Timeout if the deadline has passed, before any store is asked."""
        if self.deadline is not None:
            self.deadline.require()

    def merged(self, given: Mapping[str, Any]) -> Context:
        """Return this context with the given values replaced. A deadline that is given as a timedelta starts to run now."""
        facts = dict(given)
        deadline = facts.get("deadline")
        if isinstance(deadline, timedelta):
            facts["deadline"] = deadline = Deadline.after(deadline)
        # The deadline of an outer call also limits the calls inside it.
        if deadline is not None and self.deadline is not None and self.deadline.remaining() < deadline.remaining():
            facts["deadline"] = self.deadline
        return attrs.evolve(self, **facts)


current_context: ContextVar[Context] = ContextVar("resourcekit_context", default=Context())
"""The context of the running code."""


def ambient_context() -> Context:
    """Return the context of the running code."""
    return current_context.get()


class Call(Deadline):
    """One call of an action or a function, from its entry to its end. Calls inside it are parts of it.

    The object is itself the deadline for the layer that it asks first, which keeps it cheap: one is made for nearly every call.
    layer: the layer that was asked first; ``None`` before.
    is_over: the call has ended. A task that it started, and that continues, has a copy of its context.
    """

    # Class attributes replace the slots of the base class, and are never set on an instance.
    _clock, _real_ends_at = SYSTEM, NEVER
    __slots__ = ("_others", "is_over", "layer")

    def __init__(self, ends_at: float = NEVER, layer: object = None) -> None:
        self.ends_at, self.layer, self.is_over = ends_at, layer, False

    def deadline(self, layer: object, timeout: float) -> Deadline:
        """Return the deadline for a layer, made at its first operation. Raise Timeout if it has passed."""
        if self.layer is None:
            self.layer, self.ends_at = layer, elapsed() + timeout
            return self
        if self.layer is layer:
            self.require()
            return self
        others: dict[object, Deadline] = getattr(self, "_others", {})
        if layer not in others:
            self._others = others = {**others, layer: Deadline.after_real(timeout)}
        others[layer].require()
        return others[layer]


_NO_CALL = Call()
_NO_CALL.is_over = True

running_call: ContextVar[Call | None] = ContextVar("resourcekit_call", default=None)
"""The outermost call that runs in this thread or task; ``None`` outside of calls, and in a sync call before its first
operation. In a sync call, the first operation sets it, so that a call without operations has no cost.
"""


def call_deadline(layer: object, timeout: float) -> Deadline:
    """Return the deadline of the running call, for one operation of a data layer.

    Args:
        layer: the server or database that is asked. The call has one deadline for all its operations there.
        timeout: seconds that a call may take if it has no deadline of its own. They count from its first operation, in real
            time: a test that moves its clock by hours does not end the calls of its other threads.

    Returns:
        The deadline that was set with ``context(deadline=...)`` or ``.using(deadline=...)``, else that of the timeout.

    Raises:
        Timeout: the deadline has passed.
    """
    deadline = current_context.get().deadline
    if deadline is None:
        call = running_call.get()
        if call is None and call_mode.get() is _SYNC:
            call = Call(elapsed() + timeout, layer)
            running_call.set(call)
            return call
        return Deadline.after_real(timeout) if call is None or call.is_over else call.deadline(layer, timeout)
    if deadline.remaining() <= 0.0:
        raise Timeout(LATE)
    return deadline


class apart:  # noqa: N801  # a context manager, named as it is used
    """Exclude the code inside from the running call, for long work in small steps, such as a sweep.

    Outside of a call, each operation has a timeout of its own; with ``apart(Call())`` the operations inside share one. A
    deadline that was set with ``context(deadline=...)`` still applies.
    """

    __slots__ = ("_call", "_token")

    def __init__(self, call: Call = _NO_CALL) -> None:
        self._call = call

    def __enter__(self) -> None:
        """Leave the call."""
        self._token = running_call.set(self._call)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Return to the call."""
        self._call.is_over = True
        running_call.reset(self._token)


class Facts(TypedDict, total=False):
    """The keyword arguments of ``context(...)`` and ``Ticket.submit.using(...)``; see Context."""

    actor: object
    tenant: object
    deadline: timedelta | Deadline | None
    metadata: Mapping[str, object] | None


_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "actor": object,
    "tenant": object,
    "deadline": (timedelta, Deadline),
    "metadata": Mapping,
}


class context:  # noqa: N801  # a context manager, named as it is used: with context(actor=user):
    """Set actor, tenant, deadline or metadata for all calls inside a ``with`` block. A value that is not given stays as outside.

    deadline: a timedelta, which starts to run when the block is entered, or a Deadline. All calls of the block share it. A
        deadline that ends earlier outside still applies.
    """

    def __init__(self, base: Context | None = None, **facts: Unpack[Facts]) -> None:
        self._given = {name: value for name, value in facts.items() if value is not None or name in ("actor", "tenant")}
        for name, value in self._given.items():
            if name not in _TYPES:
                raise InvalidArgument(FieldFinding(name, f"is no fact of a call. {did_you_mean(name, _TYPES)}"))
            if not isinstance(value, _TYPES[name]):
                expected = "timedelta" if name == "deadline" else _TYPES[name].__name__  # type: ignore[union-attr]  # see _TYPES
                raise InvalidArgument(FieldFinding(name, f"must be a {expected}, is {type(value).__name__}"))
        self._base = base
        # What was set, and what was there before; several if one object is entered again inside itself.
        self._entered: list[tuple[Context, Context, Token[Context]]] = []

    def __enter__(self) -> Context:
        """Set the context."""
        before = current_context.get()
        merged = (self._base or before).merged(self._given)
        try:
            self._entered.append((merged, before, current_context.set(merged)))
            return merged  # noqa: TRY300  # an exception at this very line is one of those that are caught here
        except BaseException:
            if current_context.get() is merged:
                current_context.set(before)
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Restore the outer context."""
        current_context.reset(self._entered[-1][2])
        self._entered.pop()

    def __del__(self) -> None:
        """Restore the outer context after a block whose end was interrupted from outside before it could begin."""
        with contextlib.suppress(AttributeError):  # it came before the block was made
            for merged, before, _ in reversed(self._entered):
                if current_context.get() is merged:
                    current_context.set(before)


async def pause(seconds: float) -> None:
    """Wait for this many seconds. A sync call blocks its thread; in an async call, other tasks continue."""
    if seconds <= 0:
        return
    if call_mode.get() is CallMode.SYNC:
        time.sleep(seconds)  # noqa: ASYNC251  # a sync call blocks, and must not suspend
        return
    import asyncio  # the import takes 30 ms, which programs without tasks need not pay

    await asyncio.sleep(seconds)


class Suspended(BaseException):  # not an Exception: a user's "except Exception" must not swallow it
    """Thrown into a coroutine that waits inside a sync call; the caller gets MixedCallMode."""


def _is_left_behind() -> bool:
    """Return whether the running call of the context has ended: a signal was raised between the last lines of ``drive``."""
    frame = sys._getframe(2)  # noqa: SLF001  # the stack shows the code that runs, even if the context was not reset
    while frame is not None:
        if frame.f_code is drive.__code__ or frame.f_code is in_call_mode.__code__:
            return False
        frame = frame.f_back  # type: ignore[assignment]  # None at the end
    return True


def drive(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in this thread, without an event loop.

    This works because stores do not suspend in a sync call. Raise MixedCallMode if something does suspend; a transaction that
    is open inside is rolled back as the coroutine unwinds.
    """
    outer, before = running_call.get(), call_mode.get()
    if outer is not None and (outer.is_over or _is_left_behind()):
        if not outer.is_over:
            outer = None
            call_mode.set(None)
            before = None
        running_call.set(None)
    try:
        try:
            call_mode.set(CallMode.SYNC)
            work.send(None)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]  # StopIteration is not generic
        else:
            raise _refused(work)
        finally:
            _leave(outer, before)
    except BaseException:
        _leave(outer, before)  # an exception from outside may have come before the end of the line above
        raise


def _leave(outer: Call | None, before: CallMode | None) -> None:
    """Put back what was ambient before a sync call; doing it twice changes nothing."""
    call_mode.set(before)
    # A call that began in here ends here, unless this is itself a part of another one.
    if (call := running_call.get()) is not outer and (outer is not None or before not in _PARTS):
        if call is not None:
            call.is_over = True
        running_call.set(outer)


_refusing: ContextVar[bool] = ContextVar("resourcekit_refusing", default=False)
"""The running call was refused and is being unwound."""


def require_going_on() -> None:
    """Raise Suspended again if a user's code swallowed it (``except BaseException``), so that nothing is written."""
    if _refusing.get():
        raise Suspended


def _refused(work: Coroutine[Any, Any, Any]) -> MixedCallMode:
    """Let a coroutine that waits come to its end, and return what the caller gets instead of a result."""
    try:
        _refusing.set(True)
        with contextlib.suppress(Suspended, StopIteration):
            work.throw(Suspended())
        work.close()
    finally:
        _refusing.set(False)
    return MixedCallMode("a sync call met something that must be awaited; call the function's .aio and await it")


async def in_call_mode(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine as a call in an event loop. Inside a sync call it stays sync."""
    call = running_call.get()
    if call is not None and not call.is_over:
        return await work
    outer, before = call, call_mode.get()
    call = Call()
    try:
        running_call.set(call)
        call_mode.set(before or CallMode.ASYNC)
        return await work
    finally:
        call_mode.set(before)
        running_call.set(outer)
        call.is_over = True
