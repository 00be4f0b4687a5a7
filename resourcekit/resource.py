"""Resource, the base class of all resources, and ``info``, which returns the facts of a resource."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, cast

from resourcekit.actions.loaded import PartlyLoaded, keep_loaded, loaded_of
from resourcekit.actions.record import as_dict, compared, describe, how_to_change, new_values, no_such_name
from resourcekit.actions.runtime import Runtime
from resourcekit.errors import Misuse, NotAResource, Unchangeable, UnknownName
from resourcekit.expressions.calls import checked_call
from resourcekit.known_names import shown
from resourcekit.metaclass import ResourceMeta
from resourcekit.resource_info import ResourceInfo

__all__ = ["Resource", "info"]


class Resource(metaclass=ResourceMeta, abstract=True):
    """The base of all resources: subclass it and declare.

    A record is a frozen value. It equals another record of its class with the same values, and only actions change what is
    stored. ``Ticket(...)`` makes a record that is not stored; it raises Invalid for wrong values.

    The class statement takes these options, and no others:

    domain: the Domain of the resource; the default domain unless given. Its ``create_storage()`` makes the tables, so name one if the
        data layer has any.
    data_layer: where records are stored: ``SQL(...)``, ``Memory()``, a class of these, or a name or a URL that a plugin
        serves; ``Memory()`` unless given.
    extensions: classes (``TokenResource``), instances with options, or names that a plugin registered.
    notifiers: functions, or objects with ``notify``, that receive a Notification after each committed write.
    abstract: ``True`` for a class that is only inherited from; it stores no records.
    """

    # Loaded related records are kept apart from the values, because they take no part in equality, hash and repr.
    __slots__ = ("__dict__", "__loaded__", "__weakref__")

    __info__: ClassVar[ResourceInfo]
    __runtime__: ClassVar[Runtime]

    @checked_call("a record", "give its values by name")
    def __init__(self, **values: Any) -> None:
        object.__setattr__(self, "__dict__", new_values(type(self).__runtime__, values))

    if not TYPE_CHECKING:  # type checkers have the names from annotations

        def __getattr__(self, name: str) -> Any:
            """Raise UnknownName, an AttributeError, with a similar name as suggestion."""
            raise UnknownName(no_such_name(type(self), name), name=name, obj=self)

    def __setattr__(self, name: str, value: object) -> None:
        """Raise Unchangeable, an AttributeError, and name the update actions."""
        raise Unchangeable(how_to_change(type(self).__info__, name))

    def __delattr__(self, name: str) -> None:
        """Raise Unchangeable, an AttributeError, and name the update actions."""
        raise Unchangeable(how_to_change(type(self).__info__, name))

    def __eq__(self, other: object) -> bool:
        """Compare by class and values."""
        return vars(self) == vars(other) if type(self) is type(other) else NotImplemented

    def __lt__(self, other: object) -> bool:
        """Raise Misuse: records have no order. A class may define its own."""
        return cast("bool", compared(self, other, "__lt__"))

    def __gt__(self, other: object) -> bool:
        """Raise Misuse, as ``<`` does; follow ``<`` if the class defines it."""
        return cast("bool", compared(self, other, "__gt__"))

    def __le__(self, other: object) -> bool:
        """Raise Misuse, as ``<`` does; follow ``<`` if the class defines it."""
        return cast("bool", compared(self, other, "__le__"))

    def __ge__(self, other: object) -> bool:
        """Raise Misuse, as ``<`` does; follow ``<`` if the class defines it."""
        return cast("bool", compared(self, other, "__ge__"))

    if not TYPE_CHECKING:  # type checkers refuse these anyway

        def __bool__(self) -> bool:
            return True

        def _no_collection(self, *_: object) -> NoReturn:
            raise Misuse(f"a record is no collection; read {type(self).__name__} values by name: record.name, as_dict(record)")

        __len__ = __contains__ = __getitem__ = __setitem__ = __delitem__ = _no_collection

    def __format__(self, how: str) -> str:
        """Format the ``repr`` of the record, for ``f"{ticket:>40}"``."""
        return format(str(self), how)

    def __hash__(self) -> int:
        """Hash by class and primary key."""
        return hash((type(self), *(self.__dict__.get(name) for name in type(self).__info__.primary_key)))

    def __getstate__(self) -> dict[str, Any]:
        """Return the values for a pickle or a copy, and what was loaded."""
        loaded = loaded_of(self)
        if loaded is None:
            return vars(self)
        state = vars(self).copy()  # of its own class: it may have values that cannot be read
        state["__loaded__"] = loaded
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over the values of a pickle or a copy."""
        values = state.copy()
        loaded = values.pop("__loaded__", None)
        object.__setattr__(self, "__dict__", values)
        if loaded is not None:
            keep_loaded(self, loaded)

    @property
    def extra(self) -> Mapping[str, Any]:
        """The values that a query loaded under names of its own: ``query(...).load(late=Ticket.comments.filter(...))``."""
        loaded = loaded_of(self)
        extra = {} if loaded is None else loaded.extra
        unreadable = getattr(vars(self), "unreadable", None)
        return MappingProxyType(extra if unreadable is None else PartlyLoaded(extra, unreadable))

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        """Yield the public values by name: ``dict(record)`` is ``as_dict(record)``.

        Web frameworks that convert objects to JSON iterate over them; they get the public values, not all of ``vars``.
        """
        return iter(as_dict(self).items())

    def __repr__(self) -> str:
        """Return the record's values as text, without sensitive ones."""
        return describe(type(self).__info__, self.__dict__)


@checked_call("info", "write info(Ticket)")
def info(resource: Any) -> ResourceInfo:
    """Return the read-only facts of a resource: ``info(Ticket).attributes``, ``info(Ticket).actions``."""
    facts = getattr(resource, "__info__", None)
    if not isinstance(facts, ResourceInfo):
        raise NotAResource(f"info takes a resource class, not {shown(resource)}")
    return facts
