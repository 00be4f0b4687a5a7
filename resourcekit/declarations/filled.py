"""Attributes that the database fills: keys that it counts, its own defaults, and computed columns.

A maintainer opens it to change what such an attribute may be, or which steps may name it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import attrs

from resourcekit.declarations.value_type import Kind
from resourcekit.dsl.diagnostics import Finding
from resourcekit.dsl.option import MISSING
from resourcekit.dsl.passes import Verifier
from resourcekit.errors import InvalidArgument
from resourcekit.expressions.nodes import (
    And,
    Arithmetic,
    Case,
    Coalesce,
    Compare,
    Expression,
    Field,
    Greatest,
    IsNone,
    Not,
    Now,
    Or,
    Value,
)
from resourcekit.expressions.rewriting import children, fields_of
from resourcekit.known_names import shown

if TYPE_CHECKING:
    from resourcekit.declarations.action import Action, CreateAction
    from resourcekit.declarations.attribute import Attribute
    from resourcekit.declarations.facts import Facts

__all__ = ["FilledAttributesAreSound", "SQLText", "refuse_sql_text"]

_CONSTANTS = {Kind.STRING: str, Kind.INTEGER: int, Kind.FLOAT: float, Kind.BOOLEAN: bool}
_COMPUTED = frozenset({Kind.STRING, Kind.INTEGER, Kind.BOOLEAN, Kind.LITERAL})
"""Kinds whose computations mean the same in a column of each database, without functions of our connections."""

_NODES = (And, Arithmetic, Case, Coalesce, Compare, Field, Greatest, IsNone, Not, Or, Value)


@attrs.frozen
class SQLText:
    """SQL text of a default or of a computed column, as the database takes it: ``SQLText("gen_random_uuid()")``.

    Only data layers of SQL databases take it. Raise InvalidArgument for an empty text.
    """

    text: str

    def __attrs_post_init__(self) -> None:
        """Check the text."""
        given: object = self.text
        if not isinstance(given, str) or not given.strip():
            msg = 'SQLText takes the text of an SQL expression; write SQLText("gen_random_uuid()")'
            raise InvalidArgument(msg)


class FilledAttributesAreSound(Verifier):
    """Requires that the database can fill each attribute that is left to it, and that no step writes a read-only one."""

    def verify(self, info: Facts, options: object) -> Iterable[Finding]:
        """Find options that exclude each other, and actions that write what only the database writes."""
        filled = {name: each for name, each in info.attributes.items() if each.is_filled}
        if not filled:
            return
        for attribute in filled.values():
            yield from _attribute_findings(attribute, info)
        read_only = {name for name, each in filled.items() if each.is_read_only}
        for action in info.actions.values():
            yield from _action_findings(action, read_only, set(filled), info)


def _attribute_findings(attribute: Attribute, info: Facts) -> Iterator[Finding]:
    ways = {
        "generated": attribute.generated,
        "database_default": attribute.database_default is not MISSING,
        "computed": attribute.is_computed,
    }
    given = [name for name, is_given in ways.items() if is_given]
    if len(given) > 1:
        yield _finding(attribute, f"has {' and '.join(given)}", "Keep one of them.")
    has_default = attribute.default is not MISSING or attribute.default_factory is not None
    if has_default or (attribute.is_read_only and attribute.update_default_factory is not None):
        yield _finding(attribute, f"has {given[0]} and a default of Python", "Keep one of the two.")
    if attribute.constraints.case == "fold":
        yield _finding(attribute, f"has {given[0]} and case='fold', whose second column resourcekit fills", "Write case='lower'.")
    if attribute.generated and (not attribute.primary_key or attribute.type.kind is not Kind.INTEGER):
        cure = "Write Attr[int] = attribute(primary_key=True, generated=True), or database_default=SQLText(...)."
        yield _finding(attribute, "is generated, and no primary key of type int", cure)
    if attribute.is_computed and attribute.primary_key:
        yield _finding(attribute, "is computed, and part of the primary key", "Compute another attribute.")
    if attribute.is_computed and not (attribute.computed is True or isinstance(attribute.computed, (Expression, SQLText))):
        cure = "Write an expression over other attributes, SQLText(...), or True for a column that another program fills."
        yield _finding(attribute, f"has as computed {shown(attribute.computed)}", cure)
    if attribute.database_default is not MISSING:
        yield from _default_findings(attribute)
    if isinstance(attribute.computed, Expression):
        yield from _computed_findings(attribute, attribute.computed, info)


def _default_findings(attribute: Attribute) -> Iterator[Finding]:
    default, kind = attribute.database_default, attribute.type.kind
    if isinstance(default, SQLText):
        return
    if type(default) is Now:
        fits = kind is Kind.DATETIME and not attribute.stored
    elif kind is Kind.ENUM:
        fits = isinstance(default, attribute.type.python)
    elif kind is Kind.LITERAL:
        fits = type(default) in (str, int) and default in attribute.type.options
    else:
        fits = type(default) is _CONSTANTS.get(kind)
    if not fits:
        what = f"has database_default={default!r}, which has no one form in each database"
        cure = "Write a text, a number, a bool, a member of an enum, now() for a datetime, or SQLText(...)."
        yield _finding(attribute, what, cure)


def _computed_findings(attribute: Attribute, node: Expression, info: Facts) -> Iterator[Finding]:
    names = sorted(fields_of(node))
    kinds = {name: info.attributes[name].type.kind for name in names if name in info.attributes}
    if unknown := [name for name in names if name not in info.attributes]:
        yield _finding(attribute, f"is computed of {unknown[0]!r}, which is no attribute", "Name attributes of this resource.")
        return
    if filled := [name for name in names if info.attributes[name].is_read_only]:
        yield _finding(
            attribute, f"is computed of {filled[0]!r}, which the database fills, too", "Name attributes that callers give."
        )
    folds = [name for name in names if info.attributes[name].constraints.case == "fold"]
    is_plain = attribute.type.kind in _COMPUTED and set(kinds.values()) <= _COMPUTED and not folds
    if not is_plain or not _is_fixed(node):
        what = "is computed by an expression that databases would compute in their own ways"
        cure = (
            "Compute whole numbers, texts and bools by +, -, *, comparisons, case(...) and coalesce(...), or write "
            "computed=SQLText(...) for one database, or a calculation."
        )
        yield _finding(attribute, what, cure)


def _is_fixed(node: Expression) -> bool:
    """Return whether an expression has operators only that mean the same in each database."""
    return isinstance(node, _NODES) and all(map(_is_fixed, children(node)))


def _action_findings(action: Action, read_only: set[str], filled: set[str], info: Facts) -> Iterator[Finding]:
    cure = "Leave it out: the database fills it."
    written: set[str] = {*getattr(action, "accept", ())}
    for change in getattr(action, "changes", ()):
        written |= {*(getattr(change, "writes", None) or ())}
    for name in sorted(written & read_only):
        yield _of_action(action, f"writes {name!r}, which the database fills", cure)
    upsert = getattr(action, "upsert", None)
    if upsert is not None:
        yield from _upsert_findings(action, read_only, filled, info)  # type: ignore[arg-type]  # only creates have one


def _upsert_findings(action: CreateAction, read_only: set[str], filled: set[str], info: Facts) -> Iterator[Finding]:
    upsert = action.upsert
    assert upsert is not None
    named = info.identities.get(upsert.identity) if upsert.identity is not None else None
    target: Any = info.primary_key if upsert.identity is None else () if named is None else named.fields
    for name in target:
        if name in filled:
            what = f"finds the existing record by {name!r}, which the database fills"
            yield _of_action(action, what, "Upsert by an identity of attributes that the caller gives.")
    for name in sorted({*(upsert.set or ()), *upsert.given} & read_only):
        yield _of_action(action, f"writes {name!r} in its upsert, which the database fills", "Leave it out.")


def _finding(attribute: Attribute, what: str, cure: str) -> Finding:
    return Finding(id="RK063", what=what, cure=cure, path=("attributes", attribute.name), origin=attribute.origin)


def _of_action(action: Action, what: str, cure: str) -> Finding:
    return Finding(id="RK063", what=what, cure=cure, path=("actions", action.name), origin=action.origin)


def refuse_sql_text(info: Facts, layer: str) -> Iterator[Finding]:
    """Yield a finding for each attribute that only an SQL database can fill."""
    for attribute in info.attributes.values():
        if isinstance(attribute.database_default, SQLText) or (
            attribute.is_computed and not isinstance(attribute.computed, Expression)
        ):
            what = f"is filled by SQL text, which {layer} cannot compute"
            yield _finding(attribute, what, "Give a value, now() or an expression, or keep the resource in an SQL database.")
