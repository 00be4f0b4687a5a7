"""Resource, and a short metaclass that only hands over: body in, functions out."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType, NoneType
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast, dataclass_transform, runtime_checkable

import attrs

from resourcekit.data_layers.base import DataLayer
from resourcekit.data_layers.memory import Memory
from resourcekit.data_layers.requirements import missing_capabilities
from resourcekit.declarations.attribute import Attr, attribute
from resourcekit.declarations.core import Core
from resourcekit.declarations.state import State
from resourcekit.dsl.body import Body, other_names
from resourcekit.dsl.compiler import collect, expand, gathering, raise_all, repetitions, transform, unknown_option, verify
from resourcekit.dsl.entity import Entity
from resourcekit.dsl.extension import Extension
from resourcekit.dsl.origin import Origin
from resourcekit.dsl.scope import Scope
from resourcekit.engine.functions import Function
from resourcekit.engine.interface import caller_for
from resourcekit.engine.misfits import misfits
from resourcekit.engine.record import as_dict, describe, how_to_change, new_values, no_such_name
from resourcekit.engine.runtime import Runtime
from resourcekit.errors import DeclarationError, did_you_mean
from resourcekit.plugins import plugin_data_layer, plugin_extension, plugins
from resourcekit.resource_info import ResourceInfo

__all__ = ["Group", "Resource", "adopt_with", "info", "registered"]

_OPTIONS = ("domain", "data_layer", "extensions", "notifiers", "abstract")


@runtime_checkable
class Group(Protocol):
    """What a resource needs of its domain."""

    def join(self, resource: Any) -> None:
        """Take a resource in; the group is open again until it is next sealed."""

    def before_first_use(self) -> None:
        """Seal the group where it is open. Raises what sealing found, each time again."""


@dataclass_transform(kw_only_default=True, field_specifiers=(attribute,))
class ResourceMeta(type):
    """Turns a class body into a compiled resource."""

    __info__: ResourceInfo
    __runtime__: Runtime

    if TYPE_CHECKING:

        def __new__(
            cls,
            name: str,
            bases: tuple[type, ...],
            namespace: dict[str, Any],
            *,
            domain: Group | None = None,
            data_layer: DataLayer | type[DataLayer] | str | None = None,
            extensions: Sequence[Extension | type[Extension] | str] = (),
            notifiers: Sequence[object] = (),
            abstract: bool = False,
        ) -> ResourceMeta:
            """What a class statement may say, for type checkers; at run time an unknown word becomes a DeclarationError."""
            ...

    else:

        @classmethod
        def __prepare__(cls, name: str, bases: tuple[type, ...], **options: Any) -> Body:
            """Give the class body a namespace that tells words their names."""
            return Body()

        def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any) -> ResourceMeta:
            """Compile the class. Raises DeclarationError, or several together, and leaves no trace of the class then."""
            resource = super().__new__(cls, name, bases, namespace)
            frame = sys._getframe(1)  # noqa: SLF001  # the scope of the class statement: what its annotations can see
            _compile(
                resource,
                namespace if isinstance(namespace, Body) else Body(),
                options,
                Scope.of_frame(frame).with_names(**{name: resource}),
                Origin(frame.f_code.co_filename, frame.f_lineno),
            )
            return resource

        def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **_options: Any) -> None:
            """Take no notice of the class options; ``__new__`` has read them."""
            super().__init__(name, bases, namespace)

        def __getattr__(cls, name: str) -> Any:
            """Suggest a near name where there is none of this name."""
            raise AttributeError(no_such_name(cls, name), name=name, obj=cls)


def _compile(resource: ResourceMeta, body: Body, given: Mapping[str, Any], scope: Scope, origin: Origin) -> None:
    """Lead a class through its stages: DECLARED, COLLECTED, TRANSFORMED, FROZEN, VERIFIED.

    What is wrong is raised together, as far as later stages can still make sense of it.
    """
    name = resource.__name__
    declared = _Declared(resource, given, origin)
    errors = [*declared.errors, *repetitions(body, resource, name)]
    state = State(
        name=name,
        module=resource.__module__,
        doc=resource.__doc__ or "",
        origin=origin,
        entities=declared.entities,
        reserved=other_names(resource),
        options=declared.options,
        extensions={type(extension): extension for extension in declared.extensions},
    )
    found: list[DeclarationError] = []
    with gathering(found, name, origin):
        state = cast("State", collect(resource, state, scope, declared.extensions))
    if found or not declared.is_whole:
        # A word may belong to an extension that could not be read: that is told already.
        raise_all([*errors, *(error for error in found if declared.is_whole or error.code != "RK006")])
    if given.get("abstract"):
        raise_all(errors)
        resource.__info__ = _freeze(state)
        return
    with gathering(found, name, origin):
        state = cast("State", transform(state, declared.extensions))
    raise_all([*errors, *found] if found else [])
    frozen = _freeze(state)
    layer = cast("DataLayer", declared.options["data_layer"])
    findings = [*missing_capabilities(frozen, layer), *misfits(frozen)]
    raise_all([*errors, *verify(frozen, across=False), *(finding.as_error(name) for finding in findings)])
    _hang(resource, frozen, layer)
    _register(resource, declared.options.get("domain"))


class _Declared:
    """What the class statement names, over what its bases bring: options, extensions, entities.

    errors: what is wrong with it. is_whole: all extensions and the data layer could be read.
    """

    def __init__(self, resource: ResourceMeta, given: Mapping[str, Any], origin: Origin) -> None:
        self._resource, self._origin = resource, origin
        self.options: dict[str, Any] = {}
        self.entities: dict[str, Entity] = {}
        self.errors = [unknown_option(resource.__name__, option, _OPTIONS, origin) for option in given if option not in _OPTIONS]
        self.errors += [self._error("RK003", option, *wrong) for option, wrong in _wrong_options(given).items()]
        brought = self._inherit()
        sound = {name: value for name, value in given.items() if name not in {error.path[0] for error in self.errors}}
        self.options.update({name: value for name, value in sound.items() if name not in ("extensions", "abstract")})
        self.options["data_layer_is_named"] = self.options.get("data_layer") is not None
        broken: list[DeclarationError] = []
        self.options["data_layer"] = layer = self._layer(broken)
        named = self._named(sound.get("extensions", ()), broken)
        brought = {kind: value for kind, value in brought.items() if kind not in {type(extension) for extension in named}}
        self.extensions: tuple[Extension, ...] = (Core(), layer)
        with gathering(broken, resource.__name__, origin):
            self.extensions = expand((Core(), layer, *brought.values(), *named))
        self.is_whole = not broken and sound.keys() >= given.keys() & {"extensions"}
        self.errors += broken

    def _error(self, code: str, option: str, what: str, hint: str) -> DeclarationError:
        return DeclarationError(code, what, resource=self._resource.__name__, path=(option,), origin=self._origin, hint=hint)

    def _inherit(self) -> dict[type[Extension], Extension]:
        """Take over what the bases declare, and return their extensions."""
        brought: dict[type[Extension], Extension] = {}
        for base in reversed(self._resource.__mro__[1:]):
            facts = base.__dict__.get("__info__")
            if facts is None:
                continue
            linked = base.__dict__.get("__extension__")
            # A base that names no data layer hands down none: what it stands on itself is only the default.
            unnamed = () if facts.options["data_layer_is_named"] else ("data_layer",)
            self.options.update({name: value for name, value in facts.options.items() if name not in unnamed})
            self.entities.update(
                {entity.name: entity if linked is None else _brought_by(linked, entity) for entity in facts.entities}
            )
            brought.update({kind: value for kind, value in facts.extensions.items() if not isinstance(value, (Core, DataLayer))})
            if linked is not None:
                brought.setdefault(linked, linked())
        return brought

    def _layer(self, broken: list[DeclarationError]) -> DataLayer:
        with gathering(broken, self._resource.__name__, self._origin, ("data_layer",)):
            return _read_layer(self.options.get("data_layer"))
        return Memory()

    def _named(self, given: Iterable[Any], broken: list[DeclarationError]) -> list[Extension]:
        named: list[Extension] = []
        for each in given:
            with gathering(broken, self._resource.__name__, self._origin, ("extensions",)):
                named.append(_read_extension(each))
        return named


def _wrong_options(given: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Return what is wrong with the types of class options, and the cure."""
    wrong: dict[str, tuple[str, str]] = {}
    for option in ("extensions", "notifiers"):
        if not isinstance(given.get(option, ()), (list, tuple)):
            what = f"{option} must be a list, is {given[option]!r}"
            wrong[option] = what, f"Write {option}=[...]."
    for notifier in given.get("notifiers", ()) if "notifiers" not in wrong else ():
        if isinstance(notifier, type) or not callable(getattr(notifier, "notify", notifier)):
            what = f"a notifier must be a function of a Notification, or an object with notify, not {notifier!r}"
            wrong["notifiers"] = what, "Write notifiers=[tell], where tell(notification) does the telling."
    if not isinstance(given.get("domain"), (Group, NoneType)):
        wrong["domain"] = f"domain must be a Domain, is {type(given['domain']).__name__}", 'Write domain=Domain("accounts").'
    if not isinstance(given.get("abstract", False), bool):
        wrong["abstract"] = f"abstract must be True or False, is {type(given['abstract']).__name__}", "Write abstract=True."
    return wrong


def _brought_by(extension: type[Extension], entity: Entity) -> Entity:
    """Say of a template's entity that the extension declared it, also where the template is subclassed."""
    return attrs.evolve(entity, origin=attrs.evolve(entity.origin, declared_by=extension.__name__))


def _read_layer(given: Any) -> DataLayer:
    """Return the data layer that was named: an instance, a class, a name, a URL, or nothing (Memory)."""
    if given is None:
        return Memory()
    if isinstance(given, str):
        scheme = given.partition(":")[0].partition("+")[0]
        kind = plugin_data_layer(scheme)
        if kind is not None:
            return cast("DataLayer", kind(given) if ":" in given else kind())
        known = {name for plugin in plugins() for name in plugin.data_layers}
        raise DeclarationError(
            "RK008",
            f"no plugin serves the data layer {scheme!r}",
            path=("data_layer",),
            hint=did_you_mean(scheme, known) or "Give a data layer itself, for example SQL(...) or Memory().",
        )
    layer = given() if isinstance(given, type) and issubclass(given, DataLayer) else given
    if isinstance(layer, DataLayer):
        return layer
    what = f"data_layer must be a data layer, is {type(given).__name__}"
    hint = "Give Memory(), SQL(...), or another DataLayer."
    raise DeclarationError("RK008", what, path=("data_layer",), hint=hint)


def _read_extension(given: Any) -> Extension:
    """Return the extension that was named: an instance, a class, or a registered name."""
    found = plugin_extension(given) if isinstance(given, str) else given
    if isinstance(found, type) and issubclass(found, Extension):
        return found()
    if isinstance(found, Extension):
        return found
    if isinstance(given, str):
        known = {name for plugin in plugins() for name in plugin.extensions}
        hint = f"{did_you_mean(given, known)} See the installed ones with: resourcekit plugins.".strip()
        what = f"no plugin registered an extension named {given!r}"
        raise DeclarationError("RK007", what, path=("extensions",), hint=hint)
    what = f"an extension must be an Extension class, an instance or a name, is {type(given).__name__}"
    hint = "Write extensions=[TokenResource] or extensions=[TokenResource(...)]."
    raise DeclarationError("RK007", what, path=("extensions",), hint=hint)


def _freeze(state: State) -> ResourceInfo:
    return ResourceInfo(
        name=state.name,
        module=state.module,
        doc=state.doc,
        origin=state.origin,
        entities=tuple(state.entities.values()),
        extensions=MappingProxyType(state.extensions),
        options=MappingProxyType(state.options),
        persisted=MappingProxyType(state.persisted),
        functions=MappingProxyType(state.functions),
        history=MappingProxyType(state.history),
    )


def _hang(resource: ResourceMeta, facts: ResourceInfo, layer: DataLayer) -> None:
    """Put fields, actions and functions on the class, in this order: a function owns its name."""
    resource.__info__ = facts
    resource.__runtime__ = Runtime(resource, facts, lambda: layer.bind(facts), lambda: None)
    for name, fact in facts.attributes.items():
        setattr(resource, name, Attr[Any](fact, name))
    for name, action in facts.actions.items():
        setattr(resource, name, caller_for(resource, action))
    for name, function in facts.functions.items():
        # Bound once, so that a call need not do it.
        setattr(resource, name, function.__get__(None, resource) if isinstance(function, Function) else function)
    if not layer.binds_late:
        _ = resource.__runtime__.store  # bound here, so that what a store cannot keep is refused with the class


_registry: weakref.WeakValueDictionary[tuple[str, str], ResourceMeta] = weakref.WeakValueDictionary()
_unclaimed: list[weakref.ref[ResourceMeta]] = []
_adopter: list[Group] = []


def _register(resource: ResourceMeta, group: Group | None) -> None:
    """Make a finished class known; one declared again under the same name takes the place of the old one."""
    _registry[resource.__module__, resource.__qualname__] = resource
    if group is None and not _adopter:
        _unclaimed.append(weakref.ref(resource))
    else:
        (group or _adopter[0]).join(resource)


def adopt_with(group: Group) -> None:
    """Let a group take all resources that name no domain, those declared before included."""
    _adopter[:] = [group]
    for reference in _unclaimed:
        if (resource := reference()) is not None:
            group.join(resource)
    _unclaimed.clear()


def registered() -> tuple[Any, ...]:
    """Return all resources that are declared and not abstract, in the order of declaration."""
    return tuple(_registry.values())


class Resource(metaclass=ResourceMeta, abstract=True):
    """The base of all resources: subclass it and declare.

    A record is a frozen value: it is equal to another of its class with the same values, and is changed by actions
    only. ``Ticket(...)`` makes a record that is not stored; it raises Invalid for what is wrong.

    The class statement takes these options, and no others:

    domain: the Domain that it belongs to; the default domain unless given.
    data_layer: where its records are kept: ``SQL(...)``, ``Memory()``, a class of these, or a name or a URL that a plugin
        serves; ``Memory()`` unless given.
    extensions: what else it can do: classes (``TokenResource``), instances with options, or names that a plugin registered.
    notifiers: functions, or objects with ``notify``, that get a Notification after each committed write.
    abstract: ``True`` for a class that is only inherited from; it keeps no records.
    """

    __info__: ClassVar[ResourceInfo]
    __runtime__: ClassVar[Runtime]

    def __init__(self, **values: Any) -> None:
        object.__setattr__(self, "__dict__", new_values(type(self).__runtime__, values))

    if not TYPE_CHECKING:  # checkers know the names themselves

        def __getattr__(self, name: str) -> Any:
            """Suggest a near name where there is none of this name."""
            raise AttributeError(no_such_name(type(self), name), name=name, obj=self)

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse, and name the way."""
        raise AttributeError(how_to_change(type(self).__info__, name))

    def __delattr__(self, name: str) -> None:
        """Refuse, and name the way."""
        raise AttributeError(how_to_change(type(self).__info__, name))

    def __eq__(self, other: object) -> bool:
        """Compare by class and values."""
        return vars(self) == vars(other) if type(self) is type(other) else NotImplemented

    def __hash__(self) -> int:
        """Hash by class and primary key."""
        return hash((type(self), *(self.__dict__.get(name) for name in type(self).__info__.primary_key)))

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        """Yield the public values by name: ``dict(record)`` is ``as_dict(record)``.

        So that whoever turns objects into JSON unasked, as web frameworks do, takes these, and not all of ``vars``.
        """
        return iter(as_dict(self).items())

    def __repr__(self) -> str:
        """Show the values, without sensitive ones."""
        return describe(type(self).__info__, self.__dict__)


def info(resource: Any) -> ResourceInfo:
    """Return the read-only facts of a resource: ``info(Ticket).attributes``, ``info(Ticket).actions``."""
    facts = getattr(resource, "__info__", None)
    if not isinstance(facts, ResourceInfo):
        msg = f"{resource!r} is no resource class"
        raise TypeError(msg)
    return facts
