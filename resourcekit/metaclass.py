"""The metaclass of resources: compiles a class body in stages, and registers the finished class."""

from __future__ import annotations

import sys
import weakref
from abc import ABCMeta, update_abstractmethods
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, cast, dataclass_transform

import attrs

from resourcekit.actions.declared_values import declared_value_findings, static_defaults
from resourcekit.actions.functions import Function
from resourcekit.actions.interface import caller_for
from resourcekit.actions.record import no_such_name
from resourcekit.actions.runtime import Runtime
from resourcekit.data_layers.base import DataLayer
from resourcekit.data_layers.memory import Memory
from resourcekit.data_layers.named import bound, read_extension, read_layer
from resourcekit.data_layers.requirements import missing_capabilities
from resourcekit.declarations.attribute import Attr, attribute
from resourcekit.declarations.calculations import Calc, calculated
from resourcekit.declarations.core import Core
from resourcekit.declarations.facts import State
from resourcekit.declarations.relationship_builders import belongs_to, has_many, has_one, many_to_many, related
from resourcekit.declarations.relationships import Many, One
from resourcekit.declarations.value_type import finders
from resourcekit.dsl.bases import decorated, refuse_bases, unfit_bases
from resourcekit.dsl.class_options import Group, wrong_options
from resourcekit.dsl.compiler import collect, expand, gathering, raise_all, repetitions, transform, unknown_option, verify
from resourcekit.dsl.diagnostics import Origin
from resourcekit.dsl.entity import Entity
from resourcekit.dsl.extension import Extension
from resourcekit.dsl.namespace import Body, other_names, unnamed
from resourcekit.dsl.plain_lines import plain_lines
from resourcekit.dsl.scope import Scope
from resourcekit.errors import DeclarationError, Misuse, UnknownName
from resourcekit.plugins import plugin_value_types
from resourcekit.resource_info import ResourceInfo

__all__ = ["Group", "ResourceMeta", "adopt_with", "registered"]

_OPTIONS = ("domain", "data_layer", "extensions", "notifiers", "abstract")
_SETTABLE = frozenset({"notifiers"})
"""Class options that a transformer may set. All others are read before transformers run."""


if TYPE_CHECKING:
    _MetaOfProtocols = ABCMeta
else:
    # The metaclass of Protocol is an ABCMeta: a resource may have abstract base classes and protocols beside Resource.
    _MetaOfProtocols = type(Protocol)


@dataclass_transform(
    kw_only_default=True, field_specifiers=(attribute, belongs_to, has_one, has_many, many_to_many, related, calculated)
)
class ResourceMeta(_MetaOfProtocols, type):
    """Compiles a class body to a resource."""

    __info__: ResourceInfo
    __runtime__: Runtime
    __declared__: _OwnDeclarations
    __fixed__: frozenset[str]

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
            """The class options, for type checkers. At run time an unknown option becomes a DeclarationError."""
            ...

    else:

        @classmethod
        def __prepare__(cls, name: str, bases: tuple[type, ...], **options: Any) -> Body:
            """Return the namespace of the class body, which gives entities their names."""
            return Body()

        def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any) -> ResourceMeta:
            """Compile the class. Raise DeclarationError, or several together; the class is then not registered."""
            refuse_bases(name, bases, Origin.here())
            if "__attrs_attrs__" in namespace:
                raise decorated(name, Origin.here())
            try:
                resource = super().__new__(cls, name, bases, namespace)
            except TypeError as error:
                raise unfit_bases(name, bases, error, Origin.here()) from None
            frame = sys._getframe(1)  # noqa: SLF001  # the scope of the class statement, which its annotations can see
            _compile(
                resource,
                namespace if isinstance(namespace, Body) else Body(),
                options,
                Scope.of_frame(frame).with_names(**{name: resource}),
                Origin(frame.f_code.co_filename, frame.f_lineno),
            )
            return resource

        def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **_options: Any) -> None:
            """Ignore the class options; ``__new__`` has read them."""
            super().__init__(name, bases, namespace)

        def __getattr__(cls, name: str) -> Any:
            """Raise UnknownName, an AttributeError, with a similar name as suggestion."""
            raise UnknownName(no_such_name(cls, name), name=name, obj=cls)

        def __setattr__(cls, name: str, value: object) -> None:
            """Set a name of the class. Raise DeclarationError RK022 for one that is declared.

            A test may replace an action or a function by another function.
            """
            if name in {"__dataclass_params__", "__attrs_attrs__"}:
                raise decorated(cls.__name__, cls.__info__.origin)
            if name in cls.__dict__.get("__fixed__", ()) and not (
                callable(value) and name in {*cls.__info__.actions, *cls.__info__.functions}
            ):
                raise _replaced(cls, name)
            super().__setattr__(name, value)

        def __delattr__(cls, name: str) -> None:
            """Remove a name of the class. Raise DeclarationError RK022 for one that is declared."""
            if name in cls.__dict__.get("__fixed__", ()):
                raise _replaced(cls, name)
            super().__delattr__(name)

        def __iter__(cls) -> NoReturn:
            """Raise Misuse: a class is no collection of its records."""
            raise Misuse(f"{cls.__name__} is no collection; run a query: query({cls.__name__}).all()")

        def __contains__(cls, record: object) -> NoReturn:
            """Raise Misuse: a class is no collection of its records."""
            ResourceMeta.__iter__(cls)

        def __len__(cls) -> NoReturn:
            """Raise Misuse: a class is no collection of its records."""
            raise Misuse(f"{cls.__name__} has no length; count records: query({cls.__name__}).count()")

        def __bool__(cls) -> bool:
            return True

        def __getitem__(cls, item: object) -> object:
            """Return the class for a type argument, if a base is Generic. Else raise Misuse."""
            if hasattr(cls, "__class_getitem__"):
                return cls.__class_getitem__(item)
            raise Misuse(f"{cls.__name__} is no collection; find a record by its key: get({cls.__name__}, key)")

        # Those of ABCMeta and Protocol are much slower, and serve subclasses that a resource cannot have.
        __instancecheck__ = type.__instancecheck__
        __subclasscheck__ = type.__subclasscheck__


def _replaced(resource: ResourceMeta, name: str) -> DeclarationError:
    """Return the error for an assignment to a declared name of a finished class."""
    what = f"{name!r} is declared by the class, and was assigned or deleted afterwards"
    entity = next((each for each in resource.__info__.entities if each.name == name), None)
    path = ("functions" if entity is None else entity.section, name)
    hint = "Change the class body, or declare a subclass with another declaration of this name."
    return DeclarationError("RK022", what, resource=resource.__name__, path=path, origin=Origin.here(), hint=hint)


@attrs.frozen
class _OwnDeclarations:
    """The declarations of one class body, before extensions change them; subclasses inherit these.

    entities: by name. reserved: names that the body uses for methods and constants.
    """

    entities: Mapping[str, Entity]
    reserved: frozenset[str]


def _compile(resource: ResourceMeta, body: Body, given: Mapping[str, Any], scope: Scope, origin: Origin) -> None:
    """Compile a class in its stages: DECLARED, COLLECTED, TRANSFORMED, FROZEN, VERIFIED.

    Errors are raised together, as far as later stages can run in spite of them.
    """
    name = resource.__name__
    declared = _Declared(resource, given, origin)
    errors = [*declared.errors, *repetitions(body, resource, name), *unnamed(body, resource, name)]
    state = State(
        name=name,
        module=resource.__module__,
        doc=resource.__doc__ or "",
        origin=origin,
        entities=declared.entities,
        reserved=other_names(resource),
        options=declared.options,
        settable=_SETTABLE,
        extensions={type(extension): extension for extension in declared.extensions},
    )
    found: list[DeclarationError] = []
    with gathering(found, name, origin):
        state = cast("State", collect(resource, state, scope, declared.extensions))
    if not found and any("__info__" in vars(base) for base in resource.__mro__[1:]):  # Resource itself is no resource
        errors += plain_lines(resource, name, scope, origin)
    if found or not declared.is_whole:
        # The builder may belong to an extension that could not be read; that is reported already.
        raise_all([*errors, *(error for error in found if declared.is_whole or error.code != "RK006")])
    own = {entity.name: entity for entity in state.entities.values() if declared.entities.get(entity.name) is not entity}
    resource.__declared__ = _OwnDeclarations(MappingProxyType(own), state.reserved)
    if given.get("abstract"):
        raise_all(errors)
        resource.__info__ = _freeze(state)
        return
    with gathering(found, name, origin):
        state = cast("State", transform(state, declared.extensions))
    # A transformer may have set options of the class.
    found += [
        declared.error("RK003", option, *wrong) for option, wrong in wrong_options({**state.options, "abstract": False}).items()
    ]
    raise_all([*errors, *found] if found else [])
    frozen = _freeze(state)
    layer = cast("DataLayer", declared.options["data_layer"])
    findings = [*missing_capabilities(frozen, layer), *declared_value_findings(frozen)]
    raise_all([*errors, *verify(frozen, across=False), *(finding.as_error(name) for finding in findings)])
    frozen = attrs.evolve(frozen, static_defaults=MappingProxyType(static_defaults(frozen)))
    _install(resource, frozen, layer)
    raise_all(_not_implemented(resource, origin))
    resource.__fixed__ = frozenset(
        {*frozen.attributes, *frozen.relationships, *frozen.calculations, *frozen.actions, *frozen.functions}
    )
    _register(resource, declared.options.get("domain"))


class _Declared:
    """The declarations of a class statement together with those of its bases: options, extensions, entities.

    errors: problems found. is_whole: all extensions and the data layer could be read.
    """

    def __init__(self, resource: ResourceMeta, given: Mapping[str, Any], origin: Origin) -> None:
        self._resource, self._origin = resource, origin
        self.options: dict[str, Any] = {}
        self.entities: dict[str, Entity] = {}
        self.errors = [unknown_option(resource.__name__, option, _OPTIONS, origin) for option in given if option not in _OPTIONS]
        self.errors += [self.error("RK003", option, *wrong) for option, wrong in wrong_options(given).items()]
        brought = self._inherit()
        sound = {name: value for name, value in given.items() if name not in {error.path[0] for error in self.errors}}
        self.options.update({name: value for name, value in sound.items() if name not in ("extensions", "abstract")})
        self.options["data_layer_is_named"] = self.options.get("data_layer") is not None
        broken: list[DeclarationError] = []
        self.options["data_layer"] = layer = self._layer(broken)
        named = self._named(sound.get("extensions", ()), broken)
        # The class statement's own extension replaces the same one of a base, its base class and its subclasses.
        brought = {type(value): value for value in _left_over(brought.values(), named)}
        group = self.options.get("domain")
        shared = _left_over(() if group is None else group.extensions, [*brought.values(), *named])
        self.extensions: tuple[Extension, ...] = (Core(), layer)
        with gathering(broken, resource.__name__, origin):
            self.extensions = expand((Core(), layer, *shared, *brought.values(), *named))
        self.is_whole = not broken and sound.keys() >= given.keys() & {"extensions"}
        self.errors += broken

    def error(self, code: str, option: str, what: str, hint: str) -> DeclarationError:
        return DeclarationError(code, what, resource=self._resource.__name__, path=(option,), origin=self._origin, hint=hint)

    def _inherit(self) -> dict[type[Extension], Extension]:
        """Add the declarations of the bases, and return their extensions."""
        brought: dict[type[Extension], Extension] = {}
        for base in reversed(self._resource.__mro__[1:]):
            facts = base.__dict__.get("__info__")
            if facts is None:
                continue
            linked = base.__dict__.get("__extension__")
            # A base that names no data layer passes none on: its own data layer is only the default.
            unnamed = () if facts.options["data_layer_is_named"] else ("data_layer",)
            self.options.update({name: value for name, value in facts.options.items() if name not in unnamed})
            # Each base adds only the declarations of its own body, so that the nearest class of the MRO wins. Changes by
            # extensions are left out, because the extensions run on this class, too.
            own: _OwnDeclarations = base.__dict__["__declared__"]
            self.entities = {name: entity for name, entity in self.entities.items() if name not in own.reserved}
            self.entities.update(
                {name: entity if linked is None else _brought_by(linked, entity) for name, entity in own.entities.items()}
            )
            brought.update({kind: value for kind, value in facts.extensions.items() if not isinstance(value, (Core, DataLayer))})
            if linked is not None:
                brought.setdefault(linked, linked())
        return brought

    def _layer(self, broken: list[DeclarationError]) -> DataLayer:
        with gathering(broken, self._resource.__name__, self._origin, ("data_layer",)):
            return read_layer(self.options.get("data_layer"))
        return Memory()

    def _named(self, given: Iterable[Any], broken: list[DeclarationError]) -> list[Extension]:
        named: list[Extension] = []
        for each in given:
            with gathering(broken, self._resource.__name__, self._origin, ("extensions",)):
                named.append(read_extension(each))
        return named


def _left_over(extensions: Iterable[Extension], nearer: Iterable[Extension]) -> list[Extension]:
    """Return the extensions that no nearer one replaces: the same extension, a subclass, or its base class."""
    kinds = [type(extension) for extension in nearer]
    return [each for each in extensions if not any(isinstance(each, one) or issubclass(one, type(each)) for one in kinds)]


def _not_implemented(resource: ResourceMeta, origin: Origin) -> list[DeclarationError]:
    """Return an error if abstract methods of bases beside Resource have no implementation."""
    update_abstractmethods(cast("type[Any]", resource))
    missing = sorted(resource.__abstractmethods__)
    if not missing:
        return []
    what = f"abstract methods are not implemented: {', '.join(missing)}"
    hint = "Implement them in the class body, or write abstract=True."
    return [DeclarationError("RK014", what, resource=resource.__name__, path=("methods", missing[0]), origin=origin, hint=hint)]


def _brought_by(extension: type[Extension], entity: Entity) -> Entity:
    """Mark an entity of a template as declared by the extension, even if the template is subclassed."""
    return attrs.evolve(entity, origin=attrs.evolve(entity.origin, declared_by=extension.__name__))


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


def _install(resource: ResourceMeta, facts: ResourceInfo, layer: DataLayer) -> None:
    """Put attributes, relationships, actions and functions on the class, in this order: a function replaces an action of its name."""
    resource.__info__ = facts
    resource.__runtime__ = Runtime(resource, facts, lambda: bound(layer, facts), lambda: None)
    for name, fact in facts.attributes.items():
        setattr(resource, name, Attr[Any](fact, name, resource))
    for name, relationship in facts.relationships.items():
        setattr(resource, name, (Many if relationship.is_many else One)(relationship, name, resource))
    for name, calculation in facts.calculations.items():
        setattr(resource, name, Calc[Any](calculation, name, resource))
    for name, action in facts.actions.items():
        setattr(resource, name, caller_for(resource, action))
    for name, function in facts.functions.items():
        # Bound once, so that calls need not do it.
        setattr(resource, name, function.__get__(None, resource) if isinstance(function, Function) else function)
    if not layer.binds_late:
        _ = resource.__runtime__.store  # bound here, so that a resource that the store cannot keep is refused with the class


finders.append(plugin_value_types)

_registry: weakref.WeakValueDictionary[tuple[str, str], ResourceMeta] = weakref.WeakValueDictionary()
_unclaimed: list[weakref.ref[ResourceMeta]] = []
_adopter: list[Group] = []


def _register(resource: ResourceMeta, group: Group | None) -> None:
    """Register a finished class. A class of the same name that is declared again replaces the old one."""
    _registry[resource.__module__, resource.__qualname__] = resource
    if group is None and not _adopter:
        _unclaimed.append(weakref.ref(resource))
    else:
        (group or _adopter[0]).join(resource)


def adopt_with(group: Group) -> None:
    """Let a group take all resources that name no domain, including those declared before."""
    _adopter[:] = [group]
    for reference in _unclaimed:
        if (resource := reference()) is not None:
            group.join(resource)
    _unclaimed.clear()


def registered() -> tuple[Any, ...]:
    """Return all resources that are declared and not abstract, in the order of declaration."""
    return tuple(_registry.values())
