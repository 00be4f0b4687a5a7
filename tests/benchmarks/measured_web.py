"""The time that authentication adds to a request, in Flask and FastAPI, against libraries that ask a database as well."""

import asyncio
import io
import sys
import uuid
from collections.abc import Iterable
from importlib.util import find_spec
from typing import Annotated, Any

from interleaving import Race
from plan import Run
from report import Line

from resourcekit import Domain
from resourcekit.data_layers import SQL
from resourcekit_tokens import JWT, TokenRecord, TokenResource

__all__ = ["web"]

_SECRET = "-a-secret-of-the-benchmarks-" * 3


def web(run: Run) -> Iterable[Line]:
    """One signed-in GET, without a server: our adapter, a peer on the same database, and the same view without either."""
    if find_spec("flask_jwt_extended"):
        sides = _flask_sides(run)
        yield from _lines(Race(sides, run.sizes.pace), "Flask", "flask-jwt-extended with a blocklist", 0.5)
    if find_spec("fastapi_users_db_sqlalchemy"):
        loop = asyncio.new_event_loop()
        try:
            sides, close = loop.run_until_complete(_fastapi_sides(run, loop))
            yield from _lines(Race(sides, run.sizes.pace), "FastAPI", "fastapi-users with its database strategy", 0.3)
            loop.run_until_complete(close())
        finally:
            loop.close()


def _lines(race: Race, framework: str, peer: str, budget: float) -> Iterable[Line]:
    ours, theirs = race.above("ours", "bare"), race.above("theirs", "bare")
    yield Line(
        f"time added to a request of {framework} / by {peer}",
        ours.wall / theirs.wall if theirs.wall else 0.0,
        budget=budget,
        cpu=ours.cpu / theirs.cpu if theirs.cpu else 0.0,
    )
    for name, figure in (("ours", ours), ("theirs", theirs)):
        yield Line.of(f"time added to a request of {framework}, {name}", figure, unit="us")


def _tokens(url: str) -> tuple[Any, str]:
    """Return a token resource, and an access token of it."""
    domain = Domain("benchmark of the web")

    class Token(TokenRecord, domain=domain, data_layer=SQL(url), extensions=[TokenResource(jwt=JWT(_SECRET), sessions=True)]):
        """Tokens of an app."""

    domain.create_storage()
    return Token, Token.issue_pair("alice").access.token


def _flask_sides(run: Run) -> dict[str, Any]:
    from flask import Flask
    from flask_jwt_extended import JWTManager, create_access_token, get_jwt_identity, jwt_required
    from sqlalchemy import String, create_engine, select
    from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, scoped_session, sessionmaker

    from resourcekit_web.flask import TokenAuth

    class Base(DeclarativeBase):
        pass

    class Blocked(Base):
        """The model of the page on blocklists of flask-jwt-extended."""

        __tablename__ = "token_blocklist"
        id: Mapped[int] = mapped_column(primary_key=True)
        jti: Mapped[str] = mapped_column(String(36), index=True)

    url = f"sqlite:///{run.folder}/web-flask-{uuid.uuid4().hex}.db"
    token, access = _tokens(url)
    app = Flask("benchmark")
    app.config["JWT_SECRET_KEY"] = _SECRET
    auth, manager = TokenAuth(token, app, supervise=False), JWTManager(app)
    engine = create_engine(url)
    Base.metadata.create_all(engine)
    sessions = scoped_session(sessionmaker(engine))
    app.teardown_appcontext(lambda error: sessions.remove())

    @manager.token_in_blocklist_loader
    def is_blocked(header: Any, payload: Any) -> bool:
        return sessions.execute(select(Blocked.id).where(Blocked.jti == payload["jti"])).scalar() is not None

    app.add_url_rule("/bare", "bare", lambda: {"sub": "alice"})
    app.add_url_rule("/ours", "ours", auth.required(lambda: {"sub": auth.signed_in.subject}))
    app.add_url_rule("/theirs", "theirs", jwt_required()(lambda: {"sub": get_jwt_identity()}))
    with app.app_context():
        blocklisted = create_access_token("alice")
    given = {"bare": access, "ours": access, "theirs": blocklisted}
    return {name: _wsgi(app, f"/{name}", given[name]) for name in given}


def _wsgi(app: Any, path: str, token: str) -> Any:
    def step(number: int) -> None:
        environ = {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": path,
            "SERVER_NAME": "app.example",
            "SERVER_PORT": "443",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_HOST": "app.example",
            "HTTP_AUTHORIZATION": f"Bearer {token}",
            "wsgi.url_scheme": "https",
            "wsgi.input": io.BytesIO(),
            "wsgi.errors": sys.stderr,
        }
        status: list[str] = []
        answered = app(environ, lambda line, headers, error=None: status.append(line))
        assert (status[0][:3], b"alice" in b"".join(answered)) == ("200", True)
        answered.close()

    return step


async def _fastapi_sides(run: Run, loop: asyncio.AbstractEventLoop) -> tuple[dict[str, Any], Any]:
    from fastapi import Depends, FastAPI
    from fastapi_users import BaseUserManager, FastAPIUsers, UUIDIDMixin
    from fastapi_users.authentication import AuthenticationBackend, BearerTransport
    from fastapi_users.authentication.strategy.db import DatabaseStrategy
    from fastapi_users_db_sqlalchemy import SQLAlchemyBaseUserTableUUID, SQLAlchemyUserDatabase
    from fastapi_users_db_sqlalchemy.access_token import SQLAlchemyAccessTokenDatabase, SQLAlchemyBaseAccessTokenTableUUID
    from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
    from sqlalchemy.orm import DeclarativeBase

    from resourcekit_web.fastapi import SignedIn, TokenAuth

    class Base(DeclarativeBase):
        pass

    class User(SQLAlchemyBaseUserTableUUID, Base):
        pass

    class AccessToken(SQLAlchemyBaseAccessTokenTableUUID, Base):
        pass

    class Manager(UUIDIDMixin, BaseUserManager):
        pass

    file = run.folder / f"web-fastapi-{uuid.uuid4().hex}.db"
    token, access = await asyncio.to_thread(_tokens, f"sqlite:///{file}")
    engine = create_async_engine(f"sqlite+aiosqlite:///{file}")
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with sessions() as session:
        user = await SQLAlchemyUserDatabase(session, User).create({"email": "alice@example.com", "hashed_password": "-"})
        tokens = SQLAlchemyAccessTokenDatabase(session, AccessToken)
        written = await DatabaseStrategy(tokens, lifetime_seconds=3600).write_token(user)

    async def session_of() -> Any:
        async with sessions() as session:
            yield session

    async def manager_of(session: Annotated[Any, Depends(session_of)]) -> Any:
        yield Manager(SQLAlchemyUserDatabase(session, User))

    def strategy_of(session: Annotated[Any, Depends(session_of)]) -> Any:
        return DatabaseStrategy(SQLAlchemyAccessTokenDatabase(session, AccessToken), lifetime_seconds=3600)

    users = FastAPIUsers(manager_of, [AuthenticationBackend("database", BearerTransport("login"), strategy_of)])
    auth = TokenAuth(token, supervise=False)
    app = auth.install(FastAPI())
    current = users.current_user(active=True)

    @app.get("/bare")
    async def bare() -> Any:
        return {"sub": "alice"}

    @app.get("/ours")
    async def ours(who: Annotated[SignedIn, Depends(auth)]) -> Any:
        return {"sub": who.subject}

    @app.get("/theirs")
    async def theirs(who: Annotated[Any, Depends(current)]) -> Any:
        return {"sub": who.email}

    given = {"bare": access, "ours": access, "theirs": written}
    return {name: _asgi(app, f"/{name}", given[name], loop) for name in given}, engine.dispose


def _asgi(app: Any, path: str, token: str, loop: asyncio.AbstractEventLoop) -> Any:
    headers = [(b"host", b"app.example"), (b"authorization", f"Bearer {token}".encode())]

    async def sent() -> None:
        got: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            got.append(message)

        scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "https"}
        place = {"path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "headers": headers}
        await app({**scope, **place, "server": ("app.example", 443), "client": ("203.0.113.9", 4242), "state": {}}, receive, send)
        assert (got[0]["status"], b"alice" in got[1]["body"]) == (200, True)

    return lambda number: loop.run_until_complete(sent())
