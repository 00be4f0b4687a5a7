"""Declarations that are wrong: each is refused with its code, its place and the next step, and nothing is left of the class."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, ClassVar, Literal

import attrs
import pytest

from resourcekit import (
    Attr,
    Domain,
    Query,
    Resource,
    action,
    arg,
    argument,
    attribute,
    compare,
    create,
    destroy,
    filter,  # noqa: A004  # the field's word
    identity,
    increment,
    index,
    match,
    now,
    one_of,
    present,
    read,
    set_attribute,
    sort,
    touch,
    update,
)
from resourcekit.data_layers import SQL, Memory
from resourcekit.errors import DeclarationError, DeclarationErrors, ResourcekitError
from resourcekit.extending import Capability, Change, DataLayer, Extension, Upsert, registered
from resourcekit.testing import declaration_errors


class Shout(Change):
    """A change that is given as a class by mistake."""


@attrs.frozen(kw_only=True)
class Loose(Extension):
    """An extension with an option."""

    level: int = 1


@attrs.frozen(kw_only=True)
class ReadOnly(DataLayer):
    """A layer that can hardly do anything."""

    capabilities: ClassVar[frozenset[Capability]] = frozenset({Capability.FILTER})


def declare(body: Callable[[], object]) -> list[DeclarationError]:
    """Run a class statement and return what is wrong with it; nothing of the class is left afterwards."""
    errors = declaration_errors(body)
    assert "Wrong" not in [each.__name__ for each in registered()]
    return list(errors)


def the_only(body: Callable[[], object]) -> DeclarationError:
    """Return the only thing that is wrong."""
    (error,) = declare(body)
    return error


def keyed(called: str = "Wrong", **namespace: Any) -> Callable[[], object]:
    """Return a class statement with a key and these lines besides; what begins with ``x_`` is a class option."""

    def statement() -> object:
        options = {name[2:]: namespace.pop(name) for name in list(namespace) if name.startswith("x_")}
        notes = {"id": Attr[int], **namespace.pop("notes", {})}
        body = type(Resource).__prepare__(called, (Resource,))
        body["__module__"], body["__qualname__"], body["__annotations__"] = __name__, called, notes
        body["id"] = attribute(primary_key=True)
        for name, value in namespace.items():
            body[name] = value
        return type(Resource)(called, (Resource,), body, **options)

    return statement


def test_a_place_a_code_and_a_next_step() -> None:
    """An error says who, where, what and the next step, as facts and in one line."""
    with pytest.raises(DeclarationError) as caught:

        class Wrong(Resource):
            id: Attr[int] = attribute(primary_key=True)
            subject: Attr[str] = attribute()
            submit = create(accept=["subjet"])

    error, line = caught.value, sys._getframe().f_lineno - 2
    assert ("RK043", "Wrong", ("actions", "submit")) == (error.code, error.resource, error.path)
    assert f"test_bad_declarations.py:{line}, declared by you" in error.origin
    assert "Did you mean 'subject'?" == error.hint
    assert str(error).startswith("DeclarationError[RK043] Wrong › actions › submit · ")
    assert str(error).endswith(" · accepts 'subjet', which is no attribute · Did you mean 'subject'?")
    assert isinstance(error, ResourcekitError)


def test_all_that_is_wrong_comes_together() -> None:
    """Errors of the class statement, of the body and of verifiers come as one DeclarationErrors, also an ExceptionGroup."""
    with pytest.raises(DeclarationErrors) as caught:

        class Wrong(Resource, data_layr=Memory(), domian=None):
            id: Attr[int | None] = attribute(primary_key=True)
            count: Attr[int] = attribute(default="many")
            by_name = identity("nam")
            first = read(primary=True)
            second = read(primary=True)
            submit = create(accept=["coumt"])

    group = caught.value
    assert isinstance(group, DeclarationError)
    assert isinstance(group, ExceptionGroup)
    assert ["RK001", "RK001", "RK034", "RK041", "RK042", "RK043", "RK045"] == sorted(each.code for each in group.exceptions)
    assert all(each.origin and each.path and each.resource == "Wrong" for each in group.exceptions)
    assert all(each.code in str(group) for each in group.exceptions)
    with pytest.raises(ExceptionGroup):
        raise group


def test_errors_of_a_body_come_together() -> None:
    """All attributes that cannot be read are reported, and so is a wrong class option."""

    def statement() -> None:
        class Wrong(Resource, abstrct=True):
            id: Attr[int] = attribute(primary_key=True)
            bare = attribute()
            tags: Attr[set[str]] = attribute()
            missing: Attr[Missing]  # noqa: F821  # the point
            plain: int = attribute()
            _hidden: Attr[int] = attribute()

    assert ["RK001", "RK030", "RK030", "RK030", "RK031", "RK032"] == sorted(each.code for each in declare(statement))


def test_a_subclass_of_the_errors_can_be_split_and_pickled() -> None:
    """``except*`` gets DeclarationErrors, and an error crosses a process boundary as it is."""
    errors = DeclarationErrors([DeclarationError("RK001", "one", hint="x"), DeclarationError("RK002", "two", path=("a",))])
    codes = []
    try:
        raise errors
    except* DeclarationError as group:
        codes = [each.code for each in group.exceptions]
    copy = pickle.loads(pickle.dumps(errors))

    assert ["RK001", "RK002"] == codes
    assert str(errors) == str(copy)


OPTIONS: list[tuple[dict[str, Any], str, str]] = [
    ({"data_layr": Memory()}, "RK001", "Did you mean 'data_layer'?"),
    ({"table": "x"}, "RK001", "Known: abstract, data_layer, domain, extensions, notifiers."),
    ({"domain": "accounts"}, "RK003", "domain must be a Domain, is str"),
    ({"data_layer": 5}, "RK008", "must be a data layer, is int"),
    ({"data_layer": "sqlit:///x.db"}, "RK008", "no plugin serves the data layer 'sqlit'"),
    ({"data_layer": SQL}, "RK003", "option 'database' is missing"),
    ({"extensions": Loose}, "RK003", "extensions must be a list, is the class Loose"),
    ({"extensions": "tokens"}, "RK003", "extensions must be a list, is 'tokens'"),
    ({"extensions": ["tokns"]}, "RK007", "Did you mean 'tokens'?"),
    ({"extensions": [object]}, "RK007", "must be an Extension class, an instance or a name"),
    ({"extensions": [Loose, Loose(level=2)]}, "RK004", "the extension Loose is named twice"),
    ({"notifiers": print}, "RK003", "notifiers must be a list"),
    ({"notifiers": ["print"]}, "RK003", "a notifier must be a function of a Notification"),
    ({"abstract": "yes"}, "RK003", "abstract must be True or False, is str"),
]


@pytest.mark.parametrize(("options", "code", "text"), OPTIONS, ids=lambda each: str(each)[:40])
def test_class_options(options: dict[str, Any], code: str, text: str) -> None:
    """An unknown class option, or one of a wrong type, is reported by name with the place of the class statement."""
    error = the_only(keyed(**{f"x_{name}": value for name, value in options.items()}))

    assert code == error.code
    assert text in str(error)
    assert "Wrong" == error.resource
    assert "test_bad_declarations.py" in error.origin


@pytest.mark.parametrize(
    ("make", "code", "text"),
    [
        (lambda: Loose(levl=1), "RK002", "Did you mean 'level'?"),
        (lambda: Loose(level="1"), "RK003", "option 'level' must be int, is str"),
        (lambda: Loose(level=True), "RK003", "must be int, is bool"),
        (lambda: attribute(pubic=True), "RK002", "attribute has no option 'pubic' · Did you mean 'public'?"),
        (lambda: attribute(min_length="1"), "RK003", "option 'min_length' must be int or None, is str"),
        (lambda: attribute(default_factory=5), "RK003", "option 'default_factory' must be"),
        (lambda: argument("x", int, sensitve=True), "RK002", "Did you mean 'sensitive'?"),
        (lambda: argument("x", set), "RK031", "set is no type"),
        (lambda: create(acept=["x"]), "RK002", "Did you mean 'accept'?"),
        (lambda: create(accept="subject"), "RK003", "option 'accept' must be"),
        (lambda: create(accept=[1]), "RK003", "option 'accept' must be Sequence[str], and has an item that is int"),
        (lambda: create(changes=set_attribute("x", 1)), "RK003", "option 'changes' must be"),
        (lambda: update(require_atomc=True), "RK002", "Did you mean 'require_atomic'?"),
        (lambda: destroy(soft=1), "RK003", "option 'soft' must be bool, is int"),
        (lambda: read(preparation=[]), "RK002", "Did you mean 'preparations'?"),
        (lambda: action(transction=True), "RK002", "Did you mean 'transaction'?"),
    ],
)
def test_options_of_words_and_extensions(make: Callable[[], object], code: str, text: str) -> None:
    """An unknown option gets a suggestion, a wrong type is reported, and both have the line of the declaration."""
    (error,) = declaration_errors(make)

    assert code == error.code
    assert text in str(error)
    assert "test_bad_declarations.py" in error.origin


TYPES = {"subject": Attr[str], "count": Attr[int], "status": Attr[Literal["open", "closed"]], "at": Attr[datetime]}


def ticket(**more: Any) -> Callable[[], object]:
    """Return a class statement with some attributes and these lines."""
    plain = {"subject": attribute(), "count": attribute(), "status": attribute(), "at": attribute()}
    return keyed(notes=TYPES, **{**plain, **more})


LINES: list[tuple[dict[str, Any], str, str]] = [
    ({"by_name": identity("name")}, "RK042", "names the attribute 'name', which does not exist"),
    ({"by_subject": identity("subjct")}, "RK042", "Did you mean 'subject'?"),
    ({"quick": index("status", "opend_at")}, "RK042", "'opend_at'"),
    ({"quick": index()}, "RK042", "names no attribute"),
    ({"alone": identity()}, "RK042", "names no attribute"),
    ({"count": attribute(minimum=5, maximum=1)}, "RK034", "no value can meet minimum=5 and maximum=1"),
    ({"subject": attribute(min_length=5, max_length=1)}, "RK034", "no value can meet min_length=5 and max_length=1"),
    ({"count": attribute(default=1, default_factory=int)}, "RK034", "has a default and a default_factory"),
    ({"make": create(accept=["statu"])}, "RK043", "Did you mean 'status'?"),
    ({"make": create(accept=["count"], arguments=[argument("count", int)])}, "RK044", "both as accepted attribute"),
    ({"one": create(primary=True), "two": create(primary=True)}, "RK045", "second primary create action beside 'one'"),
    ({"make": create(upsert="by_name")}, "RK046", "upserts by the identity 'by_name'"),
    ({"make": create(upsert=Upsert(set={"cont": now()}))}, "RK046", "sets 'cont' in its upsert"),
    ({"change": update(changes=[lambda one, other: one], require_atomic=True)}, "RK047", "<lambda> has no atomic form"),
    ({"change": update(accept=["id"])}, "RK048", "a part of the primary key"),
    ({"change": update(finds_with="rea")}, "RK049", "no read action"),
    ({"change": update(changes=[set_attribute("statuss", "open")])}, "RK052", "Did you mean 'status'?"),
    ({"change": update(changes=[increment("hits")])}, "RK052", "names 'hits', which is no attribute"),
    ({"change": update(changes=[touch("at", "updated_at")])}, "RK052", "names 'updated_at'"),
    ({"change": update(changes=[set_attribute("count", arg("to"))])}, "RK052", "names 'to', which is no argument"),
    ({"make": create(validations=[present("nothing")])}, "RK052", "which is no attribute or argument"),
    ({"make": create(validations=[one_of("statu", ["open"])])}, "RK052", "Did you mean 'status'?"),
    ({"make": create(validations=[compare("count", ">", 0), compare("cunt", ">", 0)])}, "RK052", "'cunt'"),
    ({"find": read(preparations=[sort("-opened_at")])}, "RK052", "names 'opened_at'"),
    ({"change": update(changes=[set_attribute("status", "lost")])}, "RK034", "must be one of 'open', 'closed'"),
    ({"change": update(changes=[set_attribute("count", now())])}, "RK034", "meets a value of another type"),
    ({"change": update(changes=[increment("subject")])}, "RK034", "cannot be computed with +"),
    ({"change": update(changes=[touch("count")])}, "RK034", "what it writes to 'count'"),
    ({"make": create(changes=[Shout])}, "RK053", "has the class Shout among its changes"),
    ({"make": create(validations=[5])}, "RK053", "which is no function and has no validate"),
    ({"find": read(primary=True, arguments=[argument("x", int)])}, "RK054", "needs the argument 'x'"),
]


@pytest.mark.parametrize(("lines", "code", "text"), LINES, ids=lambda each: str(each)[:60])
def test_lines_of_a_body(lines: dict[str, Any], code: str, text: str) -> None:
    """What names something that is not there, or could never work, is refused when the class is made."""
    error = the_only(ticket(**lines))

    assert code == error.code
    assert text in str(error)
    assert error.path[0] in ("attributes", "identities", "indexes", "actions")
    assert error.path[1] in lines
    assert error.hint
    assert "test_bad_declarations.py" in error.origin


@pytest.mark.parametrize(
    ("annotation", "options", "code", "text"),
    [
        (str, {"default": None}, "RK034", "its default must not be None"),
        (str, {"default": 5}, "RK034", "its default must be text"),
        (str, {"default": "", "min_length": 1}, "RK034", "its default must have at least 1"),
        (int, {"default": 0, "minimum": 1}, "RK034", "its default must be at least 1"),
        (Literal["a", "b"], {"default": "c"}, "RK034", "must be one of 'a', 'b'"),
        (int, {"maximum": "many"}, "RK034", "its maximum must be a whole number"),
        (int, {"maximum": "9"}, "RK034", "its maximum must be a value of the type itself"),
        (datetime, {"minimum": datetime(2026, 1, 1)}, "RK034", "its minimum must have a time zone"),  # noqa: DTZ001
        (int, {"min_length": 1}, "RK035", "min_length means nothing for int"),
        (bool, {"maximum": 1}, "RK035", "maximum means nothing for bool"),
        (int, {"match": "[0-9]+"}, "RK035", "match means nothing for int"),
        (str, {"minimum": 1}, "RK035", "minimum means nothing for str"),
    ],
)
def test_values_of_an_attribute(annotation: Any, options: dict[str, Any], code: str, text: str) -> None:
    """A default or a limit that no value of the type could keep is refused, for attributes and arguments alike."""
    error = the_only(keyed(notes={"value": Attr[annotation]}, value=attribute(**options)))
    again = the_only(keyed(run=read(arguments=[argument("value", annotation, **options)])))

    assert [code, code] == [error.code, again.code]
    assert text in error.what
    assert text in again.what
    assert ("attributes", "value") == error.path
    assert ("actions", "run", "value") == again.path


def test_a_default_now_and_a_none_that_is_allowed_are_fine() -> None:
    """``now()`` is a moment, a text that can be cast is a value, and ``None`` is one where the type has it."""
    notes = {"at": Attr[datetime], "until": Attr[datetime], "nick": Attr[str | None], "wait": Attr[timedelta]}
    lines = {
        "at": attribute(default=now()),
        "until": attribute(default="2026-11-24T00:00:00Z"),
        "nick": attribute(default=None, min_length=2),
        "wait": attribute(default=timedelta(1), minimum=timedelta(0)),
    }

    assert [] == list(declaration_errors(keyed("Right", notes=notes, **lines)))


def test_a_condition_that_cannot_be_asked() -> None:
    """A preparation over attributes of the body is read when the class is made."""

    def statement() -> None:
        class Wrong(Resource):
            id: Attr[int] = attribute(primary_key=True)
            count: Attr[int] = attribute()
            many = read(preparations=[filter(count > "many")])
            few = read(preparations=[filter(count < arg("most"))], arguments=[argument("most", int)])

    error = the_only(statement)
    assert ("RK034", ("actions", "many")) == (error.code, error.path)
    assert "count: must be a whole number" in error.what


def test_a_name_declared_twice() -> None:
    """The first of two lines of one name would be lost in silence; it is reported with its place."""
    line = sys._getframe().f_lineno + 5

    def statement() -> None:
        class Wrong(Resource):
            id: Attr[int] = attribute(primary_key=True)
            close = update()
            close = destroy()  # noqa: PIE794  # the point

    error = the_only(statement)
    assert ("RK010", ("actions", "close")) == (error.code, error.path)
    assert f":{line}, declared by you" in error.origin


@pytest.mark.parametrize(
    "make", [lambda: attribute(match="("), lambda: argument("word", str, match="("), lambda: match("subject", "(")]
)
def test_a_pattern_that_is_no_regular_expression(make: Callable[[], object]) -> None:
    """The error has the line of the pattern, and what is wrong in it."""
    with pytest.raises(DeclarationError, match=r"RK034.*'\(' is no regular expression: missing \)"):
        make()


def test_a_template_that_is_no_resource() -> None:
    """A text in its place is reported as a plain class is."""
    with pytest.raises(DeclarationError, match="template must be an abstract resource, is 'parts'"):

        class Wrong(Extension):
            template = "parts"  # type: ignore[assignment]


def test_words_on_a_class_that_is_no_resource() -> None:
    """A plain mixin's words would be passed over; the cure is an abstract resource."""

    class Stamped:
        created_at: Attr[datetime] = attribute(default=now())

        def hello(self) -> str:
            return "hello"

    def statement() -> None:
        class Wrong(Stamped, Resource):
            id: Attr[int] = attribute(primary_key=True)

    error = the_only(statement)
    assert ("RK036", ("attributes", "created_at")) == (error.code, error.path)
    assert "class Stamped(Resource, abstract=True)" in error.hint


def test_signatures_of_decorated_actions() -> None:
    """A parameter needs a name and a type that can be cast; the place is the function's."""

    def statement() -> None:
        class Wrong(Resource):
            id: Attr[int] = attribute(primary_key=True)

            @read
            @staticmethod
            def untyped(query: Query[Any], word) -> Query[Any]:
                return query

            @action
            @staticmethod
            def open_ended(*words: str) -> None:
                """Take what comes."""

            @action
            @staticmethod
            def unknown(word: Nowhere) -> None:  # noqa: F821  # the point
                """Take an option that does not exist."""

            @action
            @staticmethod
            def uncastable(words: set[str]) -> None:
                """Take what cannot be cast."""

    errors = declare(statement)
    assert {
        ("RK033", "untyped"),
        ("RK033", "open_ended"),
        ("RK030", "unknown"),
        ("RK031", "uncastable"),
    } == {(error.code, error.path[1]) for error in errors}
    assert all("test_bad_declarations.py" in error.origin for error in errors)


def test_a_capability_that_the_layer_lacks() -> None:
    """A declared action that the data layer cannot carry out is refused, by name."""
    errors = declare(ticket(x_data_layer=ReadOnly(), close=update(), remove=destroy(), submit=create(upsert=True)))

    assert {"RK050"} == {error.code for error in errors}
    assert {("actions", "close"), ("actions", "remove"), ("actions", "submit")} == {error.path for error in errors}
    assert all("ReadOnly cannot do" in error.what for error in errors)


def test_a_refused_class_leaves_the_former_one_in_place() -> None:
    """A class statement that raises replaces nothing: the earlier class of that name stays."""
    domain = Domain("kept")

    class Note(Resource, domain=domain):
        id: Attr[int] = attribute(primary_key=True)
        write = create(accept=["id"])

    former = Note
    with declaration_errors() as errors:

        class Note(Resource, domain=domain):
            id: Attr[int] = attribute(primary_key=True)
            write = create(accept=["idd"])

    assert ["RK043"] == [error.code for error in errors]
    assert (former,) == domain.resources
    assert 1 == former.write(id=1).id
