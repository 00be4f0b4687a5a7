"""Statements and plans: the text of an operation, the sources of its values, and the decoding of its rows.

A maintainer opens it to change how values are bound, or how rows are read.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from resourcekit.clock import utc_now
from resourcekit.data_layers.base import Operation, Params, Plan, Row
from resourcekit.data_layers.sql.compile.expressions import NOW
from resourcekit.data_layers.sql.compile.parts import Bind
from resourcekit.data_layers.sql.compile.row_makers import MakeRows, MakeValues, compile_rows, compile_values
from resourcekit.data_layers.sql.compile.variants import collections_in, held_by, shape_of, shaped
from resourcekit.data_layers.sql.dialects.columns import Codec
from resourcekit.data_layers.unstorable import NoneGiven, Unstorable, partial_row, unreadable
from resourcekit.errors import FieldFinding, Invalid, UnreadableValue
from resourcekit.signals import require_no_signal

__all__ = ["SQLPlan", "Statement"]

_MANY = 50
"""Rows, of one call or of several, from which on a function is made that makes them."""

_ONCE = 1
"""Calls after which a function is made that makes the values of a call. Many statements run only once."""


class Statement:
    """SQL text with placeholders, for one dialect.

    returned: codec of each field of its rows, in the order of the columns.
    returns: the statement returns rows.
    key: the attributes of the primary key whose values error messages may show.
    finish: computes the final form of each row.
    figure_of: the attribute that errors name for a figure over its values.
    needed: a row with an unreadable value of another field than these is a PartialRow; ``None``: it raises UnreadableValue.
    """

    __slots__ = (
        "_binds",
        "_calls",
        "_decoders",
        "_fields",
        "_figure_of",
        "_finish",
        "_has_now",
        "_key",
        "_made",
        "_make_rows",
        "_make_values",
        "_needed",
        "_resource",
        "returns",
        "sql",
    )

    def __init__(
        self,
        built: Any,
        sa_dialect: sa.Dialect,
        binds: Mapping[str, Bind],
        resource: str,
        returned: Mapping[str, Codec] | None = None,
        *,
        returns: bool = True,
        key: tuple[str, ...] = (),
        finish: Callable[[Row], Row] | None = None,
        figure_of: str = "",
        needed: Collection[str] | None = None,
    ) -> None:
        compiled = built.compile(dialect=sa_dialect)
        self.returns = returns
        self.sql = str(compiled)
        constants: Mapping[str, Any] = compiled.params
        names: Sequence[str] = compiled.positiontup or ()
        self._binds = tuple(binds[name] if name in binds else Bind("", str, constant=constants[name]) for name in names)
        self._has_now = any(bind.param == NOW for bind in self._binds)
        self._resource, self._key, self._finish, self._needed = resource, key, finish, needed
        self._figure_of = figure_of
        self._calls = self._made = 0
        self._make_rows: MakeRows | None = None
        self._make_values: MakeValues | None = None
        self._fields = tuple(returned or ())
        self._decoders = tuple((name, codec.decode) for name, codec in (returned or {}).items() if codec.decode is not None)

    def values(self, params: Params) -> list[Any]:
        """Return the stored forms of the values for the placeholders, in order.

        Raise Invalid for a value that cannot be stored, and NoneGiven if another variant of the statement is needed.
        """
        if (make := self._make_values) is None:
            make = self._values_one_by_one
            self._calls += 1
            if self._calls > _ONCE:
                make = self._make_values = compile_values(self._binds)
        try:
            return make(params)
        except Unstorable:
            raise self._invalid(params) from None

    def _values_one_by_one(self, params: Params) -> list[Any]:
        now = utc_now() if self._has_now else None
        return [self._one(bind, params, now) for bind in self._binds]

    def constants(self, start: int) -> list[Any] | None:
        """Return the values of the placeholders from a position on; ``None`` if a parameter is among them."""
        binds = self._binds[start:]
        return None if any(bind.param for bind in binds) else [bind.constant for bind in binds]

    @staticmethod
    def _one(bind: Bind, params: Params, now: Any) -> Any:
        if not bind.param:
            return bind.constant
        value = now if bind.param == NOW else params[bind.param]
        return bind.encode(value if bind.index is None else value[bind.index])

    def _invalid(self, params: Params) -> Invalid:
        now = utc_now()
        for bind in self._binds:
            try:
                self._one(bind, params, now)
            except Unstorable as refused:
                return Invalid(FieldFinding(bind.field, str(refused)), resource=self._resource)
        return Invalid("a value cannot be kept", resource=self._resource)

    def rows(self, stored: Sequence[Sequence[Any]]) -> list[Row]:
        """Return rows from the driver's tuples. Raise UnreadableValue for a value that does not fit its attribute's type, unless
        it is not needed (see the class).
        """
        fields = self._fields
        try:
            self._made += len(stored)
            if self._made >= _MANY and stored and len(stored[0]) == len(fields):
                rows = self._made_at_once(stored)
            else:
                rows = [dict(zip(fields, each, strict=False)) for each in stored]
                for name, decode in self._decoders:
                    for row in rows:
                        if (value := row[name]) is not None:
                            row[name] = decode(value)
        except Exception as error:  # its text may contain the value, so the other error is raised outside of this block
            require_no_signal(error)
        else:
            return rows if self._finish is None else list(map(self._finish, rows))
        if self._needed is None:
            raise self._unreadable(stored)
        return [partial_row(self._with_decoders(each), self._resource, self._key, self._needed) for each in stored]

    def _made_at_once(self, stored: Sequence[Sequence[Any]]) -> list[Row]:
        if self._make_rows is None:
            self._make_rows = compile_rows(self._fields, dict(self._decoders))
        return self._make_rows(stored)

    def _with_decoders(self, stored: Sequence[Any]) -> list[tuple[str, Any, Callable[[Any], Any] | None]]:
        decoders = dict(self._decoders)
        return [(self._figure_of or name, value, decoders.get(name)) for name, value in zip(self._fields, stored, strict=False)]

    def _unreadable(self, stored: Sequence[Sequence[Any]]) -> UnreadableValue:
        """Return the error for the first row with a value that cannot be decoded."""
        for each in stored:
            if (found := unreadable(self._with_decoders(each), self._resource, self._key)) is not None:
                return found
        return UnreadableValue("holds a stored value that does not fit its type", resource=self._resource)

    def field_at(self, position: int) -> str:
        """Return the attribute of a placeholder, also in an insert of several rows; ``""`` if it has none."""
        return self._binds[position % len(self._binds)].field if self._binds else ""

    @property
    def placeholders(self) -> int:
        """Number of placeholders."""
        return len(self._binds)


class SQLPlan(Plan):
    """A compiled operation of one table, with variants of its statement for ``None`` and for collections.

    sends_whole: whether a collection of values of an attribute may be one parameter.
    statement: the variant without ``None`` parameters.
    question: combines reads of several tasks; the store sets it on the first async read (module ``coalescing``).
    """

    __slots__ = ("_collections", "_compile", "_scalars", "_variants", "_whole", "question", "statement")

    def __init__(
        self,
        operation: Operation,
        compile_statement: Callable[[Operation], Statement],
        sends_whole: Callable[[str], bool] = lambda _: False,
    ) -> None:
        super().__init__(operation)
        self._compile = compile_statement
        self.question: Any = ...
        self._scalars, self._collections = collections_in(operation)
        self._whole = frozenset(name for name, field in held_by(operation).items() if sends_whole(field))
        self._variants: dict[Hashable, Statement] = {}
        # The size of a collection is not known yet: compile it with one item, to find out whether it can be compiled.
        first = shaped(operation, _SameValues(), self._whole) if self._collections else operation
        self.statement = compile_statement(first)

    def prepared(self, params: Params) -> tuple[Statement, list[Any]]:
        """Return the statement variant for these values, and their stored forms.

        Raise Invalid for a value that cannot be stored.
        """
        if not self._collections:
            try:
                return self.statement, self.statement.values(params)
            except NoneGiven:
                pass
        key = shape_of(self._scalars, self._collections, params, self._whole)
        statement = self._variants.get(key)
        if statement is None:
            statement = self._compile(shaped(self.operation, params, self._whole))
            if len(self._variants) < _MOST_VARIANTS:
                self._variants[key] = statement
        return statement, statement.values(params)


_MOST_VARIANTS = 64


class _SameValues(dict[str, Any]):
    """Parameters that all hold one value that is not ``None``."""

    def __missing__(self, name: str) -> Any:
        """Return an object that is both a value and a collection with one item."""
        return ("",)

    def get(self, name: str, default: Any = None) -> Any:
        """Return the same object."""
        del default
        return self[name]
