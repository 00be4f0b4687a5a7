"""Writes resources for tables that exist: a module to paste, from the facts of the tables.

A maintainer opens it to change the names or the options that ``resourcekit inspect`` prints.
"""

from __future__ import annotations

import json
import keyword
import re
import unicodedata
from collections.abc import Container, Iterator, Mapping, Sequence

from resourcekit.data_layers.sql.dialects.existing import StoredColumn, length_of, options_of, scale_of
from resourcekit.data_layers.sql.inspection import ColumnFacts, ForeignKeyFacts, TableFacts
from resourcekit.declarations.value_type import Kind

__all__ = ["printed"]

_TYPES = {
    Kind.STRING: "str",
    Kind.INTEGER: "int",
    Kind.FLOAT: "float",
    Kind.BOOLEAN: "bool",
    Kind.DECIMAL: "Decimal",
    Kind.DATETIME: "datetime",
    Kind.DATE: "date",
    Kind.TIME: "time",
    Kind.DURATION: "timedelta",
    Kind.UUID: "UUID",
    Kind.BYTES: "bytes",
    Kind.MAP: "Any",
}
_MODULES = {
    "datetime": ("date", "datetime", "time", "timedelta"),
    "decimal": ("Decimal",),
    "typing": ("Any", "Literal"),
    "uuid": ("UUID",),
}
_OURS = (
    "Attr",
    "Domain",
    "One",
    "Resource",
    "SQLText",
    "attribute",
    "belongs_to",
    "create",
    "destroy",
    "env",
    "identity",
    "update",
)
_USED = frozenset({"self", "cls", "SQL", "DATABASE", "tables", *_OURS, *_TYPES.values(), "Literal"})
"""Names that the module uses; an attribute or a class with one of them would hide it."""

_LINE = 100
"""Characters of a line, as far as names allow."""


def printed(tables: Sequence[TableFacts], *, schema: str | None = None, variable: str = "DATABASE_URL") -> str:
    """Return the text of a module with a resource for each table.

    variable: the environment variable from which the module reads the URL of the database.
    """
    classes: dict[str, str] = {}
    for table in tables:
        classes[table.name] = _free(_camel(table.name), {*classes.values(), *_USED}, "Record")
    known = {table.name: table for table in tables}
    parts = [_Printer(table, classes, known, schema).text() for table in tables]
    body = "\n\n\n".join(parts) or "# There are no tables."
    code = re.sub(r'^ *(?:#|""").*', "", body, flags=re.MULTILINE)
    imports = [
        f"from {module} import {', '.join(used)}"
        for module, names in _MODULES.items()
        if (used := [name for name in names if re.search(rf"\b{name}\b", code)])
    ]
    ours = [name for name in _OURS if name in ("Domain", "env") or re.search(rf"\b{name}\b", code)]
    head = ["from __future__ import annotations", "", *imports, "" if imports else None]
    head += [f"from resourcekit import {', '.join(ours)}", "from resourcekit.data_layers import SQL", ""]
    head += [f"DATABASE = env({_text(variable)})", 'tables = Domain("tables")']
    return "\n".join(["# Written by `resourcekit inspect`.", *(line for line in head if line is not None), "", "", body, ""])


class _Printer:
    """Writes the class of one table."""

    def __init__(
        self, table: TableFacts, classes: Mapping[str, str], known: Mapping[str, TableFacts], schema: str | None
    ) -> None:
        self._table, self._classes, self._known, self._schema = table, classes, known, schema
        self._columns = {each.stored.name: each for each in table.columns if each.kind is not None}
        self._names: dict[str, str] = {}
        self._taken: set[str] = set(_USED)
        for name in self._columns:
            self._names[name] = self._name(_attribute_name(name))

    def _name(self, wanted: str, ending: str = "") -> str:
        found = _free(wanted, self._taken, ending)
        self._taken.add(found)
        return found

    def text(self) -> str:
        """Return the class; a comment for a table that no resource can have."""
        table = self._table
        if not table.key or not set(table.key) <= self._columns.keys():
            why = "has no primary key" if not table.key else "has a primary key of a type that no attribute has"
            return f"# The table {_plain(table.name)} {why}, which a resource needs."
        schema = "" if self._schema is None else f", schema={_text(self._schema)}"
        lines = [
            *self._head(schema),
            f'    """The table {_plain(table.name)}."""',
            "",
        ]
        for column in table.columns:
            lines += self._attribute(column)
        lines += self._relationships()
        lines += self._identities()
        lines += ["", *self._actions()]
        return "\n".join(lines)

    def _head(self, schema: str) -> list[str]:
        layer = f"SQL(DATABASE, table={_text(self._table.name)}{schema}, managed=False)"
        return _call(f"class {self._classes[self._table.name]}", ["Resource", "domain=tables", f"data_layer={layer}"], "", ":")

    def _attribute(self, column: ColumnFacts) -> list[str]:
        stored = column.stored
        if column.kind is None:
            return [f"    # The column {_plain(stored.name)} is {_plain(stored.type or 'of no type')}, {_why_not(stored)}."]
        name = self._names[stored.name]
        shown = f"Literal[{', '.join(map(_text, options))}]" if (options := options_of(stored)) else _TYPES[column.kind]
        given = dict(_options(column, is_whole_key=self._table.key == (stored.name,)))
        if name != stored.name:
            given["column"] = _text(stored.name)
        if stored.nullable and column.kind is not Kind.MAP:
            shown += " | None"
        if stored.nullable and not {"computed", "database_default"} & given.keys():
            given["default"] = "None"
        noted = [] if column.difference is None else [f"    # The column {_plain(column.difference.what)}."]
        if stored.made and stored.made != stored.type:
            checks = f", {_plain(' '.join(stored.checks))}" if stored.checks else ""
            noted.append(f"    # The column is of the domain {_plain(stored.made)}{checks}.")
        return [*noted, *_call(f"{name}: Attr[{shown}] = attribute", [f"{key}={value}" for key, value in given.items()])]

    def _relationships(self) -> Iterator[str]:
        for key in self._table.foreign_keys:
            other = self._known[key.table]
            if not {*key.columns} <= self._columns.keys() or not other.key:
                continue
            to = key.to or other.key
            if len(to) == len(key.columns) and ({*to} == {*other.key} or any({*to} == {*unique} for unique in other.unique)):
                yield from self._relationship(key, dict(zip(to, key.columns, strict=True)))

    def _relationship(self, key: ForeignKeyFacts, by_other: Mapping[str, str]) -> list[str]:
        """Return a relationship. by_other: the columns by those of the other table, whose order is that of its attributes."""
        other_key = self._known[key.table].key
        to = [each.stored.name for each in self._known[key.table].columns if each.stored.name in by_other]
        fields = [self._names[by_other[column]] for column in to]
        wanted = re.sub(r"_(id|no|key|code)$", "", fields[0]) if len(fields) == 1 else _attribute_name(key.table)
        name, other = self._name(wanted, "_record"), self._classes[key.table]
        optional = " | None" if any(self._columns[column].stored.nullable for column in key.columns) else ""
        given = [_tuple(fields), f"to=lambda: {other}"]
        if {*to} != {*other_key}:
            far = _Printer(self._known[key.table], self._classes, self._known, self._schema)
            given.append(f"to_field={_tuple([far._names[column] for column in to])}")  # of the same class
        if key.on_delete != "restrict":
            given.append(f'on_delete="{key.on_delete}"')
        return _call(f"{name}: One[{other}{optional}] = belongs_to", given)

    def _identities(self) -> Iterator[str]:
        for columns in self._table.unique:
            if {*columns} <= self._columns.keys():
                fields = [self._names[column] for column in columns]
                yield from _call(f"{self._name('by_' + '_'.join(fields), '_identity')} = identity", list(map(_text, fields)))

    def _actions(self) -> Iterator[str]:
        given = [self._names[name] for name, each in self._columns.items() if not _is_read_only(each.stored, self._table.key)]
        keys = {self._names[name] for name in self._table.key}
        yield from _accepting(f"{self._name('add', '_record')} = create", given)
        if changed := [name for name in given if name not in keys]:
            yield from _accepting(f"{self._name('change', '_record')} = update", changed)
        yield f"    {self._name('remove', '_record')} = destroy()"


def _why_not(stored: StoredColumn) -> str:
    """Return why no attribute has the type of a column."""
    if stored.type.endswith("[]"):
        return "an array; a list is kept as jsonb"
    if stored.options:
        return f"by the domain {_plain(stored.made)}; PostgreSQL compares a domain over an enum only after a cast"
    return "which no attribute has"


def _options(column: ColumnFacts, *, is_whole_key: bool) -> Iterator[tuple[str, str]]:
    stored = column.stored
    if stored.key:
        yield "primary_key", "True"
    if _is_generated(stored) and column.kind is Kind.INTEGER and (is_whole_key or stored.key):
        yield "generated", "True"
    elif stored.filled == "computed":
        yield "computed", "True"
    elif stored.filled or stored.default is not None:
        yield "database_default", f"SQLText({_text(stored.default or 'DEFAULT')})"
    if column.kind is Kind.STRING and (length := length_of(stored)) is not None:
        yield "max_length", str(length)
    if column.kind is Kind.DECIMAL and (scale := scale_of(stored)) is not None:
        yield "scale", str(scale)
    if column.difference is not None:
        yield "foreign_collation", "True"


def _is_generated(stored: StoredColumn) -> bool:
    return stored.filled == "identity" and bool(stored.key)


def _is_read_only(stored: StoredColumn, key: Sequence[str]) -> bool:
    return stored.filled == "computed" or (stored.name in key and stored.filled == "identity")


def _attribute_name(column: str) -> str:
    """Return a name of Python for a column: ``CUST_NO`` is ``cust_no``."""
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", column) if not column.isupper() else column
    name = unicodedata.normalize("NFKC", name.lower())  # as Python reads names
    name = "".join(each if f"n{each}".isidentifier() else "_" for each in name).strip("_") or "column"
    return name if name.isidentifier() else f"n{name}"


def _camel(table: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in _attribute_name(table).split("_"))


def _free(wanted: str, taken: Container[str], ending: str) -> str:
    """Return a name that is not taken: the wanted one, else with the ending, or with underscores."""
    name = wanted
    if (name in taken or keyword.iskeyword(name)) and ending:
        name += ending
    while name in taken or keyword.iskeyword(name):
        name += "_"
    return name


def _tuple(names: Sequence[str]) -> str:
    return _text(names[0]) if len(names) == 1 else f"({', '.join(map(_text, names))})"


def _plain(text: str) -> str:
    """Return a text of the database as a comment, or a docstring, can have it."""
    return _text(text)[1:-1]


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _accepting(called: str, names: Sequence[str]) -> list[str]:
    """Return the lines of an action; a long list has a line for each name."""
    line = f"    {called}(accept=[{', '.join(map(_text, names))}])"
    if len(line) <= _LINE:
        return [line]
    return [f"    {called}(", "        accept=[", *(f"            {_text(name)}," for name in names), "        ]", "    )"]


def _call(called: str, given: Sequence[str], indent: str = "    ", ending: str = "") -> list[str]:
    """Return the lines of a call; a long one has a line for each argument."""
    line = f"{indent}{called}({', '.join(given)}){ending}"
    if len(line) <= _LINE:
        return [line]
    return [f"{indent}{called}(", *(f"{indent}    {each}," for each in given), f"{indent}){ending}"]
