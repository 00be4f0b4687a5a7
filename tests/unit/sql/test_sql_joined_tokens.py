"""Log out everywhere and the password change commit together or not at all, in a transaction of the user's own."""

import asyncio
import contextlib
from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, scoped_session, sessionmaker

from resourcekit import Domain, context
from resourcekit.data_layers import SQL, Repo, joined
from resourcekit.errors import DataLayerError, Timeout
from resourcekit_tokens import JWT, TokenRecord, TokenResource, errors
from tests.conftest import SECRET


class Base(DeclarativeBase):
    """The application's own tables."""


class User(Base):
    """A user who can sign in."""

    __tablename__ = "users"

    id: Mapped[str] = mapped_column(sa.String(50), primary_key=True)
    password: Mapped[str] = mapped_column(sa.String(50))


class Planned(Exception):
    """What goes wrong in these tests."""


@pytest.fixture
def engines(database):
    """A sync and an async engine of the application, which knows alice."""
    dialect, url = Repo(database.url).dialect, sa.make_url(database.url)
    engine = sa.create_engine(url.set(drivername=dialect.drivers[0]))
    Base.metadata.create_all(engine)
    with Session(engine) as session, session.begin():
        session.add(User(id="alice", password="old"))
    yield engine, create_async_engine(url.set(drivername=dialect.drivers[1]), poolclass=sa.NullPool)
    engine.dispose()


@pytest.fixture
def token(engines):
    """A token resource on these engines, with a notifier that notes its actions after a commit."""
    notified, domain = [], Domain("joined tokens")
    repo = Repo(engine=engines[0], async_engine=engines[1], timeout=timedelta(seconds=10))

    class Token(
        TokenRecord,
        domain=domain,
        data_layer=SQL(repo),
        notifiers=[lambda notification: notified.append(notification.action)],
        extensions=[TokenResource(jwt=JWT(SECRET))],
    ):
        """Tokens of the application."""

    Token.notified, Token.kept = notified, domain
    domain.create_storage()
    return Token


def password(engine):
    """Return the password that is stored."""
    with Session(engine) as session:
        return session.get_one(User, "alice").password


CHANGE = sa.text("UPDATE users SET password = 'new' WHERE id = 'alice'")
KINDS = {
    "session": Session,
    "scoped session": lambda engine: scoped_session(sessionmaker(engine)),
    "connection": lambda engine: engine.connect(),
}
ASYNC_KINDS = {
    "session": AsyncSession,
    "scoped session": lambda engine: async_scoped_session(async_sessionmaker(engine), asyncio.current_task),
    "connection": lambda engine: engine.connect(),
}


@contextlib.contextmanager
def opened(kind, engine):
    """Yield a session or a connection, closed afterwards."""
    given = KINDS[kind](engine)
    try:
        yield given
    finally:
        given.close()


@contextlib.asynccontextmanager
async def opened_async(kind, engine):
    """Do the same in a loop."""
    given = ASYNC_KINDS[kind](engine)
    if kind == "connection":
        await given
    try:
        yield given
    finally:
        await given.close()


@pytest.mark.parametrize("keep", [True, False], ids=["commit", "rollback"])
@pytest.mark.parametrize("kind", KINDS)
def test_all_or_nothing(engines, token, kind, keep):
    """After a commit the password is new and every other session over; after a rollback neither, and no notifier runs."""
    phone, laptop = token.issue_pair("alice"), token.issue_pair("alice")
    with opened(kind, engines[0]) as given:
        given.execute(CHANGE)
        with joined(given, token):
            token.log_out_everywhere("alice", keep=[laptop.access.claims.family])
            token.revoke(phone.refresh.token)
            inside = token.token_revoked(phone.access.token)
        outside = token.token_revoked(phone.access.token), list(token.notified)
        given.commit() if keep else given.rollback()

    assert (True, (False, [])) == (inside, outside)
    assert ("new" if keep else "old") == password(engines[0])
    assert [keep, keep, False] == [token.token_revoked(each.token) for each in (phone.access, phone.refresh, laptop.access)]
    assert (["log_out_everywhere", "revoke_token"] if keep else []) == token.notified


@pytest.mark.parametrize("keep", [True, False], ids=["commit", "rollback"])
@pytest.mark.parametrize("kind", ASYNC_KINDS)
def test_all_or_nothing_in_a_task(engines, token, kind, keep):
    """The same in a loop."""

    async def work():
        phone = await token.issue.aio("alice")
        async with opened_async(kind, engines[1]) as given:
            await given.execute(CHANGE)
            async with joined(given, token):
                await token.log_out_everywhere.aio("alice")
                await token.revoke.aio(phone.token)
                inside = await token.token_revoked.aio(phone.token)
            outside = await token.token_revoked.aio(phone.token)
            await (given.commit() if keep else given.rollback())
        return inside, outside, await token.token_revoked.aio(phone.token)

    assert (True, False, keep) == asyncio.run(work())
    assert ("new" if keep else "old") == password(engines[0])
    assert (["log_out_everywhere", "revoke_token"] if keep else []) == token.notified


def test_a_failed_try_is_taken_back_alone(engines, token):
    """A savepoint around both rolls both back; later writes are kept."""
    one, other = token.issue("alice"), token.issue("bob")
    with Session(engines[0]) as session, session.begin(), joined(session, token):
        with pytest.raises(Planned), session.begin_nested():
            token.log_out_everywhere("alice")
            token.revoke(one.token)
            session.get_one(User, "alice").password = "new"
            raise Planned
        token.revoke(other.token)

    assert ("old", [False, True]) == (password(engines[0]), [token.token_revoked(each.token) for each in (one, other)])
    assert ["revoke_token"] == token.notified


def test_a_link_is_used_once_with_what_it_is_for(engines, token):
    """A reset link is used up with the change that it allows; where that fails, it can be used again."""
    connection = token.issue("alice", purpose="reset").token
    with pytest.raises(Planned), Session(engines[0]) as session, session.begin():
        with joined(session, token):
            token.consume(connection, purpose="reset")
        raise Planned
    with Session(engines[0]) as session, session.begin():
        with joined(session, token):
            token.consume(connection, purpose="reset")
        session.execute(CHANGE)
    with Session(engines[0]) as session, session.begin(), joined(session, token), pytest.raises(errors.TokenConsumed):
        token.consume(connection, purpose="reset")

    assert "new" == password(engines[0])


def test_a_check_in_the_block_fails_closed(engines, token):
    """Where the transaction can answer nothing any more, a check says "revoked" and a revoke raises."""
    issued = token.issue("alice").token
    with Session(engines[0]) as session, joined(session, token):
        before = token.token_revoked(issued)
        session.rollback()
        after = token.token_revoked(issued)
        with pytest.raises(DataLayerError):
            token.revoke(issued)

    assert (False, True, False) == (before, after, token.token_revoked(issued))


@pytest.fixture
def held(database, engines, token):
    """Another client's transaction, which locks the record of alice's cut-off."""
    token.log_out_everywhere("alice")
    with engines[0].connect() as connection:
        if database.kind == "sqlite":
            connection.execute(sa.text("BEGIN IMMEDIATE"))
        else:
            connection.execute(sa.text("SELECT * FROM token FOR UPDATE"))
        yield
        connection.rollback()


SOON = timedelta(seconds=0.3)


def test_a_block_ends_by_its_deadline(engines, token, held):
    """The caller gets Timeout in time; afterwards the user's rollback ends at once, and the engine works."""
    with Session(engines[0]) as session:
        with pytest.raises(Timeout), context(deadline=SOON), joined(session, token):
            token.log_out_everywhere("alice")
        session.rollback()

    assert "old" == password(engines[0])


def test_a_block_of_a_task_ends_by_its_deadline(engines, token, held):
    """In a loop, too."""

    async def work():
        async with AsyncSession(engines[1]) as session:
            with pytest.raises(Timeout), context(deadline=SOON):
                async with joined(session, token):
                    await token.log_out_everywhere.aio("alice")
            await session.rollback()

    asyncio.run(asyncio.wait_for(work(), 20))

    assert "old" == password(engines[0])
