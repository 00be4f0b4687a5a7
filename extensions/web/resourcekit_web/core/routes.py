"""The routes of a login app as data: refresh, log out, sessions, tickets. Edit this module to change what one of them answers."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping
from datetime import timedelta
from typing import Any, Final

import attrs

from resourcekit import utc_now
from resourcekit.errors import DataLayerError, InvalidArgument, NotFound
from resourcekit_tokens import TokenPair, TokenSession
from resourcekit_tokens.errors import InvalidToken, TokenConsumed
from resourcekit_tokens.signature import keys_ready, read_claims, trusted_claims
from resourcekit_web.core.answers import Answer, Refusal, cross_origin, invalid_request, missing_token, session_mismatch
from resourcekit_web.core.gate import Gate, refusal_of
from resourcekit_web.core.incoming import Credential, Incoming, bearer_of, cookie_of, form_of, is_form
from resourcekit_web.core.settings import Settings
from resourcekit_web.core.signed_in import SignedIn

__all__ = ["Asked", "Route", "run", "session_routes"]

Run = Callable[["Asked"], Coroutine[Any, Any, "Answer | Refusal"]]

GRACE: Final = timedelta(seconds=10)
"""Within it a browser may repeat a refresh by cookie, unless the resource has a ``rotation_grace``: two tabs do at one moment."""

_CURRENT: Final = "current"
_OF_FRAMEWORKS: Final = frozenset({"csrfmiddlewaretoken", "csrf_token"})
"""Fields that Django and WTForms add to each form of a page."""

_TICKET_LIFE: Final = timedelta(seconds=30)


@attrs.frozen(kw_only=True)
class Asked:
    """A request of a route. body: of the request. path: the values of the path's parameters."""

    incoming: Incoming
    body: bytes = attrs.field(default=b"", repr=False)
    path: Mapping[str, str] = attrs.field(factory=dict[str, str], repr=False)


@attrs.frozen(kw_only=True)
class Route:
    """A route of the adapter.

    method: in capitals. path: with parameters as ``{family}``. name: for the URLs of a framework. run: returns the answer. headers: of
    each answer.
    """

    method: str
    path: str
    name: str
    run: Run = attrs.field(repr=False)
    headers: tuple[tuple[str, str], ...] = (("Cache-Control", "no-store"), ("Vary", "Cookie"))


async def run(settings: Settings, route: Route, asked: Asked) -> Answer:
    """Return the answer of a route: foreign pages are refused first, and an error of the store is a 503."""
    if asked.incoming.is_unsafe and not settings.allowed_origins.lets_pass(asked.incoming):
        found: Answer | Refusal = cross_origin()
    else:
        try:
            found = await route.run(asked)
        except (InvalidToken, DataLayerError) as error:
            found = refusal_of(error)
    answer = found.answer() if isinstance(found, Refusal) else found
    given = {name.lower() for name, _ in answer.headers}
    return answer.with_headers(*((name, value) for name, value in route.headers if name.lower() not in given))


def session_routes(settings: Settings) -> Iterable[Route]:
    """Yield the routes below the prefix: those that issue if there is a key that signs, those for sessions if they are recorded."""
    its = _Sessions(settings, Gate(settings))
    prefix = settings.prefix
    if settings.signs:
        yield Route(method="POST", path=f"{prefix}/refresh", name="refresh", run=its.refresh)
        yield Route(method="POST", path=f"{prefix}/ticket", name="ticket", run=its.ticket)
    yield Route(method="POST", path=f"{prefix}/logout", name="logout", run=its.logout)
    yield Route(method="POST", path=f"{prefix}/logout-everywhere", name="logout_everywhere", run=its.logout_everywhere)
    if settings.has_sessions:
        yield Route(method="GET", path=f"{prefix}/sessions", name="sessions", run=its.sessions)
        yield Route(method="DELETE", path=f"{prefix}/sessions/{{family}}", name="end_session", run=its.end_session)


@attrs.frozen
class _Sessions:
    """The functions of the routes below the prefix."""

    settings: Settings
    gate: Gate

    async def refresh(self, asked: Asked) -> Answer | Refusal:
        """Rotate the refresh token: of the form, answered as JSON, else of the cookie, answered by new cookies."""
        form = form_of(asked.incoming, asked.body)
        if isinstance(form, Refusal):
            return form
        if "refresh_token" in form:
            await self._refuse_user(form["refresh_token"])
            return _as_json(await self.settings.resource.rotate.aio(form["refresh_token"]))
        cookies = self.settings.cookies
        found = cookie_of(asked.incoming, cookies.access, cookies.refresh)
        if isinstance(found, Refusal):
            return found
        token, persistent = cookies.read_refresh(found.get(cookies.refresh, ""))
        if not token:
            return missing_token()
        family = self._family(token)
        if family is not None and family != self._family(found.get(cookies.access, "")):
            return session_mismatch()
        try:
            await self._refuse_user(token)
            pair = await self._rotated(token)
        except TokenConsumed as error:  # used up by ``reauthenticate``: the browser has newer cookies, or gets them just now
            return refusal_of(error)
        except InvalidToken as error:
            return self._cleared(refusal_of(error).answer(), asked.incoming)
        made = cookies.set_both(pair, asked.incoming.root_path, persistent=persistent)
        return Answer(status=204).with_headers(*(("Set-Cookie", value) for value in made))

    async def _refuse_user(self, token: str) -> None:
        """Raise InvalidToken for a refresh token whose user may no longer sign in, before it is used up."""
        if self.settings.user is None:
            return
        await keys_ready(self.settings.token_options, token)
        if not await self.gate.accepts(trusted_claims(self.settings.token_options, token)):
            raise InvalidToken("The user of the token may not sign in.", claim="sub")

    async def _rotated(self, token: str) -> TokenPair:
        grace = GRACE if self.settings.token_options.rotation_grace is None else None
        pair: TokenPair = await self.settings.resource.rotate.aio(token, grace=grace)
        return pair

    def _family(self, token: str) -> str | None:
        """Return the family that a token names. Its signature is not verified: two tokens are only compared here."""
        try:
            return read_claims(token, rules=self.settings.jwt.rules).family
        except InvalidToken:
            return None

    async def logout(self, asked: Asked) -> Answer | Refusal:
        """End the sign-in of the request, if it has one, and clear the cookies. An expired token ends its sign-in too."""
        bearer = bearer_of(asked.incoming)
        if isinstance(bearer, Refusal):
            return bearer
        if isinstance(bearer, Credential):
            await self._revoke(bearer.token)
            return self._cleared(Answer(status=204), asked.incoming)
        cookies = self.settings.cookies
        found = cookie_of(asked.incoming, cookies.access, cookies.refresh)
        if isinstance(found, Refusal):
            return self._cleared(found.answer(), asked.incoming)
        ended: set[str | None] = set()
        for token in (cookies.read_refresh(value)[0] for value in found.values()):
            if ((family := self._family(token)) is None or family not in ended) and await self._revoke(token):
                ended.add(family)  # only now: a torn token may name a family too
        return self._cleared(Answer(status=204), asked.incoming)

    async def _revoke(self, token: str) -> bool:
        try:
            await self.settings.resource.revoke.aio(token, reason="signed out")
        except InvalidToken:
            return False  # it opens nothing, so there is nothing to end
        return True

    def _cleared(self, answer: Answer, incoming: Incoming) -> Answer:
        cleared = self.settings.cookies.clear_both(incoming.root_path)
        return answer.with_headers(*(("Set-Cookie", value) for value in cleared))

    async def logout_everywhere(self, asked: Asked) -> Answer | Refusal:
        """End all sign-ins of the user; with the form field ``keep=current``, all but this one.

        Any other body is refused: a misspelt field would otherwise sign this browser out, too.
        """
        who = await self.gate.authenticate(asked.incoming)
        if isinstance(who, Refusal):
            return who
        form = form_of(asked.incoming, asked.body)
        if isinstance(form, Refusal):
            return form
        if (
            (asked.body and not is_form(asked.incoming))
            or form.keys() - {"keep", *_OF_FRAMEWORKS}
            or form.get("keep", _CURRENT) != _CURRENT
        ):
            return invalid_request("Send no body, or a form (application/x-www-form-urlencoded) with keep=current.")
        is_kept = "keep" in form
        keep = [who.family or who.claims.jti] if is_kept else []  # a token without a family is kept by itself
        await self.settings.resource.log_out_everywhere.aio(who.subject, keep=keep, reason="signed out everywhere")
        done = Answer(status=204)
        return done if is_kept else self._cleared(done, asked.incoming)

    async def ticket(self, asked: Asked) -> Answer | Refusal:
        """Issue a ticket, good for one websocket within half a minute."""
        who = await self.gate.authenticate(asked.incoming)
        if isinstance(who, Refusal):
            return who
        ends = who.claims.expires_at
        facts = {
            "exp": ends and ends.timestamp(),
            "family": who.family,
            "scope": " ".join(sorted(who.scopes)),
            "auth_time": _seconds(who),
        }
        issued = await self.settings.resource.issue.aio(
            who.subject, purpose="ticket", lifetime=_TICKET_LIFE, claims={"rk_ticket": facts}
        )
        # The ticket has the generation of now. A log-out everywhere since the first check has ended the token, but not the ticket.
        credential = self.gate.credential(asked.incoming)
        if isinstance(credential, Refusal):
            return credential
        await self.settings.resource.verify.aio(credential.token)
        return Answer.of_json({"ticket": issued.token, "expires_in": int(_TICKET_LIFE.total_seconds())})

    async def sessions(self, asked: Asked) -> Answer | Refusal:
        """List the live sign-ins of the user, newest first."""
        who = await self.gate.authenticate(asked.incoming)
        if isinstance(who, Refusal):
            return who
        listed = await self.settings.resource.sessions.aio(who.subject)
        return Answer.of_json({"sessions": [_as_entry(one, who) for one in listed]})

    async def end_session(self, asked: Asked) -> Answer | Refusal:
        """End one sign-in of the user. Another user's is not found."""
        who = await self.gate.authenticate(asked.incoming)
        if isinstance(who, Refusal):
            return who
        family = asked.path["family"]
        try:
            await self.settings.resource.end_session.aio(family, subject=who.subject, reason="signed out by user")
        except (NotFound, InvalidArgument):  # the latter: a family that no token can have
            return Refusal(status=404, code="not_found", detail="You have no such session.")
        done = Answer(status=204)
        return self._cleared(done, asked.incoming) if family == who.family else done


def _as_json(pair: TokenPair) -> Answer:
    body: dict[str, object] = {
        "access_token": pair.access.token,
        "refresh_token": pair.refresh.token,
        "token_type": "Bearer",
    }
    if (expires_at := pair.access.claims.expires_at) is not None:
        body["expires_in"] = max(0, int((expires_at - utc_now()).total_seconds()))
    return Answer.of_json(body)


def _as_entry(session: TokenSession, who: SignedIn) -> dict[str, object]:
    return {
        "family": session.family,
        "current": session.family == who.family,
        "signed_in_at": session.signed_in_at.isoformat(),
        "last_used_at": session.last_used_at.isoformat(),
        "expires_at": session.expires_at.isoformat(),
        "values": dict(session.values),
    }


def _seconds(who: SignedIn) -> float | None:
    return None if who.auth_time is None else who.auth_time.timestamp()
