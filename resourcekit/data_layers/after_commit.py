"""Runs what waited for a commit. It knows neither a store nor what it runs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable

from resourcekit.errors import WrongColour
from resourcekit.flow.context import Colour, colour

__all__ = ["run_after_commit", "run_after_commit_now"]


async def run_after_commit(functions: Iterable[Callable[[], object]]) -> None:
    """Run functions, sync or async, in order; a failure of one keeps none of the others from running.

    Raises the failure, or an ExceptionGroup of several, at the end.
    """
    failures: list[Exception] = []
    for function in functions:
        try:
            result = function()
            if inspect.isawaitable(result):
                await result
        except Exception as failure:  # see above
            failures.append(failure)
    if len(failures) > 1:
        raise ExceptionGroup("the transaction is committed; functions after it failed", failures)
    if failures:
        raise failures[0]


def run_after_commit_now(functions: Iterable[Callable[[], object]]) -> None:
    """Do the same in this thread, without a loop. Raises WrongColour where one of them has to wait."""
    token = colour.set(Colour.SYNC)
    running = run_after_commit(functions)
    try:
        running.send(None)
    except StopIteration:
        return
    finally:
        running.close()
        colour.reset(token)
    msg = "the transaction is committed; a function after it has to wait, which the commit of a sync connection cannot"
    raise WrongColour(msg)
