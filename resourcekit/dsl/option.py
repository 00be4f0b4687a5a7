"""Options as attrs classes, checked for type and range when they are created, with the place of their declaration."""

from __future__ import annotations

import enum
import inspect
import sys
import typing
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

import attrs

from resourcekit.dsl.builder import checked_builder
from resourcekit.dsl.diagnostics import Origin
from resourcekit.dsl.extension_checks import require_attrs, takes, wrong_class
from resourcekit.dsl.fitting import cure, mismatch
from resourcekit.dsl.lazy import is_reference
from resourcekit.errors import DeclarationError, ResourcekitError, did_you_mean
from resourcekit.known_names import shown

__all__ = [
    "MISSING",
    "Missing",
    "Options",
    "allow_any_order",
    "fields_of",
    "option",
    "require_order",
    "require_super",
    "require_values",
    "warn_deprecated",
    "warn_of_entity",
    "wrong_fields",
]


class Missing(enum.Enum):
    """The type of MISSING; an enum, because type checkers can narrow it."""

    MISSING = "MISSING"

    def __bool__(self) -> bool:
        """Return False."""
        return False


MISSING: Final = Missing.MISSING

_FACTORY: type = attrs.Factory  # type: ignore[assignment]  # a class, which checkers take for a function

T = TypeVar("T")


@checked_builder("option")
def option(
    *,
    default: Any = MISSING,
    factory: Callable[[], Any] | None = None,
    doc: str = "",
    check: Callable[[Any], str | None] | None = None,
    deprecated: str = "",
    lazy: bool = False,
) -> Any:
    """Declare an option of an extension, or of an entity.

    check: a function of the value that returns the problem, or ``None``.
    doc: one or two sentences for the reference.
    deprecated: the replacement, as a sentence. A use of the option then shows a DeprecationWarning with the line of the user.
    lazy: the value may be a text ``"module:Name"``, which ``resolve`` turns to the object. It is checked when the domain is
        sealed. Write ``str`` into the type of the option, too.

    Raise DeclarationError RK015 for options that contradict each other. The return type is Any, as for every field specifier
    (PEP 681).
    """
    _require_sound(default, factory, check)
    metadata: Mapping[str, object] = {"doc": doc, "check": check, "deprecated": deprecated, "lazy": lazy}
    if factory is not None:
        return attrs.field(factory=factory, metadata=metadata)
    return attrs.field(metadata=metadata) if default is MISSING else attrs.field(default=default, metadata=metadata)


def _require_sound(default: object, factory: object, check: object) -> None:
    """Raise DeclarationError RK015 for a default that all users would share, and for values that cannot be called."""
    if factory is not None and default is not MISSING:
        what, hint = "option() has both a default and a factory", "Keep one of the two."
    elif isinstance(default, (list, dict, set)):
        what = f"the default {default!r} would be one object for all users"
        hint = f"Write factory={type(default).__name__}, or give a tuple or a frozenset."
    elif factory is not None and not callable(factory):
        what, hint = f"factory must be a function without parameters, is {factory!r}", "Write factory=list, or default=..."
    elif check is not None and not callable(check):
        what, hint = f"check must be a function of the value, is {shown(check)}", "Write check=is_valid, without a call."
    else:
        return
    raise DeclarationError("RK015", what, path=("option",), origin=Origin.here(), hint=hint)


class _OptionsMeta(type):
    """Raises a DeclarationError with a suggestion for an unknown and for a missing option."""

    if not TYPE_CHECKING:  # type checkers read the attrs signature, and report unknown options themselves

        def __call__(cls, *args: Any, **given: Any) -> Any:
            require_attrs(cls)
            known = {field.alias for field in attrs.fields(cls) if field.init}
            for name in given:
                if name not in known:
                    raise DeclarationError(
                        "RK002",
                        f"{cls.__name__} has no option {name!r}",
                        path=(cls.__name__, name),
                        origin=Origin.here(),
                        hint=did_you_mean(name, known),
                    )
            if missing := _missing(cls, len(args), given):
                raise DeclarationError(
                    "RK003",
                    f"option {missing!r} is missing",
                    path=(cls.__name__, missing),
                    origin=Origin.here(),
                    hint=f"Give it: {cls.__name__}({missing}=...).",
                )
            made = _made(cls, super().__call__, args, given)
            for field in fields_of(cls):
                if field.alias in given and (instead := field.metadata.get("deprecated")):
                    warn_deprecated(f"the option {field.alias!r} of {cls.__name__}", instead, made.origin)
            return made


def _made(cls: type, make: Callable[..., Any], args: tuple[Any, ...], given: Mapping[str, Any]) -> Any:
    """Return new options.

    Raise DeclarationError RK003 for options by position, and RK015 if the class or a factory of the author fails.
    """
    if (
        args
        and inspect.getattr_static(cls, "__new__") is object.__new__
        and not takes(inspect.getattr_static(cls, "__init__"), len(args) + 1, given)
    ):
        what = f"{cls.__name__} does not take {len(args)} options by position"
        raise DeclarationError("RK003", what, path=(cls.__name__,), origin=Origin.here(), hint="Give them by name.")
    try:
        made = make(*args, **given)
    except (ResourcekitError, Warning):
        raise
    except Exception as error:
        what = f"{cls.__name__} cannot be made: {type(error).__name__}: {error}"
        raise wrong_class(cls, "options", what, "Correct its factories, or its own __init__.") from error
    if isinstance(made, cls) and (unset := [field.name for field in fields_of(cls) if not hasattr(made, field.name)]):
        what = f"{cls.__name__} has an __init__ of its own, which does not set {unset[0]!r}"
        raise wrong_class(cls, unset[0], what, "Leave __init__ out, or call self.__attrs_init__(...) in it.")
    return made


def _missing(cls: type, positional: int, given: Mapping[str, object]) -> str:
    """Return the first option without a default that is not given; ``""`` if all are given."""
    by_position = [field.alias for field in fields_of(cls) if not field.kw_only][:positional]
    for field in fields_of(cls):
        if field.default is attrs.NOTHING and field.alias not in given and field.alias not in by_position:
            return str(field.alias)
    return ""


@attrs.frozen(kw_only=True)
class Options(metaclass=_OptionsMeta):
    """The base of option classes.

    Raise DeclarationError RK002 for an unknown option and RK003 for one that is missing, of the wrong type or out of range.
    """

    origin: Origin = attrs.field(factory=Origin.here, init=False, eq=False, repr=False)

    def __init_subclass__(cls) -> None:
        """Raise DeclarationError RK015 for a default that the option's own type or check refuses."""
        super().__init_subclass__()
        if "__attrs_attrs__" not in vars(cls):
            allow_any_order(cls)
            return  # attrs makes the class a second time, with its fields
        require_order(cls)
        _require_options(cls)
        try:
            hints = typing.get_type_hints(cls)
        except Exception:  # a name that is not defined yet: checked when options are made
            return
        for field in fields_of(cls):
            if field.default is attrs.NOTHING or isinstance(field.default, _FACTORY):
                continue
            problem = _problem(cls, field, hints.get(field.name, Any), field.default)
            if problem:
                what = f"the default of the option {field.name!r} {problem}"
                raise wrong_class(cls, field.name, what, "Correct the default, or the type or check of the option.")

    def __attrs_post_init__(self) -> None:
        """Check each value against its annotation and its ``check``."""
        require_values(self, self.origin)


def require_values(holder: Options | Any, origin: Origin) -> None:
    """Raise DeclarationError RK003 for a value of options, or of an ``option`` of an entity, that is wrong."""
    cls = type(holder)
    for field, annotation in _checks_of(cls):
        problem = _problem(cls, field, annotation, getattr(holder, field.name))
        if problem:
            name, owner = field.name, cls.__name__
            what, hint = f"option {name!r} {problem}", cure(name, getattr(holder, name), annotation, f"{owner}.{name}")
            raise DeclarationError("RK003", what, path=(owner, name), origin=origin, hint=hint)


def _problem(cls: type, field: attrs.Attribute[Any], annotation: Any, value: object) -> str | None:
    """Return the problem of a value by its annotation and its ``check``. Raise RK015 for a ``check`` that cannot answer."""
    if field.metadata.get("lazy") and isinstance(value, str):
        return None if is_reference(value) else f'must be a reference such as "myapp.accounts:User", is {value!r}'
    if (problem := mismatch(value, annotation)) is not None:
        return problem
    check = field.metadata.get("check")
    if check is None:
        return None
    try:
        found: object = check(value)
    except Exception as error:
        text = f"the check of the option {field.name!r} raised {type(error).__name__}: {error}"
        raise wrong_class(cls, field.name, text, "Let it return the problem as a text, or None.") from error
    if inspect.iscoroutine(found):
        found.close()
    if found is not None and not isinstance(found, str):
        text = f"the check of the option {field.name!r} returned {found!r}"
        raise wrong_class(cls, field.name, text, "Let it return the problem as a text, or None.")
    return found


_NOT_OPTIONS = ("origin", "of")
"""Names that every class of options has already."""


def _require_options(cls: type) -> None:
    """Raise DeclarationError RK015 for fields that would not be checked, are shared, or hide what the framework reads."""
    for field in attrs.fields(cls):
        if field.inherited:
            continue
        if field.name in _NOT_OPTIONS:
            raise wrong_class(cls, field.name, f"an option cannot be named {field.name!r}", "Give it another name.")
        if field.type is None:
            what = f"the option {field.name!r} has no type, so that its values cannot be checked"
            raise wrong_class(cls, field.name, what, f"Write {field.name}: int = option(...).")
        if isinstance(field.default, (list, dict, set)):
            what = f"the default of the option {field.name!r} would be one object for all users"
            hint = f"Write option(factory={type(field.default).__name__}), or give a tuple or a frozenset."
            raise wrong_class(cls, field.name, what, hint)
    require_super(cls)


_AFTER_DEFAULT = "resourcekit: after a default"
"""Marks, in the metadata of a field, that it has no default and comes after one that has."""


def allow_any_order(cls: type) -> None:
    """Mark fields without a default after one with a default, before attrs reads the class and raises its own error.

    attrs accepts the order if all fields are given by name. Whether they are is known only later (``require_order``).
    """
    marked = type(attrs.field())
    inherited = [field for base in cls.__mro__[1:] for field in vars(base).get("__attrs_attrs__", ())]
    has_default = any(field.init and not field.kw_only and field.default is not attrs.NOTHING for field in inherited)
    for name, annotation in inspect.get_annotations(cls).items():
        if "ClassVar" in str(annotation):
            continue
        field: Any = vars(cls).get(name, attrs.NOTHING)
        if field is attrs.NOTHING:
            field = attrs.field()
        elif not isinstance(field, marked):
            has_default = True
            continue
        if field._default is not attrs.NOTHING:  # noqa: SLF001  # attrs has no public access before it makes the class
            has_default = has_default or (field.init and not field.kw_only)
        elif has_default and field.init and not field.kw_only:
            field.kw_only, field.metadata = True, {**(field.metadata or {}), _AFTER_DEFAULT: True}
            setattr(cls, name, field)


def require_order(cls: type) -> None:
    """Raise DeclarationError RK015 for fields without a default after one with a default, unless all are given by name."""
    own = [field for field in attrs.fields(cls) if not field.inherited and field.init]
    late = next((field for field in own if field.metadata.get(_AFTER_DEFAULT)), None)
    if late is not None and not all(field.kw_only for field in own):
        what = f"the option {late.name!r} has no default, and comes after one that has"
        raise wrong_class(cls, late.name, what, "Write @attrs.frozen(kw_only=True) above the class.")


def require_super(cls: type) -> None:
    """Raise DeclarationError RK015 for an ``__attrs_post_init__`` that does not call that of its base, which checks the values."""
    own = vars(cls).get("__attrs_post_init__")
    names = () if own is None else getattr(getattr(own, "__code__", None), "co_names", ("__attrs_post_init__",))
    if own is not None and "__attrs_post_init__" not in names:
        what = f"{cls.__name__} has an __attrs_post_init__ that does not call that of its base"
        raise wrong_class(cls, "__attrs_post_init__", what, "Begin it with super().__attrs_post_init__().")


def fields_of(options: type) -> tuple[attrs.Attribute[Any], ...]:
    """Return the fields that a user can set, in order."""
    return tuple(field for field in attrs.fields(options) if field.init)


def wrong_fields(entity: Any) -> Iterator[tuple[str, str]]:
    """Yield the fields of an entity whose value is of a wrong kind, each with the problem; items of collections are not checked."""
    cls = type(entity)
    if cls not in _kinds:
        try:
            hints = typing.get_type_hints(cls)
        except Exception:  # a name that only type checkers know: the fields stay unchecked
            hints = {}
        _kinds[cls] = [(field.name, hints.get(field.name, Any)) for field in fields_of(cls)]
    for name, annotation in _kinds[cls]:
        if problem := mismatch(getattr(entity, name), annotation, deep=False):
            yield name, problem


_kinds: dict[type, list[tuple[str, Any]]] = {}
_cache: dict[type, list[tuple[attrs.Attribute[Any], Any]]] = {}


def _checks_of(cls: type) -> list[tuple[attrs.Attribute[Any], Any]]:
    """Return the fields to check, with their annotations: all of options, and those of an entity that ``option`` made."""
    known = _cache.get(cls)
    if known is None:
        fields = [field for field in fields_of(cls) if issubclass(cls, Options) or "check" in field.metadata]
        try:
            hints = typing.get_type_hints(cls) if fields else {}
        except Exception as error:
            what = f"the types of the options of {cls.__name__} cannot be read: {type(error).__name__}: {error}"
            raise wrong_class(
                cls, "options", what, "Import the name where the program runs, not only for type checkers."
            ) from error
        known = _cache[cls] = [(field, hints.get(field.name, Any)) for field in fields]
    return known


def warn_deprecated(what: str, instead: str, origin: Origin) -> None:
    """Show a DeprecationWarning at the line of the declaration, as if that line had raised it.

    instead: the replacement, as a sentence.
    """
    modules = list(sys.modules.items())
    module = next((name for name, value in modules if getattr(value, "__file__", None) == origin.file), "__main__")
    warnings.warn_explicit(f"{what} is deprecated. {instead}", DeprecationWarning, origin.file, origin.line or 1, module)


# Any: an entity, whose class is above this module.
def warn_of_entity(entity: Any) -> None:
    """Warn of a deprecated entity of a class body, and of each deprecated field whose value is not the default."""
    called = f"{type(entity).__name__} {entity.name!r}"
    if type(entity).deprecated:
        warn_deprecated(called, type(entity).deprecated, entity.origin)
    for field in attrs.fields(type(entity)):
        instead = field.metadata.get("deprecated")
        if instead and getattr(entity, field.name) != _default_of(field):
            warn_deprecated(f"the option {field.name!r} of {called}", instead, entity.origin)


# Any: checkers take attrs.Factory for a function, and have no name for the class.
def _default_of(field: Any) -> object:
    return field.default.factory() if hasattr(field.default, "factory") else field.default
