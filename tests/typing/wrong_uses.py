"""What type checkers flag. Only checked, never run.

Each wrong line names the code that mypy and the rule that basedpyright flags it with. Both report a comment that is not
needed, so a wrong use that is no longer flagged fails the check. A line with one comment is flagged by one of the two:
mypy does not look at the options of a class statement whose metaclass is user-defined.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Literal

from resourcekit import (
    Attr,
    Changeset,
    Context,
    Domain,
    Query,
    Resource,
    action,
    attribute,
    create,
    destroy,
    get,
    identity,
    query,
    read,
    set_attribute,
    transaction,
    update,
)
from resourcekit.data_layers import SQL, Memory
from resourcekit.extending import Capability, DataLayer, Extension, Plan, RowsStore, State, Transformer, option
from resourcekit.testing import DataLayerSuite, ManualClock, in_memory
from resourcekit_tokens import JWT, Revocation, TokenRecord, TokenResource, consume, revoke

notes = Domain("notes")


def tell(changeset: Changeset) -> Changeset:
    """Lack a parameter."""
    return changeset


class Note(Resource, domain=notes, data_layer=Memory()):
    """Right, so that the rest can be wrong."""

    id: Attr[int] = attribute(primary_key=True)
    text: Attr[str] = attribute(min_length=1)
    kind: Attr[Literal["short", "long"]] = attribute(default="short")
    due: Attr[datetime | None] = attribute(default=None)

    by_text = identity("text")
    write = create(accept=["id", "text"])
    finish = update(changes=[set_attribute("kind", "long")])
    drop = destroy()

    @read
    @staticmethod
    def due_before(asked: Query[Note], moment: datetime) -> Query[Note]:
        """Find what is due."""
        return asked.filter(Note.due < moment)

    @action
    @staticmethod
    async def count_due(context: Context, days: int) -> int:
        """Count what is due."""
        return await query(Note).filter(Note.due < context.now() + timedelta(days=days)).count.aio()


class Token(TokenRecord, domain=notes, data_layer=Memory(), extensions=[TokenResource]):
    """Right as well."""


def shown(*values: object) -> None:
    """Take anything."""


def a_number(value: int) -> None:
    """Take a number."""


def a_note(value: Note) -> None:
    """Take a note."""


def tokens(value: list[Token]) -> None:
    """Take tokens."""


# The class statement


class UnknownOption(Resource, data_layr=Memory()):  # pyright: ignore[reportGeneralTypeIssues]
    """No such option."""

    id: Attr[int] = attribute(primary_key=True)


class UnknownOptionOfATemplate(TokenRecord, extension=[TokenResource]):  # pyright: ignore[reportGeneralTypeIssues]
    """No such option either."""


class NoDataLayer(Resource, data_layer=3):  # pyright: ignore[reportArgumentType]
    """A number keeps no records."""

    id: Attr[int] = attribute(primary_key=True)


class NoDomain(Resource, domain="notes"):  # pyright: ignore[reportArgumentType]
    """A name is no domain."""

    id: Attr[int] = attribute(primary_key=True)


class NoList(Resource, extensions=TokenResource):  # pyright: ignore[reportArgumentType]
    """Extensions come as a list."""

    id: Attr[int] = attribute(primary_key=True)


class WrongWords(Resource):
    """Words with options that they do not have, and defaults of a wrong type."""

    id: Attr[int] = attribute(primry_key=True)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    text: Attr[str] = attribute(default=3)  # type: ignore[arg-type]  # pyright: ignore[reportAssignmentType]
    kind: Attr[Literal["short", "long"]] = attribute(default="medium")  # type: ignore[arg-type]  # pyright: ignore[reportAssignmentType]
    made: Attr[datetime] = attribute(default_factory=str)  # type: ignore[arg-type]  # pyright: ignore[reportAssignmentType]
    none: Attr[int] = attribute(default=None)  # type: ignore[arg-type]  # pyright: ignore[reportAssignmentType]
    size: Attr[int] = 3  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    write = create(accepts=["text"])  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    stop = update(require_atomic="yes")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    tell = update(changes=[tell])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    first = read(get="yes")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    by_text = identity(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    @read  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue, reportUntypedFunctionDecorator]
    @staticmethod
    def no_query(asked: Query[Note]) -> int:
        """Return no query."""
        return 3

    @read  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue, reportUntypedFunctionDecorator]
    @staticmethod
    def not_asked() -> None:
        """Take no query."""


# Records


def records(note: Note) -> None:
    """Values of the wrong type, and names that are not there."""
    Note(id="1", text="?")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Note(id=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Note(1, "text")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Note(id=1, text="?", txt="?")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Note(id=1, text="?", kind="medium")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    a_number(note.text)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    a_number(Note.id)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    shown(note.txt, Note.due_after)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    shown(note.due < datetime.now(UTC))  # type: ignore[operator]  # pyright: ignore[reportOptionalOperand]


# Expressions and queries


def questions() -> None:
    """Comparisons with what the field cannot hold."""
    all_notes = query(Note)
    all_notes.filter(Note.due > "tomorrow")  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue]
    all_notes.filter(Note.id == "1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    all_notes.filter(Note.kind == "medium")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    all_notes.filter(Note.text.in_([1, 2]))  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    all_notes.filter(Note.text.like(3))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    all_notes.filter("text")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    all_notes.filter(not Note.due)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportGeneralTypeIssues]
    all_notes.sort(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    all_notes.limit("3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    all_notes.all(3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    query("Note")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    a_note(all_notes.first())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    a_note(all_notes.one.aio())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    tokens(all_notes.all())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    tokens(get(Note, 1))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with transaction(Note) as tx:
        tx.commit()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]


# Actions


async def actions(note: Note) -> None:
    """Arguments that are missing, unknown or of a wrong type; results taken for others; the other call mode."""
    Note.due_before()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Note.due_before("tomorrow")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Note.due_before(datetime.now(UTC), 3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Note.count_due()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Note.count_due(days="3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Note.count_due(dais=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Note.count_due(Context(), days=3)  # type: ignore[arg-type, misc]  # pyright: ignore[reportCallIssue]
    a_note(Note.count_due(days=3))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await Note.count_due(days=3)  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]
    Note.count_due.aio(days=3)  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
    Note.write(1, "text")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Note.write.bulk({"id": 1})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]
    tokens(Note.write.bulk([{"id": 1}]).records)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Note.finish()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    note.finish(note)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Note.finish.bulk(query(Note), strategy="fast")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Note.write.using(actr="Ada")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Note.write.using(deadline=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    tokens(Note.write(id=1))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    note.due_after(3)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]


# Options and functions of token resources


async def token_resources(text: str) -> None:
    """Options and arguments of a wrong type."""
    SQL(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    SQL("sqlite:///a.db", tabel="a")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    TokenResource(expunge_intervall=timedelta(hours=1))  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    TokenResource(expunge_interval=12)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    TokenResource(jwt="secret")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    TokenResource(revocation=Revocation(revoke_action_name="r"))  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    JWT("secret", lifetime=timedelta(days=1))  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Token.revoke()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Token.revoke(text, reason=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Token.consume(text)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Token.verify(text, "user")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Token.issue("Ada", lifetime=3600)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Token.revok(text)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    a_number(Token.revoke(text).revoked_at)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    a_note(Token.revoke(text))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    a_note(Token.get_token(jti="jti"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    revoke(text, text)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    consume(Token, text)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    a_note(revoke(Token, text))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await Token.revoke(text)  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]
    Token.token_revoked.aio(text)  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]


# The testing API, and what authors write


def proving() -> None:
    """Wrong targets and clocks."""
    in_memory(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ManualClock("2030-01-01")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


class TestWrong(DataLayerSuite):
    """Makes no data layer."""

    def make_data_layer(self) -> int:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return a number."""
        return 3


class WrongStep(Transformer):
    """Is no step."""

    after = frozenset({Note})  # type: ignore[arg-type]  # pyright: ignore[reportAssignmentType]

    def transform(self, state: State, options: object) -> Callable[[], State]:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return no state."""
        return lambda: state.remove(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


class Wrong(Extension):
    """Names steps that are none."""

    transformers = (Note,)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    verifiers = 3  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    size: int = option(default=3, chek=print)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


class WrongLayer(DataLayer):
    """Says what is no capability."""

    capabilities = frozenset({"filter"})  # type: ignore[arg-type]  # pyright: ignore[reportAssignmentType]

    def bind(self, info: int) -> Plan:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return what is no store."""
        return Plan(Capability.FILTER)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


class Unfinished(RowsStore):
    """Says nothing of where its rows are."""


unfinished = Unfinished(Note.__info__)  # type: ignore[abstract]  # pyright: ignore[reportAbstractUsage]
