"""Functions that are called after a transaction, in order: those of ``after_commit`` and ``after_end``, and hooks of actions.

A maintainer opens it to change what happens if one of them fails.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable

import attrs

from resourcekit.call_context import CallMode, call_mode
from resourcekit.errors import InvalidArgument, MixedCallMode, WrongCall
from resourcekit.telemetry import logger

__all__ = [
    "Callback",
    "run_callbacks",
    "run_callbacks_sync",
]


@attrs.frozen
class Callback:
    """A function that waits for the end of a block.

    function: called without arguments for ``after_commit``; called with the error that ended the block for ``after_end``.
    needs_commit: call the function only if the transaction commits.
    error: the error that already rolled back the function's savepoint, while the outer transaction is still open.
    """

    function: Callable[..., object]
    needs_commit: bool
    error: BaseException | None = None

    @classmethod
    def of(cls, called: str, given: Callable[..., object], *, needs_commit: bool) -> Callback:
        """Return the entry of a function that a user gave to the method ``called``. Raise InvalidArgument if it is no function."""
        if not callable(given):
            raise InvalidArgument(f"{called} takes a function, not {type(given).__name__}")
        return cls(given, needs_commit)

    def due(self, error: BaseException | None) -> Callable[[], object] | None:
        """Return the call to make after the block ended with an error, or (``None``) a commit; ``None`` if there is none."""
        if not self.needs_commit:
            return functools.partial(self.function, self.error or error)
        return self.function if error is None else None


async def run_callbacks(callbacks: Iterable[Callback], error: BaseException | None = None) -> None:
    """Call functions, sync or async, in order. All of them are called, even if one fails.

    Args:
        callbacks: The functions.
        error: The error that ended the transaction; ``None`` after a commit. If it is a signal or a cancellation, errors of the
            functions are logged and not raised.

    Raises:
        Exception: The error of a function.
        ExceptionGroup: The errors of several functions.
    """
    failures: list[Exception] = []
    for function in [due for each in callbacks if (due := each.due(error)) is not None]:
        try:
            result = function()
            if inspect.isawaitable(result):
                await result
        except TypeError as failure:
            failures.append(
                WrongCall.of("a function after the transaction", failure) if WrongCall.is_cause_of(failure) else failure
            )
        except Exception as failure:  # collected, so that the other functions run
            failures.append(failure)
    if not failures:
        return
    if error is not None and not isinstance(error, Exception):
        names = ", ".join(sorted({type(failure).__name__ for failure in failures}))
        logger("transactions").error("functions that run after a transaction failed: %s", names)
        return
    if len(failures) > 1:
        end = "committed" if error is None else "rolled back"
        raise ExceptionGroup(f"the transaction is {end}; functions after it failed", failures)
    raise failures[0]


def run_callbacks_sync(callbacks: Iterable[Callback], error: BaseException | None = None) -> None:
    """Call functions in this thread, without an event loop. Raise MixedCallMode if one of them has to wait."""
    token = call_mode.set(CallMode.SYNC)
    running = run_callbacks(callbacks, error)
    try:
        running.send(None)
    except StopIteration:
        return
    finally:
        call_mode.reset(token)
        running.close()
    msg = "a function after the commit has to wait for something; it needs an async session or connection"
    raise MixedCallMode(msg)
