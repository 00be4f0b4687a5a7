"""What authors of extensions and data layers write, and what both type checkers know of it. Only checked, never run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, TypeVar, assert_type

import attrs

from resourcekit import Attr, Changeset, Context, Query, Resource, attribute, filter, read, set_attribute, update  # noqa: A004
from resourcekit.extending import (
    Action,
    Aggregate,
    Attribute,
    Capability,
    Change,
    Check,
    DataLayer,
    Delete,
    DestroyAction,
    Draft,
    Entity,
    Expression,
    Extension,
    Facts,
    Field,
    Finding,
    Insert,
    Lease,
    Operation,
    Plan,
    Preparation,
    ResourceInfo,
    Row,
    RowsStore,
    Select,
    Service,
    ServiceContext,
    State,
    Store,
    Template,
    Transaction,
    Transformer,
    Update,
    Validation,
    Verifier,
    Word,
    WriteResult,
    compile_expression,
    function,
    hookimpl,
    maybe_record_function,
    named,
    off_loop,
    option,
    record_function,
    records_function,
    require_keys,
    run_action,
    runtime_of,
)
from resourcekit.testing import DataLayerSuite

T = TypeVar("T")

# Steps of actions


class Stamp(Change):
    """A change with all its forms."""

    def __init__(self, name: str) -> None:
        self.name = name

    def change(self, changeset: Changeset, context: Context) -> Changeset:
        """Set the moment."""
        return changeset.set(**{self.name: context.now()})

    def atomic(self, changeset: Changeset, context: Context) -> Mapping[str, Any]:
        """Set it in the statement."""
        return {self.name: context.now()}

    async def batch(self, changesets: Sequence[Changeset], context: Context) -> Sequence[Changeset]:
        """Set it in many."""
        return [self.change(changeset, context) for changeset in changesets]


class Polite(Validation):
    """A validation with both forms."""

    def validate(self, changeset: Changeset, context: Context) -> str | None:
        """Look for the word."""
        return None if "please" in str(changeset.get("text")) else "must say please"

    def atomic(self, changeset: Changeset, context: Context) -> Expression:
        """Look for it in the statement."""
        return Field("text").like("%please%")


class Newest(Preparation):
    """A preparation."""

    def prepare(self, query: Query[Any], context: Context) -> Query[Any]:
        """Return the newest."""
        return query.sort(Field("at").desc()).limit(1)


# An extension with everything that it may bring


@attrs.frozen(kw_only=True, eq=False)
class Channel(Entity):
    """A word for class bodies."""

    section: ClassVar[str] = "channels"
    address: str = ""


class ChannelWord(Word):
    """The declarations of the class body."""


def channel(address: str) -> ChannelWord:
    """Declare a channel."""
    return ChannelWord(Channel(address=address))


class AddStamp(Transformer):
    """A step that adds."""

    def transform(self, state: State, options: Stamps) -> State:
        """Add an attribute and an action."""
        assert_type(state.attributes, Mapping[str, Attribute])
        assert_type(state.all_of(Channel), Mapping[str, Channel])
        assert_type(state.extension(Stamps), Stamps | None)
        touched = named("touch_it", update(changes=[Stamp(options.name), set_attribute("text", "")]))
        assert_type(touched, Action)
        added = state.add_new(Attribute.of(options.name, datetime | None, default=None), touched)
        assert_type(added, State)
        return added.set_option("notifiers", ()).persist("stamps", options.name).define("stamped", stamped)


class HideStamped(Transformer):
    """A step that comes after another one."""

    after: ClassVar[frozenset[type[Transformer]]] = frozenset({AddStamp})

    def transform(self, state: State, options: Stamps) -> State:
        """Hide."""
        for action in state.all_of(DestroyAction).values():
            state = state.replace(attrs.evolve(action, soft=True))
        return state.remove("nothing")


class NameIsFree(Verifier):
    """A check of the finished facts."""

    across: ClassVar[bool] = True

    def verify(self, info: ResourceInfo, options: Stamps) -> Iterable[Finding]:
        """Find nothing."""
        if _is_taken(info, options.name):
            yield Finding(id="STAMPS01", what="is taken", cure="Rename it.", path=("attributes",), origin=info.origin)


def _is_taken(facts: Facts, name: str) -> bool:
    return name in facts.actions or name in facts.identities


class ClockIsRight(Check):
    """A look of doctor."""

    async def check(self, info: ResourceInfo, options: Stamps) -> Iterable[Finding]:
        """Find a wrong clock."""
        return [Finding(id="STAMPS02", what="is late", cure="Set it.", level="warning")]


class Restamper(Service):
    """Background work."""

    def interval(self, options: Stamps) -> timedelta:
        """Say how often."""
        return options.every

    async def run(self, context: ServiceContext) -> object:
        """Do it once."""
        return await restamp.function(context.resource) if await context.proceed() else None


class StampedRecord(Resource, abstract=True):
    """A template."""

    at: Attr[datetime | None] = attribute(default=None)
    newest = read(preparations=[Newest(), filter(Field("at") > Field("at"))], get=True)


@attrs.frozen(kw_only=True)
class Stamps(Extension):
    """Options, and what they lead to."""

    name: str = option(default="stamped_at", doc="Name of the attribute.", check=lambda value: None if value else "is empty")
    every: timedelta = option(default=timedelta(hours=1))
    names: list[str] = option(factory=list)

    entities: ClassVar[tuple[type[Entity], ...]] = (Channel,)
    template: ClassVar[type[Template] | None] = StampedRecord
    transformers: ClassVar[tuple[type[Transformer], ...]] = (AddStamp, HideStamped)
    verifiers: ClassVar[tuple[type[Verifier], ...]] = (NameIsFree,)
    services: ClassVar[tuple[type[Service], ...]] = (Restamper,)
    checks: ClassVar[tuple[type[Check], ...]] = (ClockIsRight,)


@function
async def restamp(resource: Any, *, most: int = 10) -> int:
    """Stamp again."""
    plan = runtime_of(resource).plan("restamp", lambda: Select(Field("at").is_none()))
    return len(await runtime_of(resource).store.select(plan, {"most": most}))


@record_function
async def stamped(resource: Any, key: int) -> Any:
    """Stamp one."""
    return await run_action(resource, "touch_it", {"key": key})


@maybe_record_function
async def newest(resource: Any) -> Any:
    """Find the newest one."""
    return await run_action(resource, "newest", {})


@records_function
async def oldest(resource: Any, most: int) -> list[Any]:
    """Find the oldest ones."""
    return list(await run_action(resource, "read", {}))[:most]


class Letter(StampedRecord, extensions=[Stamps(name="sent_at")]):
    """A resource with the extension."""

    id: Attr[int] = attribute(primary_key=True)
    by_mail = channel("a@example.org")
    restamp = restamp
    stamped = stamped
    oldest = oldest


async def use(letter: Letter) -> None:
    """Functions of an extension are typed in every spelling."""
    assert_type(Letter.restamp(most=3), int)
    assert_type(await Letter.stamped.aio(3), Letter)
    assert_type(Letter.oldest(3), list[Letter])
    assert_type(restamp(Letter), int)
    assert_type(await stamped.aio(Letter, key=3), Letter)
    assert_type(newest(Letter), Letter | None)
    assert_type(Letter.newest(), Letter | None)
    assert_type(letter.at, datetime | None)
    assert_type(Stamps.of(Letter).every, timedelta)


@hookimpl
def resourcekit_extensions() -> dict[str, type[Extension]]:
    """Announce."""
    return {"stamps": Stamps}


# A data layer on rows in Python, and one that does all by itself


class Kept(RowsStore):
    """Where rows are."""

    @property
    def group(self) -> Hashable:
        return "kept"

    async def read(self, work: Callable[[Draft], T]) -> T:
        return await off_loop(lambda: work(self.table.committed))

    async def write(self, work: Callable[[Draft], T]) -> T:
        draft = Draft(self.table, tracked=False)
        result = work(draft)
        draft.apply()
        return result

    async def health(self) -> Iterable[Finding]:
        return []

    async def create_storage(self) -> None:
        pass

    async def close(self) -> None:
        pass


class OwnPlan(Plan):
    """A compiled operation."""

    __slots__ = ("matches",)

    def __init__(self, operation: Operation) -> None:
        super().__init__(operation)
        condition = None if isinstance(operation, Insert) else operation.condition
        self.matches = None if condition is None else compile_expression(condition)


class OwnStore(Store):
    """Every method of the port."""

    capabilities = frozenset({Capability.FILTER})

    def __init__(self, info: ResourceInfo) -> None:
        self.info = info

    @property
    def group(self) -> Hashable:
        return self

    def compile(self, operation: Operation) -> Plan:
        match operation:
            case Select() | Aggregate() | Insert() | Update() | Delete():
                return OwnPlan(operation)
            case _:
                return Plan(operation)

    async def select(self, plan: Plan, params: Mapping[str, Any]) -> Sequence[Row]:
        assert isinstance(plan, OwnPlan)
        rows: list[Row] = [{"id": 1}]
        return [row for row in rows if plan.matches is None or plan.matches(row, params, row)]

    async def stream(self, plan: Plan, params: Mapping[str, Any]) -> AsyncIterator[Row]:
        for row in await self.select(plan, params):
            yield row

    async def insert(self, plan: Plan, rows: Sequence[Row], params: Mapping[str, Any]) -> WriteResult:
        return WriteResult(len(rows), tuple(rows))

    async def update(self, plan: Plan, params: Mapping[str, Any]) -> WriteResult:
        return WriteResult(0)

    async def delete(self, plan: Plan, params: Mapping[str, Any]) -> WriteResult:
        return WriteResult(0)

    async def delete_in_batches(
        self, plan: Plan, params: Mapping[str, Any], *, pace: timedelta = timedelta(milliseconds=50), size: int | None = None
    ) -> AsyncIterator[int]:
        yield 0

    async def aggregate(self, plan: Plan, params: Mapping[str, Any]) -> Any:
        return 0

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        raise NotImplementedError

    def current_transaction(self) -> Transaction | None:
        return None

    def lease(self, name: str, ttl: timedelta) -> Lease:
        raise NotImplementedError

    async def now(self) -> datetime:
        raise NotImplementedError

    async def health(self) -> Iterable[Finding]:
        return []

    async def create_storage(self) -> None:
        pass

    async def close(self) -> None:
        pass


@attrs.frozen
class Own(DataLayer):
    """The declaration."""

    capabilities: ClassVar[frozenset[Capability]] = RowsStore.CAPABILITIES

    folder: str | Path = option(default=".", doc="Where.")

    def bind(self, info: ResourceInfo) -> Store:
        """Return the store."""
        require_keys(info)
        return Kept(info) if self.folder else OwnStore(info)


@hookimpl
def resourcekit_data_layers() -> dict[str, type[DataLayer]]:
    """Announce."""
    return {"own": Own}


class TestOwn(DataLayerSuite):
    """The proof."""

    def make_data_layer(self, tmp_path: Path) -> Own:
        """Return the layer."""
        return Own(tmp_path)
