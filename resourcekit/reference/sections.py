"""Generates reference documentation in Markdown from declarations and their docstrings.

Input is plain values (classes of options, functions, items). The text of an option is written where it is declared: in
``option(doc=...)``, or in the docstring.
"""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable, Collection, Iterable
from datetime import timedelta
from typing import Any

import attrs

from resourcekit.dsl.option import MISSING, fields_of
from resourcekit.reference.docstrings import markdown, parse_docstring, texts_below

__all__ = ["Item", "class_section", "code", "enum_table", "function_section", "items_of", "shown", "table"]

_WIDEST = 110
"""Characters of a call on one line; a longer one gets one line per parameter."""

_UNITS = (("days", 86_400.0), ("hours", 3_600.0), ("minutes", 60.0), ("seconds", 1.0))
_OWN = ("self", "cls")


@attrs.frozen(kw_only=True)
class Item:
    """One named thing: an option, an attribute, an argument, a parameter.

    type: as in an annotation.
    default: as in a call; ``""`` if a value must be given.
    notes: short notes, such as ``"primary key, sensitive"``.
    doc: its meaning, in docstring form.
    """

    name: str
    type: str = ""
    default: str = ""
    notes: str = ""
    doc: str = ""


# From declarations to items -------------------------------------------------------------------------------------


def items_of(options: type) -> tuple[Item, ...]:
    """Return the options of an attrs class, in order. The docstring takes precedence over ``option(doc=...)``."""
    fields = {field.alias or field.name: field for field in fields_of(options)}
    _, texts = parse_docstring(options.__doc__, fields)
    return tuple(
        Item(
            name=name,
            type=_annotation(field.type),
            default=_default(field.default),
            doc=texts.get(name) or field.metadata.get("doc", ""),
        )
        for name, field in fields.items()
    )


def _default(given: Any) -> str:
    if given is attrs.NOTHING:
        return ""
    factory = getattr(given, "factory", None)
    return shown(given) if factory is None else f"{getattr(factory, '__name__', factory)}()"


def _parameters(function: Callable[..., Any], docs: Iterable[str | None], without: Collection[str]) -> tuple[Item, ...]:
    """Return the parameters of a function, in order. If several docstrings describe one, the first is used."""
    parameters = [each for each in inspect.signature(function).parameters.values() if each.name not in without]
    texts: dict[str, str] = {}
    for doc in docs:
        texts = {**parse_docstring(doc, [each.name for each in parameters])[1], **texts}
    return tuple(
        Item(
            name=f"*{each.name}" if each.kind is each.VAR_POSITIONAL else each.name,
            type=_annotation(each.annotation),
            default="()" if each.kind is each.VAR_POSITIONAL else "" if each.default is each.empty else shown(each.default),
            doc=texts.get(each.name, ""),
        )
        for each in parameters
    )


def _property(name: str, value: Any) -> Item | None:
    function = value.fget if isinstance(value, property) else getattr(value, "func", None)
    if function is None:
        return None
    return Item(name=name, type=_annotation(inspect.signature(function).return_annotation), doc=function.__doc__ or "")


def _annotation(given: Any) -> str:
    if given is inspect.Parameter.empty or given is None:
        return ""
    return given if isinstance(given, str) else str(getattr(given, "__name__", given))


def shown(value: object) -> str:
    """Return a default as in a call: ``timedelta(hours=12)``; ``...`` if the default is not a plain value."""
    if value in (MISSING, attrs.NOTHING, ...):
        return "..."
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, timedelta):
        return _duration(value)
    if isinstance(value, type) or inspect.isroutine(value):
        return str(getattr(value, "__name__", value))
    return repr(value)


def _duration(value: timedelta) -> str:
    seconds = value.total_seconds()
    if not seconds:
        return "timedelta(0)"
    unit, size = next(((unit, size) for unit, size in _UNITS if seconds % size == 0), ("milliseconds", 0.001))
    return f"timedelta({unit}={round(seconds / size)})"


# From items to text ---------------------------------------------------------------------------------------------


def code(text: str) -> str:
    """Return a block of Python that is not meant to be run."""
    return f"```py\n{text}\n```"


def table(items: Iterable[Item], *, called: str = "name") -> str:
    """Return a table. Empty columns are left out, and a table without rows is empty."""
    rows = list(items)
    columns: list[tuple[str, Callable[[Item], str]]] = [(called, lambda item: f"`{item.name}`")]
    if any(item.type for item in rows):
        columns.append(("type", lambda item: f"`{item.type}`" if item.type else ""))
    if any(item.default for item in rows):
        columns.append(("default", lambda item: f"`{item.default}`" if item.default else "*required*"))
    if any(item.notes for item in rows):
        columns.append(("notes", lambda item: item.notes))
    if any(item.doc for item in rows):
        columns.append(("meaning", lambda item: _sentence(item.doc)))
    lines = [" | ".join(name for name, _ in columns), " | ".join("---" for _ in columns)]
    lines += [" | ".join(_cell(cell(item)) for _, cell in columns) for item in rows]
    return "\n".join(f"| {line} |" for line in lines) if rows else ""


def _sentence(doc: str) -> str:
    text = markdown(doc)
    return text[:1].upper() + text[1:]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _bullets(items: Iterable[Item]) -> str:
    """Return a list of the items that have a text. Items with the same text share an entry."""
    names: dict[str, list[str]] = {}
    for item in items:
        if item.doc:
            names.setdefault(item.doc, []).append(f"`{item.name}`")
    return "\n".join(f"- {', '.join(group)}: {markdown(doc)}" for doc, group in names.items())


def function_section(
    name: str,
    function: Callable[..., Any],
    *docs: str | None,
    called: str = "",
    returns: str | None = None,
    without: Collection[str] = _OWN,
    level: int = 3,
    in_table: bool = False,
    is_awaited: bool = False,
) -> str:
    """Return a section on a function: its call, its description and its parameters.

    docs: further docstrings that describe the parameters.
    called: the name in a call, if it differs.
    returns: a replacement for the return annotation.
    without: parameters that the caller does not give.
    level: of the heading.
    in_table: show all parameters, even those without a text.
    is_awaited: the caller awaits the call. Functions with a sync and an async form are shown in the sync one.
    """
    parameters = _parameters(function, (function.__doc__, *docs), without)
    prose, _ = parse_docstring(function.__doc__, [item.name.lstrip("*") for item in parameters])
    show_table = in_table and any(item.doc for item in parameters)
    explained = table(parameters, called="parameter") if show_table else _bullets(parameters)
    call = f"{'await ' if is_awaited else ''}{_call(called or name, function, without, returns)}"
    return _joined(f"{'#' * level} {name}", code(call), markdown(prose), explained)


def class_section(kind: type, *, called: str = "", level: int = 2, without: Collection[str] = ()) -> str:
    """Return a section on a class: its constructor, its description, and its public methods and properties.

    called: its name, if users create instances.
    without: parameters, methods and properties that are left out.
    """
    without = {*_OWN, *without}
    prose, texts = parse_docstring(kind.__doc__, list(inspect.signature(kind).parameters))
    members = {name: value for name, value in vars(kind).items() if not name.startswith("_") and name not in without}
    return _joined(
        f"{'#' * level} {kind.__name__}",
        code(_call(called, kind, without, "")) if called else "",
        markdown(prose),
        _bullets(Item(name=name, doc=doc) for name, doc in texts.items() if name not in without),
        table(filter(None, (_property(name, value) for name, value in members.items())), called="property"),
        *(
            function_section(
                f"{kind.__name__}.{name}",
                getattr(kind, name),
                level=level + 1,
                called=name,
                is_awaited=inspect.iscoroutinefunction(getattr(kind, name)),
            )
            for name, value in members.items()
            if inspect.isfunction(value) or isinstance(value, classmethod)
        ),
    )


def enum_table(kind: type[enum.Enum]) -> str:
    """Return a table of the members of an enum, with the docstring of each."""
    texts = texts_below(inspect.getsource(kind))
    return table((Item(name=each.name, doc=texts.get(each.name, "")) for each in kind), called=kind.__name__.lower())


def _joined(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part)


def _call(called: str, function: Callable[..., Any], without: Collection[str], returns: str | None) -> str:
    """Return the call of a function: ``Token.revoke(token: str, *, reason: str | None = None) -> Token``."""
    found = inspect.signature(function)
    parts: list[str] = []
    for parameter in found.parameters.values():
        if parameter.name in without:
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not any(part.startswith("*") for part in parts):
            parts.append("*")
        stars = "*" if parameter.kind is parameter.VAR_POSITIONAL else "**" if parameter.kind is parameter.VAR_KEYWORD else ""
        parts.append(f"{stars}{parameter.name}{_typed(parameter)}")
    result = _annotation(found.return_annotation) if returns is None else returns
    arrow = f" -> {result}" if result else ""
    line = f"{called}({', '.join(parts)}){arrow}"
    return line if len(line) <= _WIDEST else "\n".join([f"{called}(", *(f"    {part}," for part in parts), f"){arrow}"])


def _typed(parameter: inspect.Parameter) -> str:
    annotation = _annotation(parameter.annotation)
    if parameter.default is parameter.empty:
        return f": {annotation}" if annotation else ""
    return f": {annotation} = {shown(parameter.default)}" if annotation else f"={shown(parameter.default)}"
