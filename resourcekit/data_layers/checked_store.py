"""Checks of stores that third parties write: the form of their methods at declaration, and the results of their calls.

Open this module if a store that returns something else than the port says fails inside the engine. Stores of resourcekit itself
are checked by the conformance suite alone, so that their calls stay short.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from resourcekit.dsl.diagnostics import Finding
from resourcekit.dsl.extension_checks import check_shape
from resourcekit.errors import DataLayerError, ResourcekitError, WrongResult
from resourcekit.results import WriteResult
from resourcekit.signals import require_no_signal

__all__ = ["CheckedStore", "SharedSettings"]


def _is_rows(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(row, dict) for row in value)


def _is_moment(value: object) -> bool:
    return isinstance(value, datetime) and value.tzinfo is not None


def _is_written(value: object) -> bool:
    return isinstance(value, WriteResult)


def _are_findings(value: object) -> bool:
    return isinstance(value, Iterable) and all(isinstance(each, Finding) for each in value)


_RESULTS: dict[str, tuple[str, Callable[[object], bool]]] = {
    "select": ("a list of rows, which are dicts", _is_rows),
    "insert": ("a WriteResult", _is_written),
    "update": ("a WriteResult", _is_written),
    "delete": ("a WriteResult", _is_written),
    "now": ("a datetime with a time zone", _is_moment),
    "health": ("a list of findings", _are_findings),
}
"""By method: what it must return, in words and as a function."""

_ITEMS: dict[str, tuple[str, Callable[[object], bool]]] = {
    "stream": ("rows, which are dicts", lambda row: isinstance(row, dict)),
    "delete_in_batches": ("counts, which are ints", lambda number: isinstance(number, int)),
}
"""By method that yields: what its items must be, in words and as a function."""

_SHAPED = (*_RESULTS, "compile", "aggregate", "identity", "transaction", "lease", "create_storage", "close")


_CHECKED = "__is_checked__"
"""Marks a method whose results are checked already."""


class SharedSettings:
    """The part of the port that keeps numbers which the processes of a deployment share, such as the margin of a sweep.

    These defaults are for a store that no other process shares.
    """

    async def record_setting(self, name: str, value: int, *, lowered_after: timedelta) -> int:
        """Record a number that the processes of a deployment share, beside the leases, and return the largest one in force.

        A smaller value replaces a larger one only if the larger one was last recorded longer than ``lowered_after`` ago. Numbers
        are exact up to 2**53, either way. A store without the capability LEASE keeps nothing and returns the value.
        """
        del name, lowered_after
        return value

    async def recorded_setting(self, name: str) -> int | None:
        """Return the number that was recorded last for a name; ``None`` if there is none."""
        del name
        return None


class CheckedStore(SharedSettings):
    """Base of Store. Raise DeclarationError RK015 for methods of a wrong form in the class of a third party's store."""

    def __init_subclass__(cls, **options: Any) -> None:
        """Check the methods of the class, and the results of their later calls."""
        super().__init_subclass__(**options)
        port = next((kind for kind in cls.__mro__[1:] if kind.__module__ == "resourcekit.data_layers.base"), None)
        if port is None or cls.__module__.startswith("resourcekit."):
            return
        check_shape(cls, port, *_SHAPED)
        rows = next((kind for kind in cls.__mro__[1:] if kind.__module__ == "resourcekit.data_layers.rows.store"), None)
        if rows is not None:
            check_shape(cls, rows, "read", "write")
        for wrap, kinds in ((_checked, _RESULTS), (_checked_items, _ITEMS)):
            for name, (wanted, is_right) in kinds.items():
                own = getattr(cls, name)
                if inspect.isfunction(own) and not hasattr(own, _CHECKED) and not getattr(own, "__isabstractmethod__", False):
                    setattr(cls, name, wrap(own, f"{cls.__name__}.{name}", wanted, is_right))


@contextmanager
def _store_errors(called: str) -> Generator[None]:
    """Raise DataLayerError for an error that is not one of resourcekit."""
    try:
        yield
    except (ResourcekitError, Warning):
        raise
    except Exception as error:
        require_no_signal(error)
        msg = f"{called} raised {type(error).__name__}; a store raises errors of resourcekit alone"
        raise DataLayerError(msg) from error


def _wrong_result(method: Callable[..., Any], what: str, called: str) -> WrongResult:
    hint = f"Correct {called}; the conformance suite (DataLayerSuite) finds such faults."
    return WrongResult("RK016", what, path=("data_layer",), origin=method.__module__, hint=hint)


def _checked(method: Callable[..., Any], called: str, wanted: str, is_right: Callable[[object], bool]) -> Callable[..., Any]:
    @functools.wraps(method)
    async def call(*args: Any, **named: Any) -> Any:
        with _store_errors(called):
            result = await method(*args, **named)
        if not is_right(result):
            raise _wrong_result(method, f"{called} must return {wanted}, returned {type(result).__name__}", called)
        return result

    setattr(call, _CHECKED, True)
    return call


def _checked_items(
    method: Callable[..., Any], called: str, wanted: str, is_right: Callable[[object], bool]
) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(*args: Any, **named: Any) -> Any:
        # Called at once: a stream belongs to the transaction that is open now, not when its first item is read.
        with _store_errors(called):
            items: object = method(*args, **named)
        if not hasattr(items, "__anext__"):
            if inspect.iscoroutine(items):
                items.close()
            raise _wrong_result(
                method, f"{called} must return an async iterator of {wanted}, returned {type(items).__name__}", called
            )
        return _each(items, method, called, wanted, is_right)

    setattr(call, _CHECKED, True)
    return call


async def _each(
    items: Any, method: Callable[..., Any], called: str, wanted: str, is_right: Callable[[object], bool]
) -> AsyncIterator[Any]:
    try:
        while True:
            with _store_errors(called):
                try:
                    item = await items.__anext__()
                except StopAsyncIteration:
                    return
            if not is_right(item):
                raise _wrong_result(method, f"{called} must yield {wanted}, yielded {type(item).__name__}", called)
            yield item
    finally:
        if (close := getattr(items, "aclose", None)) is not None:
            await close()
