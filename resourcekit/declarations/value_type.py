"""The types of attributes and arguments, read from annotations into plain values."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import types
import typing
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import attrs

from resourcekit.declarations.limits import Limits
from resourcekit.declarations.structures import Structure, structure_of
from resourcekit.types import JSON

__all__ = ["ANYTHING", "JSON_VALUE", "Kind", "OwnType", "UnknownType", "ValueType", "announced", "finders", "read_annotation"]


class Kind(enum.Enum):
    """The kinds of types that casting and storage distinguish."""

    STRING = "string"
    """``str``: stored exactly, compared by code point; without NUL and lone surrogates."""

    INTEGER = "integer"
    """``int``, or its text (``"12"``); a ``bool`` is refused."""

    FLOAT = "float"
    """``float``, a whole number or its text; finite."""

    BOOLEAN = "boolean"
    """``bool``, or the text ``"true"`` or ``"false"``."""

    DECIMAL = "decimal"
    """``decimal.Decimal``, a whole number or its text; finite, never rounded, and never made of a ``float``."""

    DATETIME = "datetime"
    """``datetime.datetime`` with a time zone, or its ISO text; stored in UTC to the microsecond."""

    DATE = "date"
    """``datetime.date``, or its ISO text; a ``datetime`` is refused."""

    TIME = "time"
    """``datetime.time``, or its ISO text."""

    DURATION = "duration"
    """``datetime.timedelta``, or a text of seconds."""

    UUID = "uuid"
    """``uuid.UUID``, or its text."""

    ENUM = "enum"
    """A subclass of ``enum.Enum``: a member, its value or its name. It is stored by its value; all values have one plain type."""

    LITERAL = "literal"
    """``Literal["open", "closed"]``: one of the options, which are all ``str``, all ``int`` or all ``bool``."""

    LIST = "list"
    """``list[...]`` of one of these types, ``list[Any]`` of any JSON value; a tuple is accepted."""

    MAP = "map"
    """``dict[str, ...]`` with values of one of these types, or ``dict[str, Any]`` for any JSON object."""

    BYTES = "bytes"
    """``bytes``, ``bytearray`` or ``memoryview``."""

    ANY = "any"
    """``Any`` or ``object``: an argument accepts any value; an attribute accepts JSON values."""

    EMBEDDED = "embedded"
    """A class with fields: an attrs class, a dataclass, a TypedDict, a pydantic model, a msgspec Struct. A mapping is accepted, too."""

    UNION = "union"
    """A union of such classes: a field with a Literal type names the class, else its name is kept under ``"type"``."""

    OWN = "own"
    """A type that ``value_type`` declares. Data layers receive the values in their stored form."""


class UnknownType(TypeError):  # the caller, which has the place, raises a DeclarationError from it
    """The annotation names a type that no attribute can have."""


@attrs.frozen
class ValueType:
    """A type, read from its annotation.

    python: the class of the values; for a literal, that of its options.
    allow_none: the annotation is a union with ``None``.
    options: the members of a literal, or of an enum.
    item: the type of a list's items, or of a map's values; ``None`` for any JSON value.
    limits: limits of an item or a field, from ``Annotated[int, Limits(minimum=0)]``.
    fields: of an embedded class, the types of its fields by name.
    structure: of an embedded class, how it is read and made.
    variants: of a union, the embedded types by the value of their tag.
    tag: of a union, the name of the field with the tag.
    own: of a type that ``value_type`` declares, its declaration.
    held: of a literal the type of its options, of an enum that of its members' values, by which they are stored; ``None`` if these
        have several types, or no plain one.
    """

    kind: Kind
    python: Any
    allow_none: bool = False
    options: tuple[Any, ...] = ()
    item: ValueType | None = None
    limits: Limits | None = None
    fields: Mapping[str, ValueType] = attrs.field(factory=dict)
    structure: Structure | None = attrs.field(default=None, eq=False)
    variants: Mapping[Any, ValueType] = attrs.field(factory=dict)
    tag: str = ""
    own: OwnType | None = None
    held: ValueType | None = None

    @property
    def basic(self) -> ValueType:
        """The type of the form that data layers store: of an embedded value a JSON object, of an own type its stored type."""
        if self.kind is Kind.OWN and self.own is not None:
            return attrs.evolve(self.own.stored.basic, allow_none=self.allow_none)
        if self.kind in (Kind.EMBEDDED, Kind.UNION):
            return ValueType(Kind.MAP, dict, allow_none=self.allow_none)
        if self.item is not None and (basic := self.item.basic) is not self.item:
            return attrs.evolve(self, item=None if self.item.kind in (Kind.EMBEDDED, Kind.UNION) else basic)
        return self

    def __str__(self) -> str:
        """Return the type as an annotation: ``str | None``."""
        name = self._name
        if self.item is not None:
            name = f"{name}[{self.item}]" if self.kind is Kind.LIST else f"{name}[str, {self.item}]"
        return f"{name} | None" if self.allow_none and self.kind is not Kind.ANY else name

    @property
    def _name(self) -> str:
        if self.kind is Kind.LITERAL:
            return f"Literal[{', '.join(map(repr, self.options))}]"
        if self.kind is Kind.UNION:
            return " | ".join(str(variant) for variant in self.variants.values())
        name: str = self.python.__name__ if self.own is None else self.own.name
        return name


@attrs.frozen(eq=False, kw_only=True)
class OwnType:
    """The declaration of a type by ``value_type``.

    python: the class of the values. stored: the type of their stored form.
    cast: from an input to a value; ``None`` if the stored form and the value itself are the only inputs.
    dump, load: from a value to its stored form, and back; ``None`` if both are the same.
    limits: limits of each value.
    """

    name: str
    python: Any
    stored: ValueType
    cast: Callable[[Any], Any] | None = None
    dump: Callable[[Any], Any] | None = None
    load: Callable[[Any], Any] | None = None
    limits: Limits = Limits()
    doc: str = ""

    def __or__(self, other: Any) -> Any:
        """Return the union, so that ``Email | None`` is an annotation."""
        return typing.Union[typing.Annotated[object, self], other]  # "|" would call this method again

    __ror__ = __or__

    def __call__(self, value: Any) -> Any:
        """Return a value, cast from an input. An annotation inside ``list[...]`` must be callable, too."""
        return value if self.cast is None else self.cast(value)


_PLAIN: dict[Any, Kind] = {
    str: Kind.STRING,
    int: Kind.INTEGER,
    float: Kind.FLOAT,
    bool: Kind.BOOLEAN,
    decimal.Decimal: Kind.DECIMAL,
    dt.datetime: Kind.DATETIME,
    dt.date: Kind.DATE,
    dt.time: Kind.TIME,
    dt.timedelta: Kind.DURATION,
    uuid.UUID: Kind.UUID,
    bytes: Kind.BYTES,
    list: Kind.LIST,
    dict: Kind.MAP,
}
ANYTHING = ValueType(Kind.ANY, object, allow_none=True)
JSON_VALUE = ValueType(Kind.ANY, type("JSON", (), {}), allow_none=True)
"""Any JSON value; these values have no common class."""

_UNIONS = (typing.Union, types.UnionType)
_SIZED = frozenset({Kind.STRING, Kind.BYTES, Kind.LIST, Kind.MAP})
_RANGED = frozenset({Kind.INTEGER, Kind.FLOAT, Kind.DECIMAL, Kind.DATETIME, Kind.DATE, Kind.TIME, Kind.DURATION})

announced: dict[Any, OwnType] = {}
"""The types that ``value_type`` declares for classes of the application, by class."""


finders: list[Callable[[], Iterable[OwnType]]] = []
"""Functions that return the types of installed plugins. They are asked for a class that is unknown otherwise."""


def read_annotation(annotation: Any) -> ValueType:
    """Return the type of an annotation.

    Raise UnknownType for a union of several types that are not tagged, for a class that is not supported, and for a value that
    is not a type.
    """
    return _Reader().read(annotation)


def _unknown(annotation: Any) -> UnknownType:
    return UnknownType(f"{getattr(annotation, '__name__', annotation)!s} is no type that a record can hold")


class _Reader:
    """Reads one annotation. open: the classes whose fields are being read; one of them inside itself has no end."""

    def __init__(self) -> None:
        self._open: list[type[Any]] = []

    def read(self, annotation: Any) -> ValueType:  # one case for each form of an annotation
        if annotation is Any or annotation is object:
            return ANYTHING
        if isinstance(annotation, OwnType):
            return ValueType(Kind.OWN, annotation.python, own=annotation)
        if isinstance(annotation, (type, typing.NewType)) and annotation in announced:
            return self.read(announced[annotation])
        if annotation == JSON:
            return JSON_VALUE
        if type(annotation).__name__ == "TypeAliasType":  # the "type" statement of Python 3.12
            return self.read(getattr(annotation, "__value__"))  # noqa: B009  # of a class that Python 3.11 has not
        if isinstance(annotation, typing.NewType):
            return self.read(annotation.__supertype__)
        if typing.get_origin(annotation) is not None:
            return self._generic(annotation, typing.get_origin(annotation), typing.get_args(annotation))
        if isinstance(annotation, type) and annotation in _PLAIN:
            return ValueType(_PLAIN[annotation], annotation)
        if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
            return ValueType(Kind.ENUM, annotation, options=tuple(annotation), held=_held(annotation))
        if annotation in (Sequence, Mapping):
            return ValueType(Kind.LIST, list) if annotation is Sequence else ValueType(Kind.MAP, dict)
        return self._embedded(annotation)

    def _embedded(self, annotation: Any) -> ValueType:
        if annotation in self._open:
            msg = f"{annotation.__name__} contains itself; declare the inner field as dict[str, Any]"
            raise UnknownType(msg)
        try:
            structure = structure_of(annotation)
        except NameError as error:
            msg = f"the fields of {annotation.__name__} name something unknown: {error}; declare the class in a module"
            raise UnknownType(msg) from None
        if structure is None:
            return self._found(annotation)
        self._open.append(structure.python)
        fields: dict[str, ValueType] = {}
        for field in structure.fields:
            try:
                read = self.read(field.annotation)
            except UnknownType as error:
                msg = f"field {field.name!r} of {structure.python.__name__}: {error}"
                raise UnknownType(msg) from None
            fields[field.name] = JSON_VALUE if read == ANYTHING else read
        self._open.pop()
        return ValueType(Kind.EMBEDDED, structure.python, fields=fields, structure=structure)

    def _found(self, annotation: Any) -> ValueType:
        """Return the type of a class that a plugin declares."""
        for own in (own for finder in finders for own in finder()):
            if own.python is annotation:
                return self.read(own)
        raise _unknown(annotation)

    def _generic(self, annotation: Any, origin: Any, arguments: tuple[Any, ...]) -> ValueType:
        if origin in _UNIONS:
            return self._union(annotation, arguments)
        if origin is typing.Annotated:
            return self._annotated(arguments[0], arguments[1:])
        if origin is Literal:
            return _read_literal(arguments)
        if origin in (list, Sequence):
            return ValueType(Kind.LIST, list, item=self._item(arguments[0]) if arguments else None)
        if origin in (dict, Mapping):
            if arguments and arguments[0] is not str:
                msg = "the keys of a dict must be str"
                raise UnknownType(msg)
            return ValueType(Kind.MAP, dict, item=self._item(arguments[1]) if arguments else None)
        raise _unknown(annotation)

    def _annotated(self, annotation: Any, more: tuple[Any, ...]) -> ValueType:
        own = next((each for each in more if isinstance(each, OwnType)), None)
        read = self.read(annotation if own is None else own)
        for limits in more:
            if isinstance(limits, Limits):
                _require_meaning(limits, read)
                read = attrs.evolve(read, limits=limits)
        return read

    def _item(self, annotation: Any) -> ValueType | None:
        read = self.read(annotation)
        return None if read.kind is Kind.ANY else read

    def _union(self, annotation: Any, arguments: tuple[Any, ...]) -> ValueType:
        others = [argument for argument in arguments if argument is not types.NoneType]
        if len(others) == 1:
            read = self.read(others[0])
        else:
            variants = [self.read(other) for other in others]
            if any(variant.kind is not Kind.EMBEDDED for variant in variants):
                msg = f"{annotation} is a union of several types; only a union with None, or one of classes with fields, can be kept"
                raise UnknownType(msg)
            read = _tagged(variants)
        return attrs.evolve(read, allow_none=True) if len(others) < len(arguments) or read.allow_none else read


def _held(members: type[enum.Enum]) -> ValueType | None:
    """Return the type of the values of an enum's members; ``None`` if they have several types, or no plain one."""
    classes = {type(member.value) for member in members}
    python = classes.pop() if len(classes) == 1 else None
    return ValueType(_PLAIN[python], python) if python in _PLAIN and python not in (list, dict) else None


def _require_meaning(limits: Limits, of: ValueType) -> None:
    """Raise UnknownType for limits that mean nothing for a type."""
    kind = of.basic.kind
    for kinds, names in ((_SIZED, ("min_length", "max_length")), (_RANGED, ("minimum", "maximum"))):
        for name in names:
            if getattr(limits, name) is not None and kind not in kinds and of.kind is not Kind.OWN:
                msg = f"{name} means nothing for {of}"
                raise UnknownType(msg)
    if (limits.match or limits.trim or limits.case) and kind is not Kind.STRING:
        msg = f"match, trim and case mean nothing for {of}"
        raise UnknownType(msg)
    if limits.case == "fold":
        msg = "case='fold' belongs to attribute(...): a column holds one folded text"
        raise UnknownType(msg)


def _tagged(variants: list[ValueType]) -> ValueType:
    """Return a union. The tag is the first field that is a Literal in all classes, with different options."""
    for name in variants[0].fields:
        literals = [variant.fields.get(name) for variant in variants]
        options = [option for each in literals if each is not None for option in each.options]
        if all(each is not None and each.kind is Kind.LITERAL for each in literals) and len(set(options)) == len(options):
            return ValueType(
                Kind.UNION, object, tag=name, variants={option: each for each in variants for option in each.fields[name].options}
            )
    names = [variant.python.__name__ for variant in variants]
    if len(set(names)) < len(names) or any("type" in each.fields or _is_mapping(each) for each in variants):
        msg = f"the classes {', '.join(names)} of a union cannot be distinguished; give each a field of one name with a Literal type"
        raise UnknownType(msg)
    return ValueType(Kind.UNION, object, tag="type", variants=dict(zip(names, variants, strict=True)))


def _is_mapping(of: ValueType) -> bool:
    return of.structure is not None and of.structure.is_mapping


def _read_literal(options: tuple[Any, ...]) -> ValueType:
    values = tuple(option for option in options if option is not None)
    kinds = {type(option) for option in values}
    if len(kinds) != 1 or not kinds <= {str, int, bool}:
        msg = "the options of a Literal must all be str, all int or all bool"
        raise UnknownType(msg)
    python = kinds.pop()
    return ValueType(Kind.LITERAL, python, allow_none=None in options, options=values, held=ValueType(_PLAIN[python], python))
