"""Errors raised by a signal handler, such as the time limit of a job. Edit this module to change how they are recognized.

Job runners end a job with a handler that raises: RQ a ``JobTimeoutException``, Celery a ``SoftTimeLimitExceeded``, both plain
Exceptions. Such an error is not caused by the interrupted code, so no ``except Exception`` may handle it.
"""

from __future__ import annotations

import signal
from types import CodeType, FrameType
from typing import Any

__all__ = ["raised_by_signal", "require_no_signal"]

_NAMES = ("SIGALRM", "SIGVTALRM", "SIGPROF", "SIGUSR1", "SIGUSR2", "SIGTERM", "SIGINT", "SIGHUP")
_NUMBERS = tuple(number for name in _NAMES if (number := getattr(signal, name, None)) is not None)
"""Signals of time limits and shutdowns. A handler of another signal is recognized by the frame that it is given."""


def require_no_signal(error: BaseException) -> None:
    """Raise the error of a signal handler again, instead of handling it in an ``except Exception``."""
    if (outside := raised_by_signal(error)) is not None:
        raise outside


def raised_by_signal(error: BaseException) -> BaseException | None:
    """Return the error of a signal handler, which is this one or one that this one replaced; else ``None``."""
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        if _came_through_handler(found):
            return found
        seen.add(id(found))
        before = found.__cause__ or found.__context__
        # An error that was caught outside of this code, such as a limit after which a job cleans up, is not related to it.
        found = before if before is not None and _was_caught_inside(before, found) else None
    return None


def _was_caught_inside(before: BaseException, error: BaseException) -> bool:
    if before.__traceback__ is None:
        return False
    catcher, step = before.__traceback__.tb_frame, error.__traceback__
    while step is not None:
        if step.tb_frame is catcher:
            return True
        step = step.tb_next
    return False


def _came_through_handler(error: BaseException) -> bool:
    interrupted: FrameType | None = None
    handlers: set[CodeType] | None = None
    step = error.__traceback__
    while step is not None:
        frame = step.tb_frame
        if interrupted is not None:
            if handlers is None:
                handlers = _handlers()
            if frame.f_code in handlers or _is_given(frame, interrupted):
                return True
        interrupted, step = frame, step.tb_next
    return False


def _is_given(frame: FrameType, interrupted: FrameType) -> bool:
    """Return whether a function was called with the frame above it, as Python calls the handlers of signals."""
    code = frame.f_code
    count = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & 0x04)  # *args comes after the others
    if count == 0:
        return False
    for name in code.co_varnames[:count]:
        value = frame.f_locals.get(name)
        if value is interrupted or (type(value) is tuple and any(each is interrupted for each in value)):
            return True
    return False


def _handlers() -> set[CodeType]:
    """Return the code of the current handlers, for a handler that has dropped the frame that it was given."""
    return {code for number in _NUMBERS if (code := _code_of(signal.getsignal(number))) is not None}


def _code_of(handler: Any) -> CodeType | None:
    if handler is None or isinstance(handler, int):
        return None
    while hasattr(handler, "func"):  # functools.partial
        handler = handler.func
    function = getattr(handler, "__func__", handler)
    code = getattr(function, "__code__", None) or getattr(type(handler).__call__, "__code__", None)
    return code if isinstance(code, CodeType) else None
