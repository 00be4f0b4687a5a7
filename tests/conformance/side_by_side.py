"""Memory and other layers side by side: whatever an ordinary resource is asked, all give the same answer. No test."""

from __future__ import annotations

import contextlib
import enum
import itertools
import os
import tempfile
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

import pytest
from drawn_calls import NULS, apart, compared, meanings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from resourcekit import (
    Attr,
    Domain,
    Resource,
    as_dict,
    attribute,
    create,
    destroy,
    get,
    identity,
    increment,
    index,
    query,
    set_attribute,
    transaction,
    update,
)
from resourcekit.data_layers import SQL, Memory, Redis
from resourcekit.errors import Invalid, ResourcekitError, UniqueViolation
from resourcekit.extending import Field
from tests.support import valkey
from tests.support.databases import shared


class Shade(enum.Enum):
    """An enum whose values sort otherwise than its names."""

    RED = "m"
    GREEN = "z"
    BLUE = "a"


class _Undone(Exception):  # no error: the way out of a transaction
    """Raised to roll a block back."""


ODD_TEXTS = ["", " ", "a", "A", "á", "a ", "aa", "%", "_", "\\", "*", "[a]", "'; --", "\n", "🦉", "\uffff", "ß"]
MOMENTS = [
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(2030, 1, 1, 12, tzinfo=UTC),
    datetime(2030, 1, 1, 7, tzinfo=timezone(timedelta(hours=-5))),
    datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(2030, 1, 1),  # noqa: DTZ001  # refused, on both
]

texts = st.sampled_from(ODD_TEXTS) | st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=4)
integers = st.sampled_from([0, 1, -1, 2**31, 2**53 + 1, 2**63 - 1, -(2**63)]) | st.integers(-5, 5)
floats = st.sampled_from([0.0, -0.0, 0.1, 1e308, 5e-324, float("nan"), float("inf")]) | st.floats(-3, 3, allow_nan=False)
decimals = st.sampled_from(["0", "-0", "1", "1.0", "1.10", "0.1", "1E+3", "-7.25", "123456789012345678.9", "NaN"]).map(Decimal)
finite = decimals.filter(Decimal.is_finite)
moments = st.sampled_from(MOMENTS)
days = st.sampled_from([date(1, 1, 1), date(2030, 2, 28), date(9999, 12, 31)])
times = st.sampled_from([time(0), time(12, 30), time(23, 59, 59, 999_999), time(1, tzinfo=UTC)])
spans = st.sampled_from(
    [timedelta(0), timedelta(microseconds=-1), timedelta(days=1), timedelta(microseconds=2**63 - 1), timedelta(days=-(10**8))]
)
ids = st.sampled_from([UUID(int=0), UUID(int=1), UUID(int=2**128 - 1)])
json = st.recursive(
    st.none() | st.booleans() | integers | floats | texts,
    lambda deeper: st.lists(deeper, max_size=2) | st.dictionaries(texts, deeper, max_size=2),
)

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "code": texts,
    "word": st.none() | texts,
    "number": integers,
    "maybe": st.none() | integers,
    "ratio": st.none() | floats,
    "price": st.none() | decimals,
    "flag": st.none() | st.booleans(),
    "moment": st.none() | moments,
    "day": st.none() | days,
    "hour": st.none() | times,
    "lasts": st.none() | spans,
    "ref": st.none() | ids,
    "shade": st.none() | st.sampled_from(Shade),
    "status": st.sampled_from(["open", "closed", "lost"]),
    "tags": st.none() | st.lists(texts, max_size=2),
    "facts": st.none() | st.dictionaries(texts, json, max_size=2),
    "blob": st.none() | st.sampled_from([b"", b"\x00", b"\xff\xfe"]),
}
SORTED = [name for name in VALUES if name not in ("tags", "facts")]
keys = st.integers(0, 5)
UNSTORABLE = {"word": st.sampled_from(["a\x00", "\ud800"]), "number": st.sampled_from([2**63, -(2**63) - 1]), "facts": NULS}
"""Refused by every layer when a record is made; other problems of a call decide which error is raised."""

inputs = st.fixed_dictionaries(
    {"code": st.sampled_from(["a", "b", "aa", "a%"])},
    optional={name: value | UNSTORABLE.get(name, value) for name, value in VALUES.items() if name != "code"},
)
changes = st.fixed_dictionaries({}, optional=VALUES)


def declare(domain: Domain, layer: Any, name: str, *, is_older: bool = False) -> Any:
    """Declare an ordinary resource with attributes of all types; as it was before most of them were declared, if it is older."""

    class Thing(Resource, domain=domain, data_layer=layer):
        id: Attr[int] = attribute(primary_key=True)
        code: Attr[str] = attribute(max_length=3)
        by_code = identity("code")

        if is_older:
            make = create(accept=["id", "code"])
        else:
            word: Attr[str | None] = attribute(default="á")
            number: Attr[int] = attribute(default=0)
            maybe: Attr[int | None] = attribute(default=3)
            ratio: Attr[float | None] = attribute(default=None)
            price: Attr[Decimal | None] = attribute(default=Decimal("1.10"), scale=2)
            flag: Attr[bool | None] = attribute(default=True)
            moment: Attr[datetime | None] = attribute(default=None)
            day: Attr[date | None] = attribute(default=None)
            hour: Attr[time | None] = attribute(default=time(12, 30))
            lasts: Attr[timedelta | None] = attribute(default=timedelta(days=1))
            ref: Attr[UUID | None] = attribute(default=None)
            shade: Attr[Shade | None] = attribute(default=Shade.GREEN)
            status: Attr[Literal["open", "closed"]] = attribute(default="open")
            tags: Attr[list[str] | None] = attribute(default=["a"])
            facts: Attr[dict[str, Any] | None] = attribute(default={"a": 1})
            blob: Attr[bytes | None] = attribute(default=None)

            by_ref = identity("ref", "day")
            recent = index("status", "moment")

            make = create(accept=["id", *VALUES])
            put = create(accept=["id", *VALUES], upsert=True)
            put_code = create(accept=["id", *VALUES], upsert="by_code")
            edit = update(accept=list(VALUES))
            bump = update(changes=[increment("number"), set_attribute("word", Field("code"))])
            close = update(changes=[set_attribute("status", "closed")])
            remove = destroy()

    Thing.__qualname__ = name
    return Thing


@st.composite
def conditions(draw: Any) -> Any:
    """A condition over the attributes: comparisons, sets, patterns, sums, combined."""
    kind = draw(
        st.sampled_from(
            [
                "compare",
                "compare",
                "in",
                "none",
                "like",
                "like",
                "sum",
                "price",
                "span",
                "later",
                "json",
                "call",
                "call",
                "and",
                "or",
                "not",
            ]
        )
    )
    name = draw(st.sampled_from(SORTED))
    match kind:
        case "compare":
            op = draw(st.sampled_from(["__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"]))
            return getattr(Field(name), op)(draw(VALUES[name]))
        case "in":
            return Field(name).in_(draw(st.lists(VALUES[name], max_size=3)))
        case "none":
            return Field(name).is_none()
        case "like":
            return Field(draw(st.sampled_from(["code", "word"]))).like(
                draw(st.sampled_from(["%", "a%", "_", "%a", "A", "\\%", "[a]", "*", ""]))
            )
        case "sum":
            return Field("maybe") + draw(st.integers(-2, 2)) > Field("number")
        case "price":
            return Field("price") * draw(finite) + draw(finite) > draw(finite)
        case "later":
            return Field("moment") + draw(st.just(Field("lasts")) | spans) > draw(moments)
        case "json":
            wanted = draw(st.dictionaries(st.sampled_from(["a", "b"]), json, max_size=2))
            return draw(st.sampled_from([Field("facts") == wanted, Field("facts") != wanted, Field("facts").in_([wanted, {}])]))
        case "span":
            return Field("moment") - draw(moments) > draw(st.sampled_from([timedelta(0), timedelta(days=1), timedelta(hours=-5)]))
        case "call":
            return draw(meanings(integers) | compared(texts, finite))
        case "not":
            return ~draw(conditions())
        case _:
            left, right = draw(conditions()), draw(conditions())
            return left & right if kind == "and" else left | right


@st.composite
def questions(draw: Any) -> tuple[Any, ...]:
    """A query: condition, order (the key last, so that it is one), limit, offset, and how it is asked."""
    return (
        "ask",
        draw(st.none() | conditions()),
        draw(st.lists(st.tuples(st.sampled_from(SORTED), st.booleans()), max_size=2)),
        draw(st.none() | st.integers(0, 4)),
        draw(st.sampled_from([None, 0, 1, 3])),
        draw(st.sampled_from(["all", "all", "count", "exists", "first", "one", "stream"])),
    )


writes = st.one_of(
    st.tuples(st.sampled_from(["make", "put", "put_code"]), keys, inputs),
    st.tuples(st.just("edit"), keys, changes),
    st.tuples(st.sampled_from(["bump", "close", "remove", "get"]), keys),
    st.tuples(
        st.sampled_from(["make", "put", "put_code"]).map(lambda word: f"{word}.bulk"),
        st.lists(st.tuples(keys, inputs), max_size=4),
    ),
    st.tuples(st.sampled_from(["edit.bulk", "edit.stream"]), conditions(), changes),
    st.tuples(st.sampled_from(["close.bulk", "close.stream", "bump.stream", "remove.bulk", "remove.stream"]), conditions()),
)
operations = writes | questions()
blocks = st.recursive(
    operations, lambda deeper: st.tuples(st.just("block"), st.booleans(), st.lists(deeper, max_size=3)), max_leaves=8
)


def prepared(resource: Any, operation: tuple[Any, ...]) -> Any:
    """Return the query of a question."""
    _, condition, order, limit, offset, _ = operation
    asked = query(resource)
    if condition is not None:
        asked = asked.filter(condition)
    asked = asked.sort(
        *(Field(name).desc() if descending else Field(name).asc() for name, descending in order), Field("id").asc()
    )
    asked = asked if limit is None else asked.limit(limit)
    return asked if offset is None else asked.offset(offset)


def did(resource: Any, operation: tuple[Any, ...]) -> Any:
    """Do one thing and return what can be compared: plain values, or the error with the places that it names."""
    try:
        return _plain(_do(resource, operation))
    except ResourcekitError as error:
        # Of two identities that a record hits, the layer chooses which one it reports.
        has_paths = isinstance(error, Invalid) and not isinstance(error, UniqueViolation)
        # What only the database refuses, a sum beyond 64 bits, it refuses without a place.
        return type(error).__name__, sorted({finding.path for finding in error.findings} - {"", "number"}) if has_paths else []


def _do(resource: Any, operation: tuple[Any, ...]) -> Any:
    match operation:
        case ("block", rolls_back, steps):
            return _block(resource, rolls_back, steps)
        case ("ask", *_, how):
            asked = prepared(resource, operation)
            return list(asked.stream()) if how == "stream" else getattr(asked, how)()
        case ("get", key):
            return get(resource, key)
        case (("make" | "put" | "put_code") as word, key, given):
            return getattr(resource, word)(id=key, **given)
        case ("edit", key, given):
            return resource.edit(key, **given)
        case (("bump" | "close" | "remove") as word, key):
            return getattr(resource, word)(key)
        case (word, rows) if word in ("make.bulk", "put.bulk", "put_code.bulk"):
            return getattr(resource, word.partition(".")[0]).bulk([{"id": key, **given} for key, given in rows])
        case (word, condition, *rest):
            action, _, way = word.partition(".")
            given = rest[0] if rest else {}
            strategy = {"strategy": "atomic" if way == "bulk" else "stream"}
            return getattr(resource, action).bulk(query(resource).filter(condition), **strategy, **given)
    raise AssertionError(operation)


def _block(resource: Any, rolls_back: bool, steps: list[Any]) -> list[Any]:
    answers: list[Any] = []
    with contextlib.suppress(_Undone), transaction(resource):
        answers.extend(did(resource, step) for step in steps)
        if rolls_back:
            raise _Undone
    return answers


def _plain(value: Any) -> Any:
    if isinstance(value, Resource):
        # As text, because 1 equals True and 1.0.
        return {name: repr(_exact(each)) for name, each in as_dict(value, private=True, sensitive=True).items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if hasattr(value, "failures"):
        failures = [(failure.index, type(failure.error).__name__) for failure in value.failures]
        return value.count, [_plain(record) for record in value.records], failures
    return value


def _exact(value: Any) -> Any:
    """Write a number so that equal ones are the same text: SQLite does not keep the sign of a zero. A decimal keeps its spelling."""
    if isinstance(value, float):
        return abs(value) if value == 0 else value
    if isinstance(value, Decimal):
        return ("decimal", str(value))
    if isinstance(value, list):
        return [_exact(each) for each in value]
    return {key: _exact(each) for key, each in sorted(value.items())} if isinstance(value, dict) else value


_examples = itertools.count()


_WITHOUT_COLUMNS = frozenset({"valkey"})
"""Layers where a record that an older program wrote lacks the attributes that were declared since."""


def kept(kind: str, folder: str) -> Any:
    """Return an empty layer of a kind: on a file, in a table of the run's own database, or under a tag."""
    if kind == "sqlite":
        return SQL(f"sqlite:///{folder}/side.db", table="things")
    if kind == "valkey":
        if valkey.binary() is None:
            (pytest.fail if os.environ.get("CI") else pytest.skip)("a Valkey server is missing")
        return Redis(valkey.shared().url, tag=f"side-{next(_examples)}")
    place = shared(kind)
    with contextlib.suppress(Exception):  # the first example makes the table
        place.run("DELETE FROM things")
    return SQL(place.url, table="things")


class SideBySide(RuleBasedStateMachine):
    """Every operation is done on all; every answer, and in the end every record, must be the same as Memory's.

    kinds: the layers that Memory is the model of.
    """

    kinds: tuple[str, ...] = ("sqlite",)

    @initialize()
    def begin(self) -> None:
        """Declare the resource on each layer."""
        self.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.domain = Domain("side by side")
        self.memory = declare(self.domain, Memory(), "OnMemory")
        layers = {kind: kept(kind, self.folder.name) for kind in self.kinds}
        self.others = {kind: declare(self.domain, layer, f"On{kind}") for kind, layer in layers.items()}
        self.older = {
            kind: declare(Domain("older"), layers[kind], f"On{kind}", is_older=True) for kind in _WITHOUT_COLUMNS & layers.keys()
        }
        self.domain.create_storage()

    def teardown(self) -> None:
        """Close what is open."""
        if hasattr(self, "others"):
            for resource in self.others.values():
                with contextlib.suppress(StopIteration):
                    resource.__runtime__.store.close().send(None)
            self.folder.cleanup()

    def known(self, operation: Any) -> Any:
        """Return the operation, as far as all these layers can do it."""
        return operation

    def all(self, work: Callable[[Any], Any]) -> None:
        """Do the same on each and require the same answer."""
        expected = work(self.memory)
        for kind, resource in self.others.items():
            found = work(resource)
            assert expected == found, (kind, apart(expected, found))

    @rule(operation=blocks)
    def do(self, operation: tuple[Any, ...]) -> None:
        """One operation, or a tree of transactions of which some branches are rolled back."""
        known = self.known(operation)
        self.all(lambda resource: did(resource, known))

    @rule(rows=st.lists(st.tuples(keys, inputs), min_size=2, max_size=6))
    def fill(self, rows: list[Any]) -> None:
        """Many records at once, so that there is something to ask for."""
        self.all(lambda resource: did(resource, ("make.bulk", rows)))

    @rule(rows=st.lists(st.tuples(keys, st.fixed_dictionaries({"code": texts})), min_size=1, max_size=3))
    def fill_by_an_older_program(self, rows: list[Any]) -> None:
        """Records of a program that does not know most attributes: where these are missing, their defaults are read."""
        expected = did(self.memory, ("make.bulk", rows))
        for kind, resource in self.others.items():
            found = did(self.older.get(kind, resource), ("make.bulk", rows))
            assert (expected[0], expected[2]) == (found[0], found[2]), kind

    @rule(asked=st.lists(questions(), min_size=1, max_size=4))
    def ask(self, asked: list[Any]) -> None:
        """Several questions about one state."""
        for question in map(self.known, asked):
            self.all(lambda resource, question=question: did(resource, question))

    @invariant()
    def same_records(self) -> None:
        """All hold the same records."""
        if hasattr(self, "others"):
            self.all(lambda resource: did(resource, ("ask", None, [], None, None, "all")))
