"""What people who declare resources write, and what both type checkers know of it. Only checked, never run."""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, assert_type
from uuid import UUID

from resourcekit import (
    Attr,
    Changeset,
    Context,
    Domain,
    Notification,
    Page,
    Query,
    Resource,
    action,
    arg,
    argument,
    as_dict,
    attribute,
    compare,
    context,
    count,
    create,
    destroy,
    env,
    filter,  # noqa: A004  # the field's word
    get,
    identity,
    increment,
    index,
    info,
    limit,
    now,
    one_of,
    present,
    query,
    read,
    row,
    set_attribute,
    sort,
    string_length,
    today,
    touch,
    transaction,
    update,
    utc_now,
    uuid7,
)
from resourcekit.data_layers import SQL, Memory
from resourcekit.extending import Attribute, BulkResult, Expression, ResourceInfo
from resourcekit.supervisor import Supervisor
from resourcekit.testing import ManualClock, declaration_errors, in_memory
from resourcekit_tokens import (
    JWT,
    Claims,
    Confirmed,
    CutOff,
    ExpungeResult,
    IssuedToken,
    Revocation,
    RevokedJti,
    TokenPair,
    TokenRecord,
    TokenResource,
    Verdict,
    consume,
    expunge_expired,
    jti_revoked,
    revoke,
    rotate,
    store_token,
    token_revoked,
    verify,
)

helpdesk = Domain("helpdesk")


class Priority(enum.Enum):
    """How soon."""

    LOW = 1
    HIGH = 2


def tell(notification: Notification) -> None:
    """Hear of a write."""
    assert_type(notification.kind, str)


def shout(changeset: Changeset, context: Context) -> Changeset:
    """Write the subject in capitals."""
    return changeset.set(subject=str(changeset.get("subject")).upper())


async def is_awake(changeset: Changeset, context: Context) -> str | None:
    """Refuse at night."""
    return "is asleep" if context.now().hour < 6 else None


class Ticket(Resource, domain=helpdesk, data_layer=SQL("sqlite:///helpdesk.db", table="tickets"), notifiers=[tell]):
    """Something that a customer asks for."""

    id: Attr[UUID] = attribute(primary_key=True, default_factory=uuid7)
    subject: Attr[str] = attribute(public=True, min_length=1, max_length=200)
    owner: Attr[str]
    status: Attr[Literal["open", "closed"]] = attribute(default="open")
    priority: Attr[Priority] = attribute(default=Priority.LOW)
    price: Attr[Decimal | None] = attribute(default=None)
    tags: Attr[list[str]] = attribute(default_factory=list)
    facts: Attr[dict[str, Any] | None] = attribute(default=None, sensitive=True)
    opened_at: Attr[datetime] = attribute(default_factory=utc_now)
    views: Attr[int] = attribute(default=0, minimum=0)

    by_subject = identity("subject")
    recent = index("status", "opened_at")

    submit = create(
        accept=["subject", "owner"],
        arguments=[argument("note", str | None, default=None)],
        changes=[shout, touch("opened_at")],
        validations=[is_awake, string_length("subject", max=100), present("owner"), one_of("status", ["open"])],
    )
    see = update(changes=[increment("views")])
    close = update(changes=[set_attribute("status", "closed"), set_attribute("opened_at", now())], require_atomic=True)
    rename = update(accept=["subject"], validations=[compare("views", ">", 0)])
    remove = destroy()

    open_ones = read(preparations=[filter(arg("owner") == arg("owner")), sort("-opened_at"), limit(10)])
    the_oldest = read(get=True, preparations=[sort("opened_at"), limit(1)])

    @read
    @staticmethod
    def newer_than(query: Query[Ticket], moment: datetime, most: int = 10) -> Query[Ticket]:
        """Find the tickets that were opened after a moment."""
        return query.filter(Ticket.opened_at > moment).limit(most)

    @read
    @staticmethod
    async def older_than(query: Query[Ticket], moment: datetime) -> Query[Ticket]:
        """Find the tickets that were opened before a moment."""
        return query.filter(Ticket.opened_at < moment)

    @read
    @classmethod
    def mine(cls, query: Query[Ticket], context: Context) -> Query[Ticket]:
        """Find the caller's tickets."""
        return query.filter(cls.owner == str(context.actor))

    @create(accept=["subject"])
    @staticmethod
    def submit_for(changeset: Changeset, owner: str) -> Changeset:
        """Submit for another user."""
        return changeset.set(owner=owner)

    @action
    @staticmethod
    async def count_open(context: Context) -> int:
        """Count the open tickets."""
        return await query(Ticket).filter(Ticket.status == "open").count.aio()

    @action(transaction=True)
    @classmethod
    async def close_all(cls, context: Context, *, owner: str, most: int = 10) -> list[str]:
        """Close all tickets of a user."""
        found = await query(cls).filter(cls.owner == owner).limit(most).all.aio()
        return [(await cls.close.aio(each)).subject for each in found]

    @action
    @staticmethod
    def opening_hours(day: int) -> dict[str, int]:
        """Notify on arrival."""
        return {"from": 8 + day, "to": 17}


def fields_and_values(ticket: Ticket) -> None:
    """On the class a field, on a record a value."""
    assert_type(Ticket.subject, Attr[str])
    assert_type(ticket.subject, str)
    assert_type(ticket.owner, str)
    assert_type(ticket.id, UUID)
    assert_type(ticket.status, Literal["open", "closed"])
    assert_type(ticket.priority, Priority)
    assert_type(ticket.price, Decimal | None)
    assert_type(ticket.tags, list[str])
    assert_type(ticket.facts, dict[str, Any] | None)
    assert_type(Ticket(subject="Printer on fire", owner="Ada"), Ticket)
    assert_type(Ticket(id=uuid7(), subject="?", owner="Ada", status="closed", price=Decimal(3), tags=["a"]), Ticket)
    assert_type(as_dict(ticket, private=True), dict[str, Any])


def expressions() -> None:
    """Comparisons build expressions."""
    assert_type(Ticket.status == "open", Expression)
    assert_type(Ticket.price.is_none() | (Ticket.views >= 3), Expression)
    assert_type(~Ticket.subject.like("a%") & Ticket.owner.in_(["Ada", "Bob"]), Expression)
    assert_type((Ticket.opened_at < now()) & (Ticket.priority != Priority.LOW), Expression)
    assert_type(Ticket.subject == Ticket.owner, Expression)
    assert_type(Ticket.price == None, Expression)  # noqa: E711  # builds "has no value"
    assert_type(Ticket.views + 1, Expression)
    assert_type((1 + Ticket.views // 2) % 3, Expression)
    assert_type(Ticket.opened_at.truncate("week").year() == today().year(), Expression)
    Ticket.opened_at.truncate("century")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert_type((Ticket.subject.trim().lower() == "a") & ((Ticket.views / 7).round(2) > 0.5), Expression)


def actions(ticket: Ticket) -> None:
    """Each action returns what it says, in this thread."""
    assert_type(Ticket.submit(subject="Printer on fire", owner="Ada"), Ticket)
    assert_type(Ticket.submit_for(subject="?", owner="Ada"), Ticket)
    assert_type(Ticket.submit.bulk([{"subject": "a"}, {"subject": "b"}]), BulkResult[Ticket])
    assert_type(Ticket.submit.using(actor="Ada", deadline=timedelta(seconds=2))(subject="?"), Ticket)
    assert_type(Ticket.close(ticket), Ticket)
    assert_type(Ticket.close(ticket.id), Ticket)
    assert_type(ticket.close(), Ticket)
    assert_type(ticket.rename(subject="?"), Ticket)
    assert_type(ticket.remove(), Ticket)
    assert_type(Ticket.close.bulk(query(Ticket).filter(Ticket.views == 0), strategy="stream").count, int)
    assert_type(Ticket.open_ones(owner="Ada"), list[Ticket])
    assert_type(Ticket.the_oldest(), Ticket | None)
    assert_type(Ticket.newer_than(datetime.now(UTC)), list[Ticket])
    assert_type(Ticket.newer_than(moment=datetime.now(UTC), most=3), list[Ticket])
    found = Ticket.newer_than.query(datetime.now(UTC)).filter(Ticket.status == "open").sort(Ticket.opened_at.desc())
    assert_type(found.page(limit=20, count=True), Page[Ticket])
    assert_type(found.page(limit=20, after=found.page(limit=20).end_cursor).records, tuple[Ticket, ...])
    assert_type(query(Ticket).page(limit=20), Page[Ticket])
    assert_type(query(Ticket).max(Ticket.opened_at), datetime | None)
    groups = query(Ticket).group_by(Ticket.status, "subject").values(n=count(), last=Ticket.opened_at.max())
    assert_type(groups.filter(row("n") > 2).sort("-n").limit(3).all(), list[dict[str, Any]])
    assert_type(groups.page(limit=3).records, tuple[dict[str, Any], ...])
    assert_type(query(Ticket).distinct(Ticket.status).sort("-opened_at").all(), list[Ticket])
    assert_type(query(Ticket).select(Ticket.subject, "status").first(), Ticket | None)
    assert_type(query(Ticket).sort_input("-subject").filter_input({"status": "open"}).first(), Ticket | None)
    assert_type(found.all(), list[Ticket])
    assert_type(found.first(), Ticket | None)
    assert_type(Ticket.older_than(datetime.now(UTC)), list[Ticket])
    assert_type(Ticket.mine(), list[Ticket])
    assert_type(Ticket.count_open(), int)
    assert_type(Ticket.close_all(owner="Ada"), list[str])
    assert_type(Ticket.opening_hours(3), dict[str, int])
    assert_type(Ticket.opening_hours.using(actor="Ada")(day=3), dict[str, int])


async def actions_in_the_other_mode(ticket: Ticket) -> None:
    """And the same, awaited."""
    assert_type(await Ticket.submit.aio(subject="?"), Ticket)
    assert_type(await Ticket.submit.bulk.aio([{"subject": "a"}], batch_size=10), BulkResult[Ticket])
    assert_type(await ticket.close.aio(), Ticket)
    assert_type(await Ticket.remove.aio(ticket), Ticket)
    assert_type(await Ticket.newer_than.aio(datetime.now(UTC)), list[Ticket])
    assert_type(await Ticket.newer_than.query(datetime.now(UTC)).page.aio(offset=0), Page[Ticket])
    assert_type(await Ticket.the_oldest.aio(), Ticket | None)
    assert_type(await Ticket.count_open.aio(), int)
    assert_type(await Ticket.opening_hours.aio(day=1), dict[str, int])


def queries(key: UUID) -> None:
    """A query knows its resource."""
    found = query(Ticket).filter(Ticket.status == "open", Ticket.views > 3).sort(Ticket.opened_at.desc()).limit(10).offset(5)
    assert_type(found.all(), list[Ticket])
    assert_type(found.first(), Ticket | None)
    assert_type(found.one(), Ticket)
    assert_type(found.count(), int)
    assert_type(found.exists(), bool)
    assert_type(found.stream(), Iterator[Ticket])
    assert_type(get(Ticket, key), Ticket)
    with transaction(Ticket, Token) as tx, context(actor="Ada") as deployment:
        tx.after_commit(helpdesk.seal)
        assert_type(deployment, Context)


async def queries_in_the_other_mode(key: UUID) -> None:
    """And the same, awaited."""
    assert_type(await query(Ticket).all.aio(), list[Ticket])
    assert_type(await query(Ticket).first.aio(), Ticket | None)
    assert_type(await query(Ticket).exists.aio(), bool)
    assert_type(query(Ticket).stream.aio(), AsyncIterator[Ticket])
    assert_type(await get.aio(Ticket, key), Ticket)
    async with transaction(Ticket) as tx:
        tx.doom()


def facts() -> None:
    """Introspection is typed."""
    assert_type(info(Ticket), ResourceInfo)
    assert_type(info(Ticket).attributes, Mapping[str, Attribute])
    assert_type(info(Ticket).primary_key, tuple[str, ...])
    assert_type(helpdesk.create_storage(), None)


# Token resources. A subclass of TokenRecord shows checkers every attribute and function; a resource that names the
# extension has the same at run time, and the functions of the module are typed for both.

accounts = Domain("accounts")


class Token(
    TokenRecord,
    domain=accounts,
    data_layer=SQL(env("DATABASE_URL"), table="tokens"),
    extensions=[
        TokenResource(
            jwt=JWT(env("TOKEN_SECRET"), issuer="https://example.org", lifetimes={"user": timedelta(minutes=15)}),
            expunge_interval=timedelta(hours=1),
            revocation=Revocation(revoke_token_action_name="revoke_it"),
        )
    ],
):
    """Revoked and stored tokens."""

    device: Attr[str | None] = attribute(default=None, public=True)


class ResetLink(Resource, domain=accounts, data_layer=Memory(), extensions=[TokenResource, "archival"]):
    """Links that work once."""


def functions_on_the_class(text: str) -> None:
    """Each function of the extension, in this thread; what returns a record returns one of the subclass."""
    assert_type(Token.jti, Attr[str])
    assert_type(Token.revoke(text, reason="stolen"), Token)
    assert_type(Token.revoke(text).revoked_at, datetime | None)
    assert_type(Token.revoke(text).device, str | None)
    assert_type(Token.revoke_jti("jti", subject="Ada"), Token)
    assert_type(Token.revoke_jtis([RevokedJti("a"), RevokedJti("b")]), int)
    assert_type(Token.token_revoked(text), bool)
    assert_type(Token.jti_revoked("jti", subject="Ada", issued_at=datetime.now(UTC)), bool)
    assert_type(Token.expunge_expired(dry_run=True), ExpungeResult)
    assert_type(Token.read_expired(), list[Token])
    assert_type(Token.store_token(text, values={"device": "phone"}), Token)
    assert_type(Token.get_token(jti="jti"), Token | None)
    assert_type(Token.get_confirmation_changes(jti="jti"), dict[str, Any] | None)
    assert_type(Token.confirm(text), Confirmed)
    assert_type(Token.revoke_all_stored_for_subject("Ada", purposes=["user"]), int)
    assert_type(Token.log_out_everywhere("Ada", keep=["jti"]), CutOff)
    assert_type(Token.tokens_for_subject("Ada"), list[Token])
    assert_type(Token.issue("Ada", purpose="reset", lifetime=timedelta(minutes=5)), IssuedToken)
    assert_type(Token.issue_pair("Ada").refresh.token, str)
    assert_type(Token.verify(text).subject, str | None)
    assert_type(Token.consume(text, purpose="reset"), Claims)
    assert_type(Token.rotate(text, claims=lambda old: {**old, "more": 1}), TokenPair)
    assert_type(Token.explain(token=text), Verdict)
    assert_type(query(Token).filter(Token.subject == "Ada").all(), list[Token])
    assert_type(TokenResource.of(Token).expunge_interval, timedelta)


async def functions_in_the_other_mode(text: str) -> None:
    """And the same, awaited."""
    assert_type(await Token.revoke.aio(text), Token)
    assert_type(await Token.token_revoked.aio(text), bool)
    assert_type(await Token.expunge_expired.aio(), ExpungeResult)
    assert_type(await Token.get_token.aio(token=text), Token | None)
    assert_type(await Token.tokens_for_subject.aio("Ada"), list[Token])
    assert_type(await Token.verify.aio(text, purpose="user"), Claims)
    assert_type(await Token.rotate.aio(text), TokenPair)


async def functions_of_the_module(text: str) -> None:
    """For every resource, sync and async."""
    assert_type(revoke(Token, text), Token)
    assert_type(revoke(ResetLink, text), ResetLink)
    assert_type(token_revoked(ResetLink, text), bool)
    assert_type(jti_revoked(ResetLink, "jti"), bool)
    assert_type(expunge_expired(ResetLink, batch_size=100), ExpungeResult)
    assert_type(store_token(ResetLink, text, purpose="reset"), ResetLink)
    assert_type(consume(ResetLink, text, purpose="reset"), Claims)
    assert_type(await revoke.aio(ResetLink, text), ResetLink)
    assert_type(await verify.aio(ResetLink, text), Claims)
    assert_type(await rotate.aio(ResetLink, text), TokenPair)
    assert_type(await token_revoked.aio(Token, text), bool)


def around() -> None:
    """Supervisor and the testing API."""
    with Supervisor(accounts, Token, "myapp.**"), in_memory(accounts, Ticket), ManualClock() as clock:
        clock.advance(hours=13)
    with declaration_errors() as errors:
        assert_type([error.code for error in errors], list[str])
