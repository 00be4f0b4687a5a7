"""The compiled parts of one resource: its facts, its store, its plans, and the inputs of its actions."""

from __future__ import annotations

import threading
from collections.abc import Callable, Container, Hashable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol, TypeVar

import attrs

from resourcekit.actions.casting import Cast, CastError, compile_cast, unchanged_type
from resourcekit.actions.conditions import Conditions
from resourcekit.changeset import Changeset
from resourcekit.data_layers.base import Operation, Plan, Row, Select, Store
from resourcekit.data_layers.stored_expressions import Forms, Lowering
from resourcekit.data_layers.stored_forms import dumper, loader
from resourcekit.declarations.action import ReadAction
from resourcekit.declarations.argument import Argument
from resourcekit.declarations.attribute import Attribute
from resourcekit.declarations.frozen import frozen
from resourcekit.declarations.managed import Manage
from resourcekit.declarations.value_type import Kind
from resourcekit.dsl.option import MISSING
from resourcekit.errors import DeclarationError, FieldFinding, InvalidArgument, UnknownArgument, did_you_mean
from resourcekit.expressions.evaluation import compile_expression
from resourcekit.expressions.nodes import Compare, Expression, Field, Param, Value, all_of
from resourcekit.expressions.rewriting import substitute
from resourcekit.expressions.shape import Shaper
from resourcekit.forks import free_after_fork
from resourcekit.resource_info import ResourceInfo
from resourcekit.signals import require_no_signal

__all__ = ["BoundInput", "BoundStore", "Inputs", "Resource", "Runtime", "Seal", "runtime_of", "shows_all"]

T = TypeVar("T")


_MOST_KEPT = 1000
"""Compiled objects kept per store. A program has some dozens of shapes; one that makes new shapes all the time must not grow."""

_keeping = free_after_fork(threading.Lock())
_CONTAINERS = frozenset({Kind.LIST, Kind.MAP, Kind.ANY, Kind.EMBEDDED, Kind.UNION, Kind.OWN})


class Resource(Protocol):
    """The part of a resource class that the engine uses."""

    __name__: str
    __info__: ResourceInfo
    __runtime__: Runtime


@attrs.define(eq=False)
class Seal:
    """Whether the members of a domain were verified against each other. The domain and all its members share the object."""

    is_done: bool = False


class BoundStore(NamedTuple):
    """A store with the objects that were compiled for it. store: ``None`` until it is bound."""

    store: Store | None
    kept: dict[Hashable, Any]


class Runtime:
    """The runtime side of a resource.

    seal: that of the domain. ready: seals the domain if it is not sealed; raises the errors that sealing found, at every use.
    joins: the relationships with their destinations, by name; the domain sets them when it is sealed (module ``joins``).
    kept: the compiled objects, by key; ``keep`` adds to them.
    references: the foreign keys of its records that its store keeps (module ``references``).
    related_steps: the compiled changes over relationships, by their declarations (module ``related_steps``).
    cursor_secret: returns the secret of the domain's cursors; ``None`` if it has none.
    declared_as: module and qualified name of the class when it was declared.
    """

    def __init__(self, resource: Any, info: ResourceInfo, bind: Callable[[], Store], ready: Callable[[], None]) -> None:
        self.resource = resource
        self.declared_as = resource.__module__, resource.__qualname__
        self.info = info
        self.ready, self.seal = ready, Seal()
        self.joins: Mapping[str, Any] = {}
        self.references: tuple[Any, ...] = ()
        self.related_steps: Mapping[Any, Any] = {}
        self.cursor_secret: Callable[[], bytes | None] = lambda: None
        self._bind = bind
        self._store: Store | None = None
        self.kept: dict[Hashable, Any] = {}
        self._own_store: Store | None = None
        self.key = info.primary_key
        self.fields = tuple(info.attributes)
        self.filled = frozenset(name for name, each in info.attributes.items() if each.is_filled)
        """Attributes that the database fills if an insert leaves them out."""
        self.read_only = frozenset(name for name in self.filled if info.attributes[name].is_read_only)
        """Attributes that only the database writes."""
        self.casts: dict[str, Cast] = {
            name: compile_cast(attribute.type, attribute.constraints) for name, attribute in info.attributes.items()
        }
        key_type = info.attributes[self.key[0]] if len(self.key) == 1 else None
        self._key_type = None if key_type is None else unchanged_type(key_type.type, key_type.constraints)
        self._key_param = f"key_{self.key[0]}" if self.key else ""
        self.conditions = Conditions(info, resource)
        self.containers = tuple(name for name, attribute in info.attributes.items() if attribute.type.kind in _CONTAINERS)
        """Attributes whose values are lists or mappings, which records have in a read-only form."""
        self.dumps = {name: dump for name, each in info.attributes.items() if (dump := dumper(each.type)) is not None}
        self.by_key = all_of(*(Compare("==", Field(name), Param(f"key_{name}")) for name in self.key))

    @property
    def store(self) -> Store:
        """The store, bound at its first use. Raise DeclarationError for settings that cannot work."""
        if self._store is None:
            try:
                self._store = self._own_store = self._bind()
            except DeclarationError as error:  # a data layer does not know its resource
                error.resource = error.resource or self.info.name
                error.origin = error.origin or str(self.info.origin)
                raise
        return self._store

    @property
    def is_bound(self) -> bool:
        """Whether the store is bound already."""
        return self._store is not None

    @property
    def is_moved(self) -> bool:
        """Whether the store is another one than that of the declared data layer, as in tests."""
        return self._store is not None and self._store is not self._own_store

    @property
    def bound(self) -> BoundStore:
        """The current store, with the objects compiled for it."""
        return BoundStore(self._store, self.kept)

    def swap(self, bound_store: BoundStore) -> BoundStore:
        """Use another store and the objects compiled for it. Return the former ones, to be restored later."""
        former = self.bound
        self._store, self.kept = bound_store
        return former

    def keep(self, key: Hashable, make: Callable[..., T], *args: Any) -> T:
        """Return the object that was compiled under this key; ``make(*args)`` compiles it the first time."""
        try:
            return self.kept[key]  # type: ignore[no-any-return]  # the key decides the type
        except KeyError:
            made = make(*args)
        with _keeping:
            self.kept[key] = made
            if len(self.kept) > _MOST_KEPT:  # drop the oldest; if it is still in use, it is compiled again
                del self.kept[next(iter(self.kept))]
        return made

    def plan(self, key: Hashable, operation: Callable[[], Operation]) -> Plan:
        """Return the plan of an operation shape, compiled at the first time."""
        return self.keep(("plan", key), lambda: self.store.compile(operation()))

    def inserted(self, names: Container[str]) -> tuple[str, ...]:
        """Return the fields of an insert of a row with these values: all but those that the database fills."""
        if not self.filled:
            return self.fields
        return tuple(name for name in self.fields if name not in self.filled or name in names)

    def inserted_by(self, changeset: Changeset) -> tuple[str, ...]:
        """Return the fields of an insert of the row of a changeset."""
        if not self.filled:
            return self.fields
        return self.inserted({*changeset.values, *changeset.atomics, *changeset.defaults})

    def shape(self, shaper: Shaper, condition: Expression | None) -> tuple[Expression | None, object]:
        """Split a condition into its shape and its values. Raise InvalidArgument as Conditions does."""
        return (None, None) if condition is None else shaper.shape(self.conditions.condition(condition))

    def record(self, row: Row) -> Any:
        """Make a record of a row. The record takes over the row."""
        for name in self.containers:
            if (value := row.get(name)) is not None:
                row[name] = frozen(value)
        record = object.__new__(self.resource)
        object.__setattr__(record, "__dict__", row)
        return record

    def stored(self, row: Row) -> Row:
        """Return a row with values in their stored form."""
        if not self.dumps:
            return row
        forms = {name: dump(row[name]) for name, dump in self.dumps.items() if row.get(name) is not None}
        return {**row, **forms}

    def computed(self, changeset: Changeset) -> Changeset:
        """Return a changeset with values in place of expressions. Sums of the application's types are those of their stored forms."""
        if not self.dumps or not changeset.atomics:
            return changeset.computed()
        held = self.stored(dict(changeset.defaults if changeset.record is None else vars(changeset.record)))
        lowering = Lowering(Forms(self.info))
        values: dict[str, Any] = {}
        for name, node in changeset.atomics.items():
            if name not in self.dumps:
                values[name] = changeset.get(name)
                continue
            assigned = self.conditions.assigned(name, substitute(node, changeset.arguments))
            value = compile_expression(lowering.value(name, assigned))(held, changeset.arguments, {})
            values[name] = None if value is None else self._loaded(name, value)
        return changeset.set(**values)

    def _loaded(self, name: str, stored: Any) -> Any:
        """Return the value of a computed stored form; a form that does not fit stays as it is, for the cast to refuse."""
        load = loader(self.info.attributes[name].type)
        try:
            return stored if load is None else load(stored)
        except Exception as error:
            require_no_signal(error)
            return stored

    def only(self, record: Any, names: Container[str]) -> Any:
        """Return a record with these attributes of a record, and no others."""
        return self.record({name: value for name, value in vars(record).items() if name in names})

    def key_params(self, record_or_key: Any) -> dict[str, Any]:
        """Return the parameters of ``by_key`` for a record, a key, or a tuple of the parts of a composite key.

        Raise CastError for a key of the wrong type. Raise InvalidArgument for a record of another resource and for a key with a
        wrong number of parts.
        """
        if type(record_or_key) is self._key_type:  # the most usual key, which its cast would return as it is
            return {self._key_param: record_or_key}
        if isinstance(record_or_key, self.resource):
            return {f"key_{name}": getattr(record_or_key, name) for name in self.key}
        if hasattr(type(record_or_key), "__runtime__"):
            raise InvalidArgument(f"needs a {self.info.name} or its key, not a {type(record_or_key).__name__}")
        parts = record_or_key if len(self.key) > 1 and isinstance(record_or_key, tuple) else (record_or_key,)
        if len(parts) != len(self.key):
            raise InvalidArgument(f"needs the key as a tuple of {', '.join(self.key)}", resource=self.info.name)
        return {f"key_{name}": self.casts[name](part) for name, part in zip(self.key, parts, strict=True)}

    def as_read(self, record: Any) -> Expression:
        """Return the condition that the stored record is as it was read, so that a concurrent write is not lost."""
        others = [name for name in self.fields if name not in self.key and name not in self.read_only]
        return all_of(*(Compare("==", Field(name), Value(getattr(record, name))) for name in others))

    def is_record(self, value: object) -> bool:
        """Return whether a value is a record of this resource (and not a key) of which all attributes were loaded."""
        return isinstance(value, self.resource) and len(vars(value)) >= len(self.fields)

    def related_findings(
        self, changes: Iterable[Any], arguments: Mapping[str, Any], given: Mapping[str, Any], reported: Iterable[FieldFinding]
    ) -> list[FieldFinding]:
        """Return what is wrong in the inputs of ``manage``, as far as their types tell, besides what is reported already."""
        paths = {finding.path for finding in reported}
        steps = [self.related_steps[change] for change in changes if isinstance(change, Manage)]
        values, found = {**given, **arguments}, list[FieldFinding]()
        for missing in (False, True):  # what is missing is reported with what is wrong; alone it is found by the rules
            if not missing or found or paths:
                known = {*paths, *(finding.path for finding in found)}
                each = [finding for step in steps for finding in step.findings(values, missing=missing)]
                found += [finding for finding in each if finding.path not in known]
        return found

    async def fetch(self, key: dict[str, Any], condition: Expression | None = None, *, lock: bool = False) -> Any:
        """Return the record with a key if it meets the condition; ``None`` if there is none. lock: see ``Select``."""
        shaper = Shaper()
        extra, shape = self.shape(shaper, condition)
        plan = self.plan(("by key", shape, lock), lambda: Select(all_of(self.by_key, extra), lock=lock))
        rows = await self.store.select(plan, {**key, **shaper.params})
        return self.record(rows[0]) if rows else None


BoundInput = tuple[dict[str, Any], dict[str, Any], list[FieldFinding]]
"""Arguments, attribute values and findings."""


class _Arguments(dict[str, Any]):
    """The arguments of a call, by name."""

    def __missing__(self, name: str) -> Any:
        """Raise UnknownArgument, a KeyError, with a similar name as suggestion."""
        raise UnknownArgument(f"the action has no argument {name!r}. {did_you_mean(name, self)}".rstrip())


class Inputs:
    """The inputs of one action, compiled once."""

    def __init__(self, arguments: Iterable[Argument], accepted: Iterable[Attribute] = ()) -> None:
        self._arguments = {one.name: (one, compile_cast(one.type, one.constraints)) for one in arguments}
        self._unless_given = [
            (name, one.is_required, one.default_factory, None if one.default is MISSING else one.default)
            for name, (one, _) in self._arguments.items()
        ]
        self._accepted = {
            one.name: (compile_cast(one.type, one.constraints), unchanged_type(one.type, one.constraints)) for one in accepted
        }

    def bind(self, given: Mapping[str, Any]) -> BoundInput:
        """Cast the given values and fill in the defaults of arguments. Problems are returned as findings, not raised."""
        arguments = _Arguments()
        values: dict[str, Any] = {}
        findings: list[FieldFinding] = []
        for name, value in given.items():
            if name in self._accepted:
                cast, unchanged = self._accepted[name]
                if type(value) is unchanged:
                    values[name] = value
                else:
                    _cast_into(values, name, value, cast, findings)
            elif name in self._arguments:
                _cast_into(arguments, name, value, self._arguments[name][1], findings)
            else:
                known = [*self._arguments, *self._accepted]
                findings.append(FieldFinding(name, f"is not an input of this action. {did_you_mean(name, known)}".rstrip()))
        for name, is_required, factory, default in self._unless_given:
            if name not in given:
                if is_required:
                    findings.append(FieldFinding(name, "is required"))
                else:
                    arguments[name] = default if factory is None else factory()
        return arguments, values, findings


def _cast_into(target: dict[str, Any], name: str, value: Any, cast: Cast, findings: list[FieldFinding]) -> None:
    try:
        target[name] = cast(value)
    except CastError as error:
        findings += error.findings(name)


def shows_all(runtime: Runtime) -> bool:
    """Return whether the primary read of a resource shows all records, in no order."""

    def find() -> bool:
        primary = next(each for each in runtime.info.all_of(ReadAction).values() if each.primary)
        return not primary.preparations and primary.function is None

    return runtime.keep("shows all", find)


def runtime_of(resource: Any) -> Runtime:
    """Return the runtime of a resource, ready for use.

    Raise InvalidArgument for an abstract resource and for an object that is not a resource. Raise the errors that sealing the
    domain found.
    """
    runtime = getattr(resource, "__runtime__", None)
    if not isinstance(runtime, Runtime) or runtime.resource is not resource:
        named = getattr(resource, "__name__", type(resource).__name__)
        what = "is abstract: declare a resource of it" if hasattr(resource, "__info__") else "is no resource class"
        raise InvalidArgument(f"{named} {what}")
    if not runtime.seal.is_done:
        runtime.ready()
    return runtime
