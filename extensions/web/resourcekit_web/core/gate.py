"""Authentication of one request: which credential, whose, and still valid? Edit this module to change the order of the checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import isawaitable
from typing import Any

import attrs

from resourcekit import utc_now
from resourcekit.errors import DataLayerError
from resourcekit.extending import is_async_function, off_loop
from resourcekit_tokens import Claims
from resourcekit_tokens.errors import InvalidToken, TokenExpired
from resourcekit_web.core.answers import (
    Answer,
    Refusal,
    cross_origin,
    invalid_request,
    invalid_token,
    missing_token,
    token_expired,
    unavailable,
)
from resourcekit_web.core.incoming import Credential, Incoming, bearer_of, cookie_of
from resourcekit_web.core.settings import Settings
from resourcekit_web.core.signed_in import Demand, SignedIn, Via, signed_in_by

__all__ = ["Gate", "refusal_of", "ticket_of"]

_TICKET = "rk.ticket."


def refusal_of(error: Exception) -> Refusal:
    """Return the refusal for an error of a token function: 401 for a bad token, 503 for a store that did not answer."""
    if isinstance(error, TokenExpired):
        return token_expired()
    return invalid_token() if isinstance(error, InvalidToken) else unavailable()


def ticket_of(incoming: Incoming) -> str | Refusal | None:
    """Return the ticket of a websocket handshake, which comes as a subprotocol. Two are a malformed request."""
    offered = [word.strip() for line in incoming.all("sec-websocket-protocol") for word in line.split(",")]
    tickets = [word.removeprefix(_TICKET) for word in offered if word.startswith(_TICKET)]
    if len(tickets) > 1:
        return invalid_request("The handshake has more than one ticket.")
    return tickets[0] if tickets else None


@attrs.frozen
class Gate:
    """Finds the user of a request, by the settings of one ``TokenAuth``."""

    settings: Settings

    async def admit(
        self, incoming: Incoming, demand: Demand, *, optional: bool = False, known: SignedIn | Refusal | None = None
    ) -> SignedIn | Refusal | Answer | None:
        """Return the user if the request fulfils the conditions, else a refusal. A preflight has no user, and is answered 204.

        optional: None for a request without a credential, and for one with a cookie that is no longer valid. A bad Bearer token and
        a store that does not answer are refused all the same. known: the result of ``authenticate`` for this request, if it ran.
        """
        if incoming.is_preflight:
            return Answer(status=204)
        found = known or await self.authenticate(incoming)
        if isinstance(found, Refusal):
            is_stale = found.status == 401 and not isinstance(bearer_of(incoming), Credential)
            return None if optional and is_stale else found
        return demand.refusal(found) or found

    async def authenticate(self, incoming: Incoming) -> SignedIn | Refusal:
        """Return the user of a request, or the refusal. A Bearer header decides; cookies are then not looked at."""
        credential = self.credential(incoming)
        if isinstance(credential, Refusal):
            return credential
        is_write = incoming.is_unsafe or incoming.is_websocket
        if credential.via == "cookie" and is_write and not self.settings.allowed_origins.lets_pass(incoming):
            return cross_origin()
        try:
            claims = await self._verified(credential)
            if isinstance(claims, Refusal):
                return claims
            return await self._user_of(claims, credential.via)
        except (InvalidToken, DataLayerError) as error:
            return refusal_of(error)

    def credential(self, incoming: Incoming) -> Credential | Refusal:
        """Return the token of a request: of the Authorization header, else of a ticket, else of the access cookie."""
        bearer = bearer_of(incoming)
        if bearer is not None:
            return bearer
        ticket = ticket_of(incoming) if incoming.is_websocket else None
        if ticket is not None:
            return ticket if isinstance(ticket, Refusal) else Credential(ticket, "ticket")
        cookies = self.settings.cookies
        found = cookie_of(incoming, cookies.access, cookies.refresh)
        if isinstance(found, Refusal):
            return found
        token = found.get(cookies.access)
        return Credential(token, "cookie") if token else missing_token()

    async def _verified(self, credential: Credential) -> Claims | Refusal:
        resource = self.settings.resource
        if credential.via != "ticket":
            claims: Claims = await resource.verify.aio(credential.token)
            return claims
        claims = await resource.consume.aio(credential.token, purpose="ticket")
        bought = claims.get("rk_ticket")
        family = bought.get("family") if isinstance(bought, Mapping) else None
        return invalid_token() if await self._has_ended(claims, family) else claims

    async def recheck(self, incoming: Incoming, who: SignedIn) -> Refusal | None:
        """Return the reason why the user of an open websocket is no longer signed in, or None.

        A ticket was used up when the websocket was opened; the token with which it was bought is asked for instead.
        """
        if who.via != "ticket":
            found = await self.authenticate(incoming)
            return found if isinstance(found, Refusal) else None
        bought = who.claims.get("rk_ticket")
        ends = bought.get("exp") if isinstance(bought, Mapping) else None
        if isinstance(ends, int | float) and utc_now().timestamp() >= ends:
            return token_expired()
        try:
            await self.settings.resource.get_token.aio(jti=f"ticket:{who.claims.jti}"[:255])  # raises if the store is away
        except DataLayerError as error:
            return refusal_of(error)
        return invalid_token() if await self._has_ended(who.claims, who.family) else None

    async def _has_ended(self, claims: Claims, family: object) -> bool:
        """Return whether the sign-in of a ticket has ended. The ticket's own record is "consumed", so another jti is asked for."""
        facts: dict[str, Any] = {"subject": claims.subject, "issued_at": claims.issued_at, "generation": claims.generation}
        is_dead: bool = await self.settings.resource.jti_revoked.aio(f"ticket:{claims.jti}"[:255], family=family, **facts)
        return is_dead

    async def accepts(self, claims: Claims) -> bool:
        """Return whether the user of verified claims may sign in: ``user=`` returns one, who is active. True without ``user=``."""
        return self.settings.user is None or isinstance(await self._user_of(claims, "bearer"), SignedIn)

    async def _user_of(self, claims: Claims, via: Via) -> SignedIn | Refusal:
        subject = claims.owner  # two providers may both have an "alice", and so may we
        if subject is None:
            return invalid_token()
        user: Any = None
        if (load := self.settings.user) is not None:
            user = await load(subject) if is_async_function(load) else await off_loop(_bound(load, subject))
            if isawaitable(user):  # of a plain function that hands on to an async one, such as a lambda
                user = await user
            if user is None or not _is_active(user):
                return invalid_token()
        return signed_in_by(claims, subject, user, via, clock_skew=self.settings.token_options.clock_skew)


def _is_active(user: object) -> bool:
    """Return whether a user may sign in: by the attribute, the item or the method ``is_active``. Users without it may."""
    if hasattr(user, "keys"):  # a dict, or a row of a driver
        row: Any = user
        value = row["is_active"] if "is_active" in row.keys() else True  # noqa: SIM118  # a row of sqlite3 looks among its values
    else:
        value = getattr(user, "is_active", True)
    return bool(value() if callable(value) else value)


def _bound(load: Callable[[str], Any], subject: str) -> Callable[[], Any]:
    return lambda: load(subject)
