"""The functions on a resource class: bind what the caller gives, set the colour and the context, run the action."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, Literal, ParamSpec, Self, TypeVar

from resourcekit.declarations.action import Action, CreateAction, DestroyAction, GenericAction, ReadAction, UpdateAction
from resourcekit.engine.bulk import bulk_change, bulk_create
from resourcekit.engine.change import ChangeRunner
from resourcekit.engine.create import CreateRunner
from resourcekit.engine.drive import BothColours, drive, in_colour
from resourcekit.engine.generic import GenericRunner
from resourcekit.engine.read import ReadRunner
from resourcekit.engine.runtime import Runtime, runtime_of
from resourcekit.errors import InvalidArgument
from resourcekit.flow.context import Context, ambient_context, context
from resourcekit.flow.result import BulkResult

__all__ = [
    "Caller",
    "action_of",
    "caller_for",
    "run_action",
]

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")
Runner = CreateRunner | ChangeRunner | ReadRunner | GenericRunner


def _compile(runtime: Runtime, action: Action) -> Runner:
    match action:
        case CreateAction():
            return CreateRunner(runtime, action)
        case UpdateAction() | DestroyAction():
            return ChangeRunner(runtime, action)
        case ReadAction():
            return ReadRunner(runtime, action)
        case GenericAction():
            return GenericRunner(runtime, action)
        case _:
            msg = f"{type(action).__name__} is no kind of action that the engine runs"
            raise TypeError(msg)


class Caller:
    """An action on its resource class: called, it runs in this thread; ``.aio`` gives an awaitable."""

    def __init__(self, resource: Any, action: Action, facts: Mapping[str, Any] | None = None) -> None:
        self._resource, self._action, self._facts = resource, action, facts
        self.__name__, self.__doc__ = action.name, action.doc
        self._positional = tuple(action.arguments)

    def __get__(self, record: Any, owner: type) -> Any:
        """Return the action itself; on a record, the action for that record where it takes one."""
        return self

    def __call__(self, *args: Any, **given: Any) -> Any:
        """Run the action now, in this thread."""
        return drive(self._run(args, given))

    def aio(self, *args: Any, **given: Any) -> Coroutine[Any, Any, Any]:
        """Return a coroutine that runs the action."""
        return in_colour(self._run(args, given))

    def using(self, **facts: Any) -> Self:
        """Return this action with facts for its calls: ``actor``, ``deadline``, ``metadata``. Raises InvalidArgument."""
        context(**facts)  # says what is wrong with them here, not at the call
        return type(self)(self._resource, self._action, {**(self._facts or {}), **facts})

    def __repr__(self) -> str:
        """``<create action Ticket.submit>``."""
        return f"<{self._action.kind} action {self._resource.__name__}.{self._action.name}>"

    def runner(self) -> Any:
        """Return what runs the action, compiled once. Raises what sealing the domain found."""
        runtime = runtime_of(self._resource)
        return runtime.keep(("runner", self._action.name), lambda: _compile(runtime, self._action))

    async def _run(self, args: tuple[Any, ...], given: Mapping[str, Any]) -> Any:
        return await self.within(lambda surroundings: self.start(args, given, surroundings))

    async def within(self, work: Callable[[Context], Coroutine[Any, Any, T]]) -> T:
        """Run work in the context of this call."""
        if self._facts is None:
            surroundings = ambient_context()
            surroundings.require_time()
            return await work(surroundings)
        with context(**self._facts) as surroundings:
            surroundings.require_time()
            return await work(surroundings)

    def start(self, args: tuple[Any, ...], given: Mapping[str, Any], surroundings: Context) -> Coroutine[Any, Any, Any]:
        """Bind positional arguments to their names, in the order of declaration, and run."""
        if args:
            given = self._bind(args, given)
        return self.runner().run(given, surroundings)  # type: ignore[no-any-return]  # each runner's own result

    def _bind(self, args: tuple[Any, ...], given: Mapping[str, Any]) -> dict[str, Any]:
        where = {"resource": self._resource.__name__, "action": self._action.name}
        if len(args) > len(self._positional):
            raise InvalidArgument(f"takes {len(self._positional)} arguments by position, not {len(args)}", **where)
        named = dict(zip(self._positional, args, strict=False))
        if twice := sorted(named.keys() & given.keys()):
            raise InvalidArgument(f"{twice[0]} is given by position and by name", **where)
        return {**named, **given}


class CreateCaller(Caller):
    """A create action; ``.bulk`` creates many."""

    @property
    def bulk(self) -> BothColours[..., BulkResult[Any]]:
        """Create many records: ``bulk(rows, *, batch_size=1000, return_records=True)``; see engine.bulk."""

        async def run(
            rows: Iterable[Mapping[str, Any]], *, batch_size: int = 1000, return_records: bool = True
        ) -> BulkResult[Any]:
            return await self.within(
                lambda surroundings: bulk_create(
                    self.runner(), rows, surroundings, batch_size=batch_size, return_records=return_records
                )
            )

        return BothColours(run)


class ChangeCaller(Caller):
    """An update or destroy action: ``Ticket.close(ticket)``, ``Ticket.close(key)`` or ``ticket.close()``."""

    def __get__(self, record: Any, owner: type) -> Any:
        """Return the action, or on a record the action for that record."""
        return self if record is None else _OnRecord(self, record)

    def start(self, args: tuple[Any, ...], given: Mapping[str, Any], surroundings: Context) -> Coroutine[Any, Any, Any]:
        """Take the record (or its key) off the front, and run."""
        if not args:
            msg = "needs the record, or its primary key, as its first argument"
            raise InvalidArgument(msg, resource=self._resource.__name__, action=self._action.name)
        record, *rest = args
        if rest:
            given = self._bind(tuple(rest), given)
        return self.runner().run(record, given, surroundings)  # type: ignore[no-any-return]

    @property
    def bulk(self) -> BothColours[..., BulkResult[Any]]:
        """Write to many: ``bulk(query, *, strategy="atomic", **input)``; see engine.bulk."""

        async def run(target: Any, *, strategy: Literal["atomic", "stream"] | None = None, **given: Any) -> BulkResult[Any]:
            return await self.within(
                lambda surroundings: bulk_change(self.runner(), target, given, surroundings, strategy=strategy)
            )

        return BothColours(run)


class _OnRecord:
    """An update or destroy action for one record."""

    __slots__ = ("_caller", "_record")

    def __init__(self, caller: ChangeCaller, record: Any) -> None:
        self._caller, self._record = caller, record

    def __call__(self, *args: Any, **given: Any) -> Any:
        """Run it now, in this thread."""
        return self._caller(self._record, *args, **given)

    def aio(self, *args: Any, **given: Any) -> Coroutine[Any, Any, Any]:
        """Return a coroutine that runs it."""
        return self._caller.aio(self._record, *args, **given)

    def __repr__(self) -> str:
        """``<update action Ticket.close of Ticket(...)>``, as the record shows itself."""
        return f"{repr(self._caller)[:-1]} of {self._record!r}>"

    def using(self, **facts: Any) -> _OnRecord:
        """Return it with facts for its calls; see Caller."""
        return _OnRecord(self._caller.using(**facts), self._record)


def caller_for(resource: Any, action: Action) -> Caller:
    """Return the caller of an action, as it is put on the class."""
    kinds: dict[str, type[Caller]] = {"create": CreateCaller, "update": ChangeCaller, "destroy": ChangeCaller}
    return kinds.get(action.kind, Caller)(resource, action)


def action_of(resource: Any, name: str) -> Any:
    """Return a declared action as it is called, also where a function owns its name on the class."""
    return resource.__runtime__.keep(("caller", name), lambda: caller_for(resource, resource.__info__.actions[name]))


async def run_action(resource: Any, name: str, given: Mapping[str, Any]) -> Any:
    """Run a declared action by name, for functions of extensions; it joins the context and the colour of the call."""
    return await action_of(resource, name).start((), given, ambient_context())
