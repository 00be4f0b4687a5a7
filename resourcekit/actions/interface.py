"""The action functions on a resource class: bind arguments, set call mode and context, run the action."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, Literal, ParamSpec, Self, TypeVar

from resourcekit.actions.bulk import bulk_change, bulk_create
from resourcekit.actions.create import CreateRunner
from resourcekit.actions.drive import SyncAndAsync, async_form
from resourcekit.actions.generic import GenericRunner
from resourcekit.actions.read import ReadRunner
from resourcekit.actions.resource_query import ResourceQuery
from resourcekit.actions.runtime import Runtime, Seal, runtime_of
from resourcekit.actions.update import ChangeRunner
from resourcekit.call_context import Context, apart, context, current_context, drive, in_call_mode
from resourcekit.declarations.action import Action, CreateAction, DestroyAction, GenericAction, ReadAction, UpdateAction
from resourcekit.errors import DeclarationError, InvalidArgument
from resourcekit.known_names import KnownNames
from resourcekit.results import BulkResult, Written

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
            what = f"{type(action).__name__} is no kind of action that can run"
            hint = "Inherit from CreateAction, ReadAction, UpdateAction, DestroyAction or GenericAction."
            where: dict[str, Any] = {"resource": runtime.info.name, "path": ("actions", action.name)}
            raise DeclarationError("RK057", what, origin=action.origin, hint=hint, **where)


class Caller(KnownNames):
    """An action on its resource class. A call runs it in this thread; ``.aio`` returns a coroutine."""

    def __init__(self, resource: Any, action: Action, facts: Mapping[str, Any] | None = None) -> None:
        self._resource, self._action, self._facts = resource, action, facts
        self.__name__, self.__doc__ = action.name, action.doc
        self._positional = tuple(action.arguments)
        self._runner: Any = None
        self._seal = Seal()

    def __get__(self, record: Any, owner: type) -> Any:
        """Return the action. On a record, an update or destroy action is bound to that record."""
        return self

    def __call__(self, *args: Any, **given: Any) -> Any:
        """Run the action now, in this thread."""
        return drive(self._run(args, given))

    @async_form
    def aio(self, *args: Any, **given: Any) -> Coroutine[Any, Any, Any]:
        """Return a coroutine that runs the action."""
        return in_call_mode(self._run(args, given))

    def using(self, **facts: Any) -> Self:
        """Return this action with an ``actor``, a ``tenant``, a ``deadline`` or ``metadata`` for its calls. Raise InvalidArgument for a wrong
        value.
        """
        context(**facts)  # raises for wrong values here, not at the call
        return type(self)(self._resource, self._action, {**(self._facts or {}), **facts})

    def __repr__(self) -> str:
        """Return ``<create action Ticket.submit>``."""
        return f"<{self._action.kind} action {self._resource.__name__}.{self._action.name}>"

    def runner(self) -> Any:
        """Return the runner of the action, compiled once. Raise DeclarationError if sealing the domain found an error."""
        if not self._seal.is_done:
            runtime = runtime_of(self._resource)
            self._runner, self._seal = runtime.keep(("runner", self._action.name), _compile, runtime, self._action), runtime.seal
        return self._runner

    async def _run(self, args: tuple[Any, ...], given: Mapping[str, Any]) -> Any:
        if self._facts is None and (deployment := current_context.get()).deadline is None:
            return await self.start(args, given, deployment)
        return await self.within(lambda deployment: self.start(args, given, deployment))

    async def within(self, work: Callable[[Context], Coroutine[Any, Any, T]]) -> T:
        """Run work in the context of this call."""
        if self._facts is None:
            deployment = current_context.get()
            deployment.require_time()
            return await work(deployment)
        with context(**self._facts) as deployment:
            deployment.require_time()
            return await work(deployment)

    def start(self, args: tuple[Any, ...], given: Mapping[str, Any], deployment: Context) -> Coroutine[Any, Any, Any]:
        """Bind positional arguments to their names, in the order of declaration, and run."""
        if args:
            given = self._bind(args, given)
        return self.runner().run(given, deployment)  # type: ignore[no-any-return]  # each runner's own result

    def _bind(self, args: tuple[Any, ...], given: Mapping[str, Any]) -> dict[str, Any]:
        where = {"resource": self._resource.__name__, "action": self._action.name}
        if len(args) > len(self._positional):
            raise InvalidArgument(f"takes {len(self._positional)} arguments by position, not {len(args)}", **where)
        named = dict(zip(self._positional, args, strict=False))
        if twice := sorted(named.keys() & given.keys()):
            raise InvalidArgument(f"{twice[0]} is given by position and by name", **where)
        return {**named, **given}


class ReadCaller(Caller):
    """A read action; ``.query`` returns its records as a query that goes on."""

    def query(self, *args: Any, **given: Any) -> ResourceQuery[Any]:
        """Return a query over the records of this action: ``Ticket.newer_than.query(moment).sort("-opened_at").page(limit=20)``.

        The action prepares the query each time that it runs. Conditions that are added narrow those of the action, a sort
        replaces its order, and the smaller of two limits applies.
        """
        bound = self._bind(args, given) if args else given
        return ResourceQuery(resource=self._resource, read=self._action.name, given=bound, facts=self._facts)


class CreateCaller(Caller):
    """A create action; ``.bulk`` creates many records."""

    @property
    def bulk(self) -> SyncAndAsync[..., BulkResult[Any]]:
        """Create many records: ``bulk(rows, *, batch_size=1000, return_records=True)``; see ``bulk.bulk_create``."""

        async def run(
            rows: Iterable[Mapping[str, Any]], *, batch_size: int = 1000, return_records: bool = True
        ) -> BulkResult[Any]:
            with apart():  # each statement has the whole timeout for itself
                return await self.within(
                    lambda deployment: bulk_create(
                        self.runner(), rows, deployment, batch_size=batch_size, return_records=return_records
                    )
                )

        return SyncAndAsync(run)

    @property
    def outcome(self) -> SyncAndAsync[..., Written[Any]]:
        """Create a record, or update the existing one. Return it with the outcome: ``Written(record, outcome)``."""

        async def run(*args: Any, **given: Any) -> Written[Any]:
            bound = self._bind(args, given) if args else given
            return await self.within(lambda deployment: self.runner().outcome(bound, deployment))

        return SyncAndAsync(run)


class ChangeCaller(Caller):
    """An update or destroy action: ``Ticket.close(ticket)``, ``Ticket.close(key)`` or ``ticket.close()``."""

    def __get__(self, record: Any, owner: type) -> Any:
        """Return the action; on a record, the action for that record."""
        return self if record is None else _OnRecord(self, record)

    def start(self, args: tuple[Any, ...], given: Mapping[str, Any], deployment: Context) -> Coroutine[Any, Any, Any]:
        """Take the record (or its key) from the first argument, and run."""
        if not args:
            msg = "needs the record, or its primary key, as its first argument"
            raise InvalidArgument(msg, resource=self._resource.__name__, action=self._action.name)
        record, *rest = args
        if rest:
            given = self._bind(tuple(rest), given)
        return self.runner().run(record, given, deployment)  # type: ignore[no-any-return]

    @property
    def bulk(self) -> SyncAndAsync[..., BulkResult[Any]]:
        """Write to many records: ``bulk(query, *, strategy="atomic", return_records=False, **input)``; see
        ``bulk.bulk_change``.
        """

        async def run(
            target: Any, *, strategy: Literal["atomic", "stream"] | None = None, return_records: bool = False, **given: Any
        ) -> BulkResult[Any]:
            with apart():  # each statement has the whole timeout for itself
                return await self.within(
                    lambda deployment: bulk_change(
                        self.runner(), target, given, deployment, strategy=strategy, return_records=return_records
                    )
                )

        return SyncAndAsync(run)


class _OnRecord(KnownNames):
    """An update or destroy action for one record."""

    __slots__ = ("_caller", "_record")

    def __init__(self, caller: ChangeCaller, record: Any) -> None:
        self._caller, self._record = caller, record

    def __call__(self, *args: Any, **given: Any) -> Any:
        """Run the action now, in this thread."""
        return self._caller(self._record, *args, **given)

    @async_form
    def aio(self, *args: Any, **given: Any) -> Coroutine[Any, Any, Any]:
        """Return a coroutine that runs the action."""
        return self._caller.aio(self._record, *args, **given)

    def __repr__(self) -> str:
        """Return ``<update action Ticket.close of Ticket(...)>``, with the ``repr`` of the record."""
        return f"{repr(self._caller)[:-1]} of {self._record!r}>"

    def using(self, **facts: Any) -> _OnRecord:
        """Return this action with an ``actor``, a ``tenant``, a ``deadline`` or ``metadata`` for its calls."""
        return _OnRecord(self._caller.using(**facts), self._record)


def caller_for(resource: Any, action: Action) -> Caller:
    """Return the caller that is put on the class for an action."""
    kinds: dict[str, type[Caller]] = {
        "create": CreateCaller,
        "read": ReadCaller,
        "update": ChangeCaller,
        "destroy": ChangeCaller,
    }
    return kinds.get(action.kind, Caller)(resource, action)


def action_of(resource: Any, name: str) -> Any:
    """Return the caller of a declared action, even if a function has its name on the class."""
    return resource.__runtime__.keep(("caller", name), lambda: caller_for(resource, resource.__info__.actions[name]))


async def run_action(resource: Any, name: str, given: Mapping[str, Any]) -> Any:
    """Run a declared action by name, for functions of extensions. It uses the context and the call mode of the running call."""
    return await action_of(resource, name).start((), given, current_context.get())
