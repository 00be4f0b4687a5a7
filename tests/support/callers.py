"""Calls to functions of the framework in either call mode, and how long they took."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

from resourcekit import context, transaction

__all__ = ["Call", "Caller", "Watch"]


class Caller:
    """Makes calls in one call mode; the async ones all in one loop, so that its connections are kept between them."""

    def __init__(self, call_mode: str) -> None:
        self.call_mode = call_mode
        self._runner = asyncio.Runner() if call_mode == "async" else None

    @property
    def is_async(self) -> bool:
        """Whether it makes async calls."""
        return self._runner is not None

    def __call__(self, function: Any, *args: Any, **named: Any) -> Any:
        """Call a function of the framework."""
        return self.run(function.aio(*args, **named)) if self.is_async else function(*args, **named)

    def within(self, deadline: timedelta, function: Any, *args: Any, **named: Any) -> Any:
        """Do the same with a deadline."""

        async def work() -> Any:
            with context(deadline=deadline):
                return await function.aio(*args, **named)

        if self.is_async:
            return self.run(work())
        with context(deadline=deadline):
            return function(*args, **named)

    def run(self, work: Any) -> Any:
        """Run a coroutine in the loop."""
        assert self._runner is not None
        return self._runner.run(work)

    def in_transaction(self, resource: Any, steps: Sequence[Callable[[], Any]]) -> None:
        """Take steps inside a transaction; a step that returns a Call has it called."""
        if self.is_async:
            self.run(self._in_transaction(resource, steps))
            return
        with transaction(resource):
            for step in steps:
                step_result = step()
                if isinstance(step_result, Call):
                    step_result.function(*step_result.args, **step_result.named)

    async def _in_transaction(self, resource: Any, steps: Sequence[Callable[[], Any]]) -> None:
        async with transaction(resource):
            for step in steps:
                step_result = step()
                if isinstance(step_result, Call):
                    await step_result.function.aio(*step_result.args, **step_result.named)

    def close(self) -> None:
        """End the loop."""
        if self._runner is not None:
            self._runner.close()


class Call:
    """A function of the framework with its arguments, not called yet."""

    def __init__(self, function: Any, *args: Any, **named: Any) -> None:
        self.function, self.args, self.named = function, args, named


class Watch:
    """Measures a block in real time, because that is what a server that does not answer costs."""

    seconds = began = 0.0

    def __enter__(self) -> Self:
        self.began = time.monotonic()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.seconds = time.monotonic() - self.began
