"""Coalescing: reads by key of many tasks, and loads of the related rows of one record each, are combined into one statement.

A task waits for the next statement to be sent, never for one that was already sent. So it sees all commits from before its
call. Only reads outside of transactions whose result depends on their key alone are combined. A load gets its rows in the order of the
statement, which is the order of the load.
"""

from __future__ import annotations

import asyncio
import copy
import weakref
from collections.abc import Callable, Coroutine, Sequence
from contextvars import Context
from typing import Any, Protocol

import attrs
import sqlalchemy as sa

from resourcekit.call_context import Deadline, context
from resourcekit.data_layers.base import Aggregate, Params, Select, UnsupportedExpression
from resourcekit.data_layers.by_key import ByKey, among, by_key, scalars_of, with_values
from resourcekit.data_layers.sql.compile.compiler import Compiler
from resourcekit.data_layers.sql.compile.expressions import Builder
from resourcekit.data_layers.sql.compile.parts import Bind
from resourcekit.data_layers.sql.compile.statement import SQLPlan, Statement
from resourcekit.data_layers.sql.dialects.columns import Family, Form
from resourcekit.data_layers.sql.execution.connection import Connection
from resourcekit.data_layers.sql.execution.execute import with_timeout
from resourcekit.data_layers.sql.execution.failures import too_late
from resourcekit.data_layers.sql.execution.needs import Requester, requesters
from resourcekit.data_layers.transactions import aside
from resourcekit.data_layers.unstorable import NoneGiven, Unstorable
from resourcekit.errors import Unavailable
from resourcekit.expressions.nodes import Expression, Field, In, Param, all_of
from resourcekit.expressions.related import Related
from resourcekit.expressions.rewriting import children

__all__ = ["Question", "question_of"]

_FAMILIES = (Family.TEXT, Family.NUMBER, Family.UUID)
_FORMS = (Form.TEXT, Form.INTEGER, Form.UUID)
_KEYS = "resourcekit keys"
"""Name of the parameter that holds keys. No parameter of an action has such a name."""

_LEAST, _MOST = 24, 128
"""Least number of calls that justify a statement of their own while another one can be sent; most calls of one statement."""

_AT_ONCE = 2
"""Most statements of one question in flight: while the database runs one, the next is prepared."""

_MOST_QUESTIONS = 64
"""Most combinations of values for which loads are combined."""

_running_tasks: set[asyncio.Task[None]] = set()
"""Strong references to running tasks; the loop keeps only weak ones."""

_BROKEN_OFF = "the statement that answers several calls was broken off"

Keys = dict[Any, Any]
"""Values of a primary key, by their stored form."""

_Asked = tuple["asyncio.Future[list[Any]]", Keys, Deadline, Requester]
"""A waiting call: the future for its answer, its keys, its deadline, and who asks."""

Read = Callable[..., Coroutine[Any, Any, list[Any]]]
"""Runs ``work(connection, *args)`` on a connection; raises errors of resourcekit."""


def question_of(plan: SQLPlan, compiler: Compiler, run: Read, seconds: float) -> Question | _Questions | None:
    """Return the Question that combines reads of this plan; ``None`` if each needs its own statement. seconds: time limit."""
    operation = plan.operation
    keys, asks = tuple(column.key for column in compiler.table.primary_key), Select()
    if isinstance(operation, Select):
        if operation.figures is not None or operation.lock or operation.distinct:
            return None
        asks = operation
        fields = asks.fields if asks.fields is not None else tuple(compiler.codecs)
    elif isinstance(operation, Aggregate) and operation.kind == "exists":
        fields = ()
    else:
        return None
    asked, related = by_key(operation.condition, keys), None
    if asked is None and isinstance(operation, Select):
        related = among(operation.condition)
    if related is not None:
        key, asked = related
    elif asked is not None and not asks.order:
        (key,) = keys
    else:
        return None
    if asks.each != ((key,) if asks.limit is not None or asks.offset is not None else ()) or (
        asks.computed and key not in fields
    ):
        return None
    codec, names = compiler.codecs.get(key), _scalars(asks, asked.rest)
    if names is None or (names and related is None) or codec is None or codec.family not in _FAMILIES or codec.form not in _FORMS:
        return None
    fields = fields if key in fields else (*fields, key)
    is_simple = compiler.dialect.arrays and not (asks.each or asks.computed or any(map(_is_related, (asked.rest, *_sorts(asks)))))
    kind = _Array if is_simple else _Items

    def question(values: Params) -> Question:
        def known(node: Any) -> Any:
            return None if node is None else with_values(node, values)

        read = Select(
            known(asked.rest),
            tuple(attrs.evolve(each, by=known(each.by)) for each in asks.order),
            asks.limit,
            asks.offset,
            fields,
            each=asks.each,
            computed={name: known(node) for name, node in asks.computed.items()},
        )
        if values and not asks.each:
            compiler.statement(read)  # raises here for values that the statement of one call refuses with their names
        many = kind(compiler, key, read, values)
        return Question(many, asked, fields.index(key), codec.encode, run, seconds, is_related=related is not None)

    return _Questions(names, question) if names else question({})


def _sorts(operation: Select) -> tuple[Expression, ...]:
    return tuple(each.by for each in operation.order)


def _scalars(operation: Select, rest: Expression | None) -> tuple[str, ...] | None:
    """Return the names of the values of a read besides its key; ``None`` if it depends on more than stored rows and these."""
    nodes = (rest, *_sorts(operation), operation.limit, operation.offset, *operation.computed.values())
    found = [scalars_of(node) for node in nodes]
    return None if None in found else tuple(dict.fromkeys(name for names in found for name in names or ()))


def _is_related(node: Expression | None) -> bool:
    return node is not None and (isinstance(node, Related) or any(map(_is_related, children(node))))


class _Questions:
    """The questions of loads whose conditions have values: one for each combination of values."""

    def __init__(self, names: tuple[str, ...], question: Callable[[Params], Question]) -> None:
        self._names, self._question = names, question
        self._made: dict[Any, Question] = {}

    def of(self, params: Params) -> Question | None:
        """Return the question with these values; ``None`` if there are too many, or a statement cannot have them as constants."""
        values = {name: params[name] for name in self._names}
        key = tuple((type(value), value) for value in values.values())
        try:
            found = self._made.get(key)
        except TypeError:
            return None
        if found is None and len(self._made) < _MOST_QUESTIONS:
            try:
                found = self._made[key] = self._question(values)
            except (UnsupportedExpression, Unstorable, NoneGiven):
                return None
        return found


class _Many(Protocol):
    """A statement that finds the rows of many keys."""

    def prepared(self, keys: Keys) -> tuple[str, Sequence[Any]]:
        """Return the text of the statement and its values."""
        ...


class _Array:
    """One array parameter holds all keys, so one statement text serves any number of keys."""

    def __init__(self, compiler: Compiler, key: str, asked: Select, values: Params) -> None:
        del values
        builder = Builder(compiler.dialect, compiler.table, compiler.codecs, compiler.resource)
        column = compiler.table.c[key]
        builder.binds["keys"] = Bind(_KEYS, list)
        held = sa.bindparam("keys", type_=sa.ARRAY(column.type.as_generic()))
        built = sa.select(*(compiler.table.c[name] for name in asked.fields or ())).where(column == sa.any_(held))
        if asked.condition is not None:
            built = built.where(builder.test(asked.condition))
        built = built.order_by(*(builder.sort_key(each.by, descending=each.descending) for each in asked.order))
        self._statement = Statement(built, compiler.sa_dialect, builder.binds, compiler.resource)

    def prepared(self, keys: Keys) -> tuple[str, Sequence[Any]]:
        return self._statement.sql, self._statement.values({_KEYS: keys})


class _Items:
    """One parameter for each key."""

    def __init__(self, compiler: Compiler, key: str, asked: Select, values: Params) -> None:
        self._values = values  # of limit and offset
        condition = all_of(In(Field(key), Param(_KEYS)), asked.condition)
        self._plan = SQLPlan(attrs.evolve(asked, condition=condition), compiler.statement, compiler.sends_whole)

    def prepared(self, keys: Keys) -> tuple[str, Sequence[Any]]:
        """Return text and values.

        The last key is repeated up to a power of two, because each number of keys needs a text of its own.
        """
        asked = list(keys.values())
        size = 1 << (len(asked) - 1).bit_length()
        statement, values = self._plan.prepared({**self._values, _KEYS: asked + asked[-1:] * (size - len(asked))})
        return statement.sql, values


class Question:
    """Reads that differ in their keys only, asked by the tasks of each event loop."""

    def __init__(
        self,
        many: _Many,
        asked: ByKey,
        place: int,
        encode: Callable[[Any], Any],
        read: Read,
        seconds: float,
        *,
        is_related: bool = False,
    ) -> None:
        self._is_related = is_related
        self._many, self._params, self._place, self._encode = many, asked.params, place, encode
        self._read, self._seconds = read, seconds
        self._batchers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Batcher] = weakref.WeakKeyDictionary()

    def of(self, params: Params) -> Question:
        """Return the question with the values of these parameters: itself, because it has none."""
        del params
        return self

    def keys(self, params: Params) -> Keys | None:
        """Return the keys of a call; ``None`` if one of them cannot be stored, or a load is for several records."""
        try:
            if self._is_related:
                asked = dict.fromkeys(params[self._params[0]])
                return {self._encode(key): key for key in asked} if len(asked) == 1 else None
            return {self._encode(params[name]): params[name] for name in self._params}
        except (NoneGiven, Unstorable):
            return None

    def ask(self, keys: Keys, deadline: Deadline) -> asyncio.Future[list[Any]]:
        """Return a future for the stored rows of these keys. It raises Timeout once the deadline has passed."""
        loop = asyncio.get_running_loop()
        batcher = self._batchers.get(loop)
        if batcher is None:
            batcher = self._batchers[loop] = _Batcher(self)
        return batcher.ask(loop, keys, deadline)

    async def answer(self, keys: Keys, deadline: Deadline) -> dict[Any, list[Any]]:
        """Return the stored rows of many keys in one statement, by the stored form of the key."""
        sql, values = self._many.prepared(keys)
        with context(deadline=deadline):
            rows = await self._read(Connection.fetch, sql, values, writes=False)
        found: dict[Any, list[Any]] = {}
        for row in rows:
            found.setdefault(row[self._place], []).append(row)
        return found

    async def ask_within(self, deadline: Deadline, keys: Keys) -> list[Any]:
        """Return the stored rows for a call that has a deadline of its own. Raise Timeout once it has passed."""

        async def answer() -> list[Any]:
            # The statement is shared with calls that have more time.
            return await self.ask(keys, Deadline.after_real(self._seconds))

        return await with_timeout(deadline, answer)


class _Batcher:
    """The calls of one event loop that wait for an answer."""

    __slots__ = ("_question", "_starting", "_tasks", "_waiting")

    def __init__(self, question: Question) -> None:
        self._question = question
        self._waiting: list[_Asked] = []
        # No counters: an exception from outside may come between any two lines, and a counter would keep its value.
        self._tasks: set[asyncio.Task[None]] = set()
        self._starting: asyncio.Task[None] | None = None

    def ask(self, loop: asyncio.AbstractEventLoop, keys: Keys, deadline: Deadline) -> asyncio.Future[list[Any]]:
        future: asyncio.Future[list[Any]] = loop.create_future()
        self._waiting.append((future, keys, deadline, (aside.get(), id(asyncio.current_task()))))
        if self._may_call():
            self._call(loop)
        return future

    def _busy(self) -> int:
        """Return how many tasks answer, or are about to."""
        return sum(not task.done() for task in self._tasks)

    def _may_call(self) -> bool:
        """Return whether one more statement is to be sent: none is about to be, and there are not too many."""
        return (self._starting is None or self._starting.done()) and self._busy() < _AT_ONCE

    def _call(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start a task that sends one more statement, after all tasks that can run now have asked.

        It runs in an empty context.
        """
        self._starting = task = loop.create_task(self._go_on(), context=Context())
        self._tasks.add(task)
        _running_tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(_running_tasks.discard)

    async def _go_on(self) -> None:
        taken: list[_Asked] = []
        try:
            self._starting = None
            while self._waiting:
                share = self._share()
                taken = self._waiting[:share]
                self._waiting = self._waiting[share:]
                if self._waiting and self._may_call():
                    self._call(asyncio.get_running_loop())
                await self._answer(taken)
        except BaseException:
            # The task was cancelled, or the program ends. No other task will answer the waiting calls.
            waiting, self._waiting = [*taken, *self._waiting], []
            _fail(waiting, Unavailable(_BROKEN_OFF))
            raise

    def _share(self) -> int:
        """Return how many calls to answer now: only a part, if another statement can be in flight meanwhile."""
        free = max(1, _AT_ONCE - self._busy() + 1)
        return min(_MOST, max(_LEAST, -(-len(self._waiting) // free)))

    async def _answer(self, asked: list[_Asked]) -> None:
        late = [each for each in asked if each[2].expired]
        _fail(late, too_late())
        waiting = [each for each in asked if not each[0].done()] if late else asked
        if not waiting:
            return
        together: Keys = {}
        for _, keys, _, _ in waiting:
            together |= keys
        requesters.set([requester for _, _, _, requester in waiting])  # they may hold connections
        try:
            found = await self._question.answer(together, waiting[0][2])
            for future, keys, _, _ in waiting:
                if not future.done():  # a cancelled call does not wait any more
                    future.set_result([row for key in keys for row in found.get(key, ())])
        except Exception as error:
            _fail(waiting, error)
        except BaseException:
            _fail(waiting, Unavailable(_BROKEN_OFF))
            raise


def _fail(waiting: Sequence[_Asked], error: Exception) -> None:
    """Set an error on all waiting calls. Each gets a copy, because a traceback grows each time an error is raised."""
    for future, _, _, _ in waiting:
        if not future.done():
            future.set_exception(_copied(error))


def _copied(error: Exception) -> Exception:
    """Return a copy; the error itself if it cannot be copied, like many classes of drivers and of user code."""
    try:
        copied = copy.copy(error)
    except Exception:  # a constructor or __reduce__ of a foreign class
        return error
    return copied.with_traceback(error.__traceback__) if isinstance(copied, type(error)) else error
