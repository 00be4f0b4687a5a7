"""Calls with other arguments than a function takes, and assignments to what does not change: each is an error of resourcekit."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from unittest import mock

import attrs
import pytest

from resourcekit import (
    Attr,
    Domain,
    Many,
    Query,
    Resource,
    as_dict,
    attribute,
    case,
    coalesce,
    create,
    env,
    get,
    greatest,
    has_many,
    query,
    set_attribute,
    transaction,
    update,
)
from resourcekit.data_layers import SQL, Memory, Repo
from resourcekit.errors import (
    DeclarationError,
    InvalidArgument,
    Misuse,
    ResourcekitError,
    Unchangeable,
    UnknownArgument,
    UnknownName,
)
from resourcekit.extending import Attribute, Extension, Service, Transformer, Upsert
from resourcekit_tokens import JWT, Claims, SigningKey, TokenResource


class Note(Resource, domain=Domain("wrong calls"), data_layer=Memory()):
    """A record to call wrongly."""

    id: Attr[int] = attribute(primary_key=True)
    number: Attr[int] = attribute(default=0)
    add = create(accept=["id", "number"])
    edit = update(accept=["number"])


class Token(Resource, domain=Domain("wrong token calls"), data_layer=Memory(), extensions=[TokenResource]):
    """A token resource to call wrongly."""


def test_an_error_in_a_transformer_names_its_line_and_not_one_of_the_framework() -> None:
    """An assignment to a state is raised inside the framework; the error names the line of the assignment."""

    class Assigning(Transformer):
        def transform(self, state: Any, options: Any) -> Any:
            state.options = {}
            return state

    @attrs.frozen(kw_only=True)
    class Wrong(Extension):
        transformers = (Assigning,)

    with pytest.raises(DeclarationError) as caught:

        class Made(Resource, data_layer=Memory(), extensions=[Wrong]):
            id: Attr[int] = attribute(primary_key=True)

    line = Assigning.transform.__code__.co_firstlineno + 1
    assert "raised Unchangeable: the state of a transformer does not change, so 'options' cannot be set" in str(caught.value)
    assert f"/test_wrong_calls.py:{line} " in str(caught.value)


@pytest.mark.parametrize("define", [attrs.define, attrs.frozen])
def test_a_subclass_of_an_unchangeable_class_can_be_made(define: Any) -> None:
    """An extension's own query or changeset may be declared with attrs.define; it does not change either."""

    @define(eq=False)
    class Paged(Query[Any]):
        size: int = 20

    paged = Paged(size=5).limit(3)

    assert (5, 3) == (paged.size, paged.row_limit)
    for name in ("size", "row_limit"):
        with pytest.raises(AttributeError):
            setattr(paged, name, 1)
    with pytest.raises(AttributeError):
        del paged.size


def test_a_relationship_to_a_lambda_is_named_by_its_annotation() -> None:
    """The error of a misspelt name shows what to write, with the class and not with ``<lambda>``."""

    class Leaf(Resource, domain=Domain("trees"), data_layer=Memory()):
        id: Attr[int] = attribute(primary_key=True)
        tree_id: Attr[int] = attribute()
        others: Many[Leaf] = has_many("tree_id", to=lambda: Leaf)

    with pytest.raises(UnknownName, match=r"Write Leaf\.others\.exists\(Leaf\.size == \.\.\.\) for a value of Leaf\."):
        _ = Leaf.others.size  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", [lambda found: found.nothing, lambda found: found.sub])
def test_a_claim_that_claims_do_not_name_is_an_attribute_error_with_the_right_name(path: Callable[[Claims], object]) -> None:
    """``hasattr`` and ``getattr`` with a default work as on other objects; times are read once, after a copy too."""
    claims = Claims({"jti": "j", "sub": "ann", "exp": 2_000_000_000})

    with pytest.raises(UnknownName, match=r"Claims has no '(sub'. Write subject|nothing'. Known: )"):
        path(claims)

    again = pickle.loads(pickle.dumps(claims))
    assert (again.subject, again.expires_at, again.issued_at) == ("ann", claims.expires_at, claims.issued_at)
    assert not hasattr(claims, "sub")
    assert getattr(claims, "sub", None) is None


@pytest.mark.parametrize(
    ("declare", "hint"),
    [
        (lambda: create(accept="id"), "Put it in a list: accept=[...]."),
        (lambda: create(changes=set_attribute("id", 1)), "Put it in a list: changes=[...]."),
        (lambda: has_many("key", sort="secret text"), "Put it in a list: sort=[...]."),
        (lambda: TokenResource(clock_skew=5), "Write clock_skew=timedelta(seconds=5)."),
        (lambda: TokenResource(clock_skew="5s"), "See TokenResource.clock_skew in the reference."),
    ],
)
def test_one_value_in_place_of_several_and_a_number_in_place_of_a_duration_have_a_next_step(
    declare: Callable[[], object], hint: str
) -> None:
    """The hint writes the option, and no text that may be a secret."""
    with pytest.raises(DeclarationError) as caught:
        declare()

    assert caught.value.hint == hint
    assert "secret text" not in str(caught.value)


def in_transaction(register: Callable[[Any], object]) -> None:
    """Register something in a transaction, and commit."""
    with transaction(Note) as tx:
        register(tx)


def made(change: Callable[[Any, Any], Any]) -> Any:
    """Create a record with one change."""

    class Other(Resource, domain=Domain("changes"), data_layer=Memory()):
        id: Attr[int] = attribute(primary_key=True)
        add = create(accept=["id"], changes=[change])

    return Other.add(id=1)


CALLS: list[tuple[Any, type[ResourcekitError], str]] = [
    (lambda: get(Note, 1, 2, 3), InvalidArgument, "a composite key is one tuple"),  # type: ignore[call-arg]
    (get, InvalidArgument, "missing 1 required positional argument"),
    (lambda: asyncio.run(get.aio(Note, 1, 2)), InvalidArgument, "a composite key is one tuple"),  # type: ignore[call-arg]
    (query, InvalidArgument, "write query(Ticket)"),
    (lambda: query(Note).filter(number=1), InvalidArgument, "it takes conditions"),  # type: ignore[call-arg]
    (lambda: bool(query(Note)), Misuse, "run it: .all()"),
    (lambda: list(query(Note)), Misuse, "run it: .all()"),  # type: ignore[call-overload]
    (lambda: len(query(Note)), Misuse, ".count()"),  # type: ignore[arg-type]
    (lambda: query(Note)[0], Misuse, ".limit(5).all()"),  # type: ignore[index]
    (Note.add.bulk, InvalidArgument, "its parameters are: rows, batch_size"),
    (lambda: Note.add.bulk([], stratgy="x"), InvalidArgument, "argument 'stratgy'"),  # type: ignore[call-arg]
    (lambda: asyncio.run(Note.add.bulk.aio()), InvalidArgument, "its parameters are: rows"),  # type: ignore[call-arg]
    (lambda: Note(1), InvalidArgument, "give its values by name"),  # type: ignore[call-arg]
    (lambda: as_dict(Note(id=1), sensitve=True), InvalidArgument, "private, sensitive"),  # type: ignore[call-arg]
    (lambda: Note.number.in_(1, 2), InvalidArgument, "it takes one collection"),  # type: ignore[call-arg, arg-type]
    (case, InvalidArgument, "write case(condition, then, otherwise)"),
    (coalesce, InvalidArgument, "coalesce needs values"),
    (greatest, InvalidArgument, "greatest needs values"),
    (lambda: in_transaction(lambda tx: tx.after_commit(5)), InvalidArgument, "after_commit takes a function, not int"),
    (lambda: in_transaction(lambda tx: tx.after_commit(lambda one: one)), InvalidArgument, "a function after the transaction"),
    (Domain, InvalidArgument, "its parameters are: name"),
    (lambda: Domain("x", extension=[]), InvalidArgument, "unexpected keyword argument 'extension'"),  # type: ignore[call-arg]
    (lambda: Domain(""), DeclarationError, "must be a text, is ''"),
    (lambda: Repo("sqlite:///x.db", timeout=5), DeclarationError, "timeout must be a timedelta above zero"),  # type: ignore[arg-type]
    (lambda: Repo("sqlite:///x.db", timeout=timedelta(0)), DeclarationError, "timeout must be a timedelta above zero"),
    (lambda: SQL("sqlite:///x.db", table=""), DeclarationError, "must not be empty"),
    (lambda: env(5), DeclarationError, "takes the name of a variable, not 5"),  # type: ignore[arg-type]
    (lambda: JWT("x" * 40, isuer="a"), DeclarationError, "Did you mean 'issuer'?"),  # type: ignore[call-arg]
    (lambda: SigningKey(kid="a", key="x" * 40), DeclarationError, "missing a required argument: 'algorithm'"),  # type: ignore[call-arg]
    (Token.revoke, InvalidArgument, "Token.revoke: missing 1 required positional argument: 'token'"),  # type: ignore[attr-defined]
    (lambda: Token.revoke("x", resaon="y"), InvalidArgument, "its parameters are: token"),  # type: ignore[attr-defined]
    (lambda: Attribute.of("_hidden", int), DeclarationError, "must not start with an underscore"),
    (lambda: made_with(["id"]), DeclarationError, "is no mapping"),
    (lambda: made(lambda changeset, _: changeset.set("id", 1)), InvalidArgument, "set takes values by name"),
    (lambda: made(lambda changeset, _: changeset.after_acton(print)), UnknownName, "Did you mean 'after_action'?"),
    (lambda: made(lambda changeset, _: changeset.arguments["x"]), UnknownArgument, "the action has no argument 'x'"),
    (lambda: setattr(Note(id=1), "number", 4), Unchangeable, "use an update action: Note.edit"),
    (lambda: delattr(Note(id=1), "number"), Unchangeable, "use an update action: Note.edit"),
    (lambda: Note.nubmer, UnknownName, "Did you mean 'number'?"),  # type: ignore[attr-defined]
    (lambda: setattr(Note, "number", 4), DeclarationError, "RK022"),
    (lambda: setattr(Note, "number", print), DeclarationError, "RK022"),
    (lambda: setattr(Note, "add", 4), DeclarationError, "RK022"),
    (lambda: delattr(Note, "number"), DeclarationError, "RK022"),
    (lambda: setattr(Token, "revoke", None), DeclarationError, "RK022"),
]
"""A call, the class of its error, and a part of its text."""


def made_with(names: Any) -> None:
    """Declare an upsert whose ``set`` is no mapping."""

    class Other(Resource, domain=Domain("upserts"), data_layer=Memory()):
        id: Attr[int] = attribute(primary_key=True)
        put = create(accept=["id"], upsert=Upsert(set=names))


@pytest.mark.parametrize(("call", "kind", "text"), CALLS, ids=[text for *_, text in CALLS])
def test_a_wrong_call_is_an_error_of_resourcekit(call: Callable[[], object], kind: type[ResourcekitError], text: str) -> None:
    """No bare TypeError leaves a public function; the error names what it takes."""
    with pytest.raises(ResourcekitError) as caught:
        call()

    assert isinstance(caught.value, kind)
    assert text in str(caught.value)


def test_errors_of_names_are_those_that_python_expects() -> None:
    """``getattr`` with a default, ``hasattr`` and ``except KeyError`` work as ever."""
    record = Note(id=1)

    assert issubclass(UnknownArgument, KeyError)
    assert not hasattr(record, "nubmer")
    assert 5 == getattr(Note, "nubmer", 5)
    with pytest.raises(AttributeError, match="records of Note do not change"):
        record.number = 4


def test_a_test_may_replace_an_action_or_a_function() -> None:
    """A mock takes the place of a function, and the function comes back."""
    was = Token.revoke  # type: ignore[attr-defined]

    with mock.patch.object(Token, "revoke", lambda token: token):
        assert "x" == Token.revoke("x")  # type: ignore[attr-defined]
    assert was is Token.revoke  # type: ignore[attr-defined]


def test_an_error_inside_of_a_function_is_not_taken_for_a_wrong_call() -> None:
    """A TypeError that code of the user raises stays one."""

    def broken(changeset: Any, context: Any) -> Any:
        return len(5)  # type: ignore[arg-type]

    with pytest.raises(TypeError, match="has no len"):
        made(broken)


def test_a_service_has_a_name_or_none() -> None:
    """An empty name is refused; without one it is the name of the class."""

    class Nameless(Service):
        name = ""

        def interval(self, options: object) -> timedelta:
            return timedelta(hours=1)

        async def run(self, context: object) -> None:
            """Do nothing."""

    with pytest.raises(DeclarationError, match="the name of Nameless is empty"):

        class Broken(Extension):
            services = (Nameless,)


def test_an_extension_cannot_require_the_base_of_all() -> None:
    """It would bring nothing."""
    with pytest.raises(DeclarationError, match="requires has Extension itself"):

        class Broken(Extension):
            requires = (Extension,)
