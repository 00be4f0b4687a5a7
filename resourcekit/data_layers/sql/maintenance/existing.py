"""Tables that other programs own: where they and their resource disagree, and which comparisons are refused.

A maintainer opens it to change what doctor says about such a table, or which operation counts as a comparison.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import sqlalchemy as sa

from resourcekit.data_layers.base import Aggregate, Delete, DeleteInBatches, Insert, Operation, Select, Update
from resourcekit.data_layers.sql.dialects.existing import Difference, StoredColumn, stored_kind
from resourcekit.data_layers.sql.execution.connection import Connection
from resourcekit.declarations.value_type import Kind
from resourcekit.dsl.diagnostics import Finding
from resourcekit.errors import InvalidArgument
from resourcekit.expressions.nodes import Compare, Existing, Expression, Field, Greatest, In, Incoming, Value
from resourcekit.expressions.rewriting import children
from resourcekit.resource_info import ResourceInfo

__all__ = ["differences_of", "findings", "null_findings", "refuse"]

Broken = Mapping[str, Difference]
"""The differences between columns and Python, by attribute."""

_CURE = "Write attribute(foreign_collation=True) to accept what the database does, or alter the column."


def differences_of(connection: Connection, info: ResourceInfo, table: sa.Table) -> Broken | None:  # passed through run_sync
    """Return in which ways columns differ from Python; ``None`` if the table does not exist."""
    columns = {each.name: each for each in connection.dialect.described(connection, table)}
    return dict(_broken(connection, info, columns)) if columns else None


def _broken(connection: Connection, info: ResourceInfo, columns: Mapping[str, StoredColumn]) -> Iterator[tuple[str, Difference]]:
    for name, attribute in info.attributes.items():
        column = columns.get(attribute.column_name)
        if column is not None and (different := connection.dialect.difference(stored_kind(attribute.type), column)) is not None:
            yield name, different


def refuse(info: ResourceInfo, broken: Broken, operation: Operation) -> None:
    """Raise InvalidArgument for an operation that compares, or sorts by, a column which does so otherwise than Python.

    Attributes with ``foreign_collation=True`` may be compared.
    """
    broken = {name: different for name, different in broken.items() if not info.attributes[name].foreign_collation}
    if not broken:
        return
    for name, is_order in _compared(operation):
        different = broken.get(name)
        if different is not None and (different.order if is_order else different.equality):
            what = f"{'an order' if is_order else 'a comparison'} of {name!r} would not mean what it means elsewhere"
            raise InvalidArgument(f"{what}: its column {different.what} (RK119). {_CURE}", resource=info.name)


def _compared(operation: Operation) -> Iterator[tuple[str, bool]]:
    """Yield the attributes that an operation compares, and whether it needs their order."""
    match operation:
        case Select():
            yield from _in_expression(operation.condition)
            for key in operation.order:
                yield from ((name, True) for name in _names(key.by))
            grouped = operation.fields or () if operation.figures is not None else ()
            yield from ((name, False) for name in (*operation.distinct, *operation.each, *grouped))
            for figure in (operation.figures or {}).values():
                yield from ((figure.field, True) for _ in (0,) if figure.kind in ("min", "max"))
        case Aggregate():
            yield from _in_expression(operation.condition)
            for key in operation.order:
                yield from ((name, True) for name in _names(key.by))
            if operation.kind in ("min", "max") and operation.field is not None:
                yield operation.field, True
        case Insert(on_conflict=conflict) if conflict is not None:
            yield from ((name, False) for name in conflict.target)
            yield from _in_expression(conflict.where)
        case Update() | Delete() | DeleteInBatches():
            yield from _in_expression(operation.condition)
        case _:
            pass


def _in_expression(node: Expression | None) -> Iterator[tuple[str, bool]]:
    if node is None:
        return
    match node:
        case Compare("==" | "!=", left, right) if not any(
            isinstance(side, Value) and side.value is None for side in (left, right)
        ):
            yield from ((name, False) for side in (left, right) for name in _names(side))
        case Compare(op, left, right) if op not in ("==", "!="):
            yield from ((name, True) for side in (left, right) for name in _names(side))
        case In(operand, _):
            yield from ((name, False) for name in _names(operand))
        case Greatest(parts):
            yield from ((name, True) for part in parts for name in _names(part))
        case _:
            pass
    for part in children(node):
        yield from _in_expression(part)


def _names(node: Expression) -> Iterator[str]:
    if isinstance(node, (Field, Existing, Incoming)):
        yield node.name
    for part in children(node):
        yield from _names(part)


def findings(connection: Connection, info: ResourceInfo, table: sa.Table) -> list[Finding]:  # passed through run_sync
    """Return findings about the table of another program: what is missing, what disagrees, which columns compare otherwise."""
    there = connection.dialect.described(connection, table)
    if not there:
        what = (
            f"the table {table.fullname} does not exist{', or this user may not see it' if connection.dialect.is_server else ''}"
        )
        why, cure = "Nothing can be read or written.", "Name the table and the schema as the other program does."
        return [_finding("RK110", info, what, why, cure)]
    columns, found = {each.name: each for each in there}, list[Finding]()
    for column in table.columns:
        if column.name not in columns:
            what = f"the column {column.name} of {table.name} is missing"
            found.append(_finding("RK111", info, what, "Reads and writes fail.", "Name it: attribute(column=...)."))
    keys = [table.c[name].name for name in info.primary_key]
    known = [each.name for each in sorted(there, key=lambda each: each.key) if each.key]
    if sorted(keys) != sorted(known):
        what = f"the primary key of {table.name} is ({', '.join(known)}), not ({', '.join(keys)})"
        found.append(_finding("RK112", info, what, "One key could have two records.", "Declare the same primary_key=True."))
    found += _disagreements(connection, info, table, columns)
    found += null_findings(connection, info, table)
    found += _unfilled(info, table, columns)
    found += _not_unique(connection, info, table)
    for name, different in _broken(connection, info, columns):
        what = f"the column {info.attributes[name].column_name} of {table.name} {different.what}"
        why = "The database compares its values otherwise than Python; such a comparison, or order, of it is refused."
        if info.attributes[name].foreign_collation:
            why, cure = "Comparisons mean what the database means: foreign_collation=True.", "Nothing, if that is what you want."
            found.append(_finding("RK119", info, what, why, cure, "info"))
        else:
            found.append(_finding("RK119", info, what, why, _CURE, "warning"))
    return found


def _disagreements(
    connection: Connection, info: ResourceInfo, table: sa.Table, columns: Mapping[str, StoredColumn]
) -> Iterator[Finding]:
    """Yield findings for columns of another type."""
    for attribute in info.attributes.values():
        column = columns.get(attribute.column_name)
        if column is None:
            continue
        place = f"the column {column.name} of {table.name}"
        kind = stored_kind(attribute.type)
        if attribute.stored_on(connection.dialect.name) in ("microseconds", "integer"):
            kind = Kind.INTEGER
        if not connection.dialect.fits(kind, column):
            why = "Values may be refused, cut, or compared otherwise than the resource does."
            cure = "Declare the type that resourcekit inspect prints for it."
            yield _finding(
                "RK116", info, f"{place} is {column.type}, and {attribute.name} is {attribute.type}", why, cure, "warning"
            )


def null_findings(connection: Connection, info: ResourceInfo, table: sa.Table) -> Iterator[Finding]:
    """Yield findings for NULL where the resource has no None, the reverse, and for columns that the resource would have to fill."""
    columns = {each.name: each for each in connection.dialect.described(connection, table)}
    for attribute in info.attributes.values():
        column = columns.get(attribute.column_name)
        if column is None or attribute.primary_key:
            continue
        place = f"the column {column.name} of {table.name}"
        if column.nullable and not attribute.allow_none and not attribute.is_computed:
            why, cure = "A row with NULL cannot be read.", f"Declare it as {attribute.type} | None, or make the column NOT NULL."
            yield _finding("RK116", info, f"{place} may be NULL", why, cure, "warning")
        if attribute.allow_none and not column.nullable and not attribute.is_filled:
            cure = "Take None out of the type, or let the column be NULL."
            yield _finding("RK116", info, f"{place} is NOT NULL", "None cannot be stored.", cure, "warning")
    named = {column.name for column in table.columns}
    if any(action.kind == "create" for action in info.actions.values()):
        for column in columns.values():
            if column.name not in named and not column.nullable and column.default is None and not column.filled:
                what = f"the column {column.name} of {table.name} needs a value, and the resource has no attribute for it"
                yield _finding("RK116", info, what, "Inserts fail.", "Declare an attribute for it.", "warning")


def _unfilled(info: ResourceInfo, table: sa.Table, columns: Mapping[str, StoredColumn]) -> Iterator[Finding]:
    """Yield findings for values that the resource leaves to the table and it does not fill, and for those that only it fills."""
    if not any(action.kind == "create" for action in info.actions.values()):
        return
    for attribute in info.attributes.values():
        column = columns.get(attribute.column_name)
        if column is None:
            continue
        place = f"the column {column.name} of {table.name}"
        is_filled = bool(column.filled) or column.default is not None
        if attribute.is_filled and attribute.computed is not True and not is_filled and not (column.nullable and not column.key):
            what, cure = f"{place} is not filled by the database", "Accept the value, or alter the column."
            yield _finding("RK116", info, what, "Inserts fail.", cure, "warning")
        if column.filled == "computed" and not attribute.is_read_only:
            what, cure = f"{place} is computed by the database", "Write attribute(computed=True)."
            yield _finding("RK116", info, what, "Inserts that give a value fail.", cure, "warning")


def _not_unique(connection: Connection, info: ResourceInfo, table: sa.Table) -> Iterator[Finding]:
    """Yield findings for identities that the table does not keep."""
    if not info.identities:
        return
    kept = connection.dialect.unique_sets(connection, table)
    for identity in info.identities.values():
        columns = [info.attributes[field].column_name for field in identity.fields]
        if frozenset(columns) not in kept:
            what = f"no unique index of {table.name} is over ({', '.join(columns)}), which the identity {identity.name} needs"
            why, cure = (
                "Two rows may have the same values, and upserts fail.",
                "Create a unique index, or leave the identity out.",
            )
            yield _finding("RK114", info, what, why, cure)


def _finding(code: str, info: ResourceInfo, what: str, why: str, cure: str, level: str = "error") -> Finding:
    return Finding(id=code, what=what, why=why, cure=cure, level=level, resource=info.qualified_name, path=("data_layer",))  # type: ignore[arg-type]  # one of the levels
