"""Puts what many tasks ask for by key at one moment into one statement. It knows no resource and holds no connection.

A task that asks waits for the next statement to be sent, never for one that is on its way already: what was committed
before it asked is seen. Only reads outside of transactions come here, whose answers depend on their key alone.
"""

from __future__ import annotations

import asyncio
import copy
import time
import weakref
from collections.abc import Callable, Coroutine, Sequence
from contextvars import Context
from datetime import timedelta
from typing import Any, Protocol

import sqlalchemy as sa

from resourcekit.data_layers.base import Aggregate, Params, Select
from resourcekit.data_layers.by_key import ByKey, by_key
from resourcekit.data_layers.sql.calls import bounded
from resourcekit.data_layers.sql.columns import Form
from resourcekit.data_layers.sql.expressions import Bind, Builder
from resourcekit.data_layers.sql.link import Link
from resourcekit.data_layers.sql.plans import Compiler, SQLPlan
from resourcekit.data_layers.sql.statement import Statement
from resourcekit.data_layers.unstorable import NoneGiven, Unstorable
from resourcekit.errors import Timeout
from resourcekit.flow.context import context
from resourcekit.flow.expression import Expression, Field, In, Param, all_of

__all__ = ["Question", "question_of"]

_KEYS = "resourcekit keys"
"""Name of the parameter that holds keys; no parameter of the engine's has such a name."""

_LEAST, _MOST = 24, 128
"""Calls that are worth a statement of their own while another one is free to be sent, and that one statement answers."""

_AT_ONCE = 2
"""Statements of one question that are on their way at once: while the database works on one, the next is prepared."""

_ending: set[asyncio.Task[None]] = set()
"""Tasks that ask; a loop itself would forget them."""

Keys = dict[Any, Any]
"""Values of a primary key, by their stored form."""

_Asked = tuple["asyncio.Future[list[Any]]", Keys, float]
"""Who waits, for what, and since when by the monotonic clock, in seconds."""

Read = Callable[..., Coroutine[Any, Any, list[Any]]]
"""Runs ``work(link, *args)`` on a connection; raises errors of ours."""


def question_of(plan: SQLPlan, read: Read, seconds: float) -> Question | None:
    """Return how tasks ask this plan together; ``None`` where each has to ask for itself. seconds: that a call may take."""
    operation, compiler = plan.operation, plan.compiler
    keys = tuple(column.name for column in compiler.table.primary_key)
    if isinstance(operation, Select) and not operation.order and operation.limit is None and operation.offset is None:
        fields = operation.fields if operation.fields is not None else tuple(compiler.codecs)
    elif isinstance(operation, Aggregate) and operation.kind == "exists":
        fields = ()
    else:
        return None
    asked = by_key(operation.condition, keys)
    if asked is None or not asked.is_fixed or compiler.codecs[keys[0]].form not in (Form.TEXT, Form.INTEGER):
        return None
    (key,) = keys
    fields = fields if key in fields else (*fields, key)
    many = (_Array if compiler.room.arrays else _Items)(compiler, key, asked.rest, fields)
    return Question(many, asked, fields.index(key), compiler.codecs[key].encode, read, seconds)


class _Many(Protocol):
    """A statement that finds the rows of many keys."""

    def prepared(self, keys: Keys) -> tuple[str, Sequence[Any]]:
        """Return its text, and its values."""
        ...


class _Array:
    """One parameter holds all keys: one statement for any number of them."""

    def __init__(self, compiler: Compiler, key: str, rest: Expression | None, fields: tuple[str, ...]) -> None:
        builder = Builder(compiler.room, compiler.table, compiler.codecs, compiler.resource)
        column = compiler.table.c[key]
        builder.binds["keys"] = Bind(_KEYS, list)
        held = sa.bindparam("keys", type_=sa.ARRAY(column.type.as_generic()))
        built = sa.select(*(compiler.table.c[name] for name in fields)).where(column == sa.any_(held))
        if rest is not None:
            built = built.where(builder.test(rest))
        self._statement = Statement(built, compiler.dialect, builder.binds, compiler.resource)

    def prepared(self, keys: Keys) -> tuple[str, Sequence[Any]]:
        """See _Many."""
        return self._statement.sql, self._statement.values({_KEYS: keys})


class _Items:
    """A parameter for each key."""

    def __init__(self, compiler: Compiler, key: str, rest: Expression | None, fields: tuple[str, ...]) -> None:
        self._plan = SQLPlan(Select(all_of(In(Field(key), Param(_KEYS)), rest), fields=fields), compiler)

    def prepared(self, keys: Keys) -> tuple[str, Sequence[Any]]:
        """See _Many. The last key comes again and again, up to a power of two: each size is a statement of its own."""
        asked = list(keys.values())
        size = 1 << (len(asked) - 1).bit_length()
        statement, values = self._plan.prepared({_KEYS: asked + asked[-1:] * (size - len(asked))})
        return statement.sql, values


class Question:
    """One question that differs in its keys only, as the tasks of each loop ask it."""

    def __init__(self, many: _Many, asked: ByKey, place: int, encode: Callable[[Any], Any], read: Read, seconds: float) -> None:
        self._many, self._params, self._place, self._encode = many, asked.params, place, encode
        self._read, self._seconds = read, seconds
        self._askers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Asker] = weakref.WeakKeyDictionary()

    def keys(self, params: Params) -> Keys | None:
        """Return the keys that a call asks for; ``None`` where one cannot be kept."""
        try:
            return {self._encode(params[name]): params[name] for name in self._params}
        except (NoneGiven, Unstorable):
            return None

    def ask(self, keys: Keys) -> asyncio.Future[list[Any]]:
        """Return what will hold the stored rows of these keys."""
        loop = asyncio.get_running_loop()
        asker = self._askers.get(loop)
        if asker is None:
            asker = self._askers[loop] = _Asker(self)
        return asker.ask(loop, keys)

    async def answer(self, keys: Keys, seconds: float) -> dict[Any, Any]:
        """Return the stored rows of many keys, by the stored form of the key, in one statement."""
        sql, values = self._many.prepared(keys)
        with context(deadline=timedelta(seconds=seconds)):
            rows = await self._read(Link.fetch, sql, values, writes=False)
        return {row[self._place]: row for row in rows}

    async def ask_within(self, seconds: float, keys: Keys) -> list[Any]:
        """Do the same for a call that has a deadline of its own. Raises Timeout."""

        async def answer() -> list[Any]:
            return await self.ask(keys)

        return await bounded(seconds, answer)

    def seconds_left(self, since: float) -> float:
        """Return the seconds that are left to whoever asked at a monotonic time. Raises Timeout where there are none."""
        left = self._seconds - (time.monotonic() - since)
        if left <= 0:
            raise Timeout("the deadline passed before the database answered")
        return left


class _Asker:
    """What the tasks of one loop ask, until it is answered."""

    __slots__ = ("_busy", "_is_called", "_question", "_waiting")

    def __init__(self, question: Question) -> None:
        self._question, self._busy, self._is_called = question, 0, False
        self._waiting: list[_Asked] = []

    def ask(self, loop: asyncio.AbstractEventLoop, keys: Keys) -> asyncio.Future[list[Any]]:
        """See Question."""
        future: asyncio.Future[list[Any]] = loop.create_future()
        self._waiting.append((future, keys, time.monotonic()))
        if not self._is_called and self._busy < _AT_ONCE:
            self._call(loop)
        return future

    def _call(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let one more statement be sent, after all tasks that can run now have asked; nothing of a caller's is around it."""
        self._busy, self._is_called = self._busy + 1, True
        task = loop.create_task(self._go_on(), context=Context())
        _ending.add(task)
        task.add_done_callback(_ending.discard)

    async def _go_on(self) -> None:
        self._is_called = False
        try:
            while self._waiting:
                share = self._share()
                waiting, self._waiting = self._waiting[:share], self._waiting[share:]
                if self._waiting and not self._is_called and self._busy < _AT_ONCE:
                    self._call(asyncio.get_running_loop())
                await self._answer(waiting)
        finally:
            self._busy -= 1

    def _share(self) -> int:
        """Return how many calls to answer now: a part, where another statement can be on its way meanwhile."""
        free = _AT_ONCE - self._busy + 1
        return min(_MOST, max(_LEAST, -(-len(self._waiting) // free)))

    async def _answer(self, waiting: list[_Asked]) -> None:
        together: Keys = {}
        for _, keys, _ in waiting:
            together |= keys
        try:
            found = await self._question.answer(together, self._question.seconds_left(waiting[0][2]))
        except Exception as error:
            for future, _, _ in waiting:
                if not future.done():  # nobody waits for what was cancelled
                    future.set_exception(copy.copy(error))
            return
        except BaseException:
            for future, _, _ in waiting:
                future.cancel()
            raise
        for future, keys, _ in waiting:
            if not future.done():
                future.set_result([found[key] for key in keys if key in found])
