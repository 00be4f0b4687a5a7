"""The functions that replace a refresh token by the next pair of its family: rotate, reauthenticate. Open it to change either.

A rotation is one compare and set: on the record of the session, or on that of the refresh token where sessions are not recorded.
A repetition within the grace is answered with the same pair, over threads, processes and stores. Any other second use is reuse.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import attrs

from resourcekit import utc_now
from resourcekit.errors import FieldFinding, InvalidArgument, SerializationFailure
from resourcekit.extending import Row, count, function, measure, notify_rows
from resourcekit_tokens.claims import Claims, family_of
from resourcekit_tokens.errors import InvalidToken, ReuseDetected, TokenConsumed
from resourcekit_tokens.issuance import store_issued
from resourcekit_tokens.options import LONGEST_GRACE
from resourcekit_tokens.pairs import (
    NewClaims,
    TokenPair,
    access_jti,
    access_life,
    keys_of,
    make_pair,
    remade,
    step_of,
    successor_terms,
)
from resourcekit_tokens.revocation_rules import REVOCATION, TokenFacts, keys_around, own_status, status_around, status_in
from resourcekit_tokens.sessions import advance_session, begin_session, checked_values, newest_session, signed_in_at
from resourcekit_tokens.signature import keys_ready
from resourcekit_tokens.tokens import SUCCESSOR, Outside, Tokens, tokens_of
from resourcekit_tokens.verification import require_presence, revoked, still_holds, used, verified

__all__ = ["reauthenticate", "rotate"]

_REPEATED = measure(
    "resourcekit.tokens.rotations_repeated", "Rotations that were repeated within the grace. Many of them may show a thief."
)
_TRIES = 3
"""Attempts in one transaction; then the transaction is run again, or the caller gets the error."""

_ZERO = timedelta(0)


@attrs.frozen
class _Wish:
    """The arguments of a rotation. proven: the subject has just shown who it is."""

    claims: NewClaims | None
    values: Mapping[str, Any]
    grace: timedelta
    proven: bool = False


@function
async def rotate(
    resource: Any,
    refresh_token: str,
    *,
    claims: NewClaims | None = None,
    session_values: Mapping[str, Any] | None = None,
    grace: timedelta | None = None,
) -> TokenPair:
    """Use up a refresh token and return the next pair of its family. A family has one unused refresh token: promise P2 (one winner).

    claims: of the new access token: a mapping, or a function of the old ones; those of the old one unless given. ``auth_time``
    stays. With ``store_all_tokens``, the new records get the stored values of the old one: extra data, and your own attributes.
    session_values: your own attributes on the record of the session; those not given stay as they are.
    grace: ``rotation_grace`` unless given. A repetition within it is answered with the same pair, as long as the next pair was not
    rotated and used in turn. Any other second use is treated as theft: the whole family ends and ReuseDetected is raised.
    """
    tokens = tokens_of(resource)
    values = checked_values(tokens, session_values, action="rotate")
    return await _perform(tokens, refresh_token, _Wish(claims, values, _grace(tokens, grace)), "rotate")


@function
async def reauthenticate(
    resource: Any, refresh_token: str, *, claims: NewClaims | None = None, session_values: Mapping[str, Any] | None = None
) -> TokenPair:
    """Return a pair of the same family with a new ``auth_time``, after the subject has shown again who it is. The old pair is used up.

    Call it after you have checked the password or the second factor. claims, session_values: as for ``rotate``.
    Raises what ``rotate`` raises.
    """
    tokens = tokens_of(resource)
    values = checked_values(tokens, session_values, action="reauthenticate")
    return await _perform(tokens, refresh_token, _Wish(claims, values, _grace(tokens, None), proven=True), "reauthenticate")


def _grace(tokens: Tokens, given: object) -> timedelta:
    if given is None:
        return tokens.options.rotation_grace or _ZERO
    if not isinstance(given, timedelta) or not _ZERO <= given <= LONGEST_GRACE:
        finding = FieldFinding("grace", f"must be a timedelta from 0 to {LONGEST_GRACE}")
        raise InvalidArgument(finding, resource=tokens.runtime.info.name, action="rotate")
    return given


async def _perform(tokens: Tokens, refresh_token: str, wish: _Wish, action: str) -> TokenPair:
    await keys_ready(tokens.options, refresh_token)
    moment = utc_now()
    old = verified(tokens.options, refresh_token, moment, "refresh")
    if old.is_foreign:
        raise InvalidToken("Another issuer made this refresh token; refresh it there.", claim="iss")
    if wish.values and old.subject is None:
        checked_values(tokens, wish.values, action=action, is_recorded=False)
    pair = await used(tokens, old, lambda outside: _in_transaction(tokens, old, wish, moment, outside))
    if pair is None:
        if not tokens.is_given_up():  # the refusal may roll the caller's transaction back; one that is over has no part in it
            await tokens.keep(lambda: _end_reused(tokens, old, moment), is_written=True)
        raise ReuseDetected("The refresh token was used before; its sign-in has been ended.", claim="jti")
    return pair


async def _in_transaction(tokens: Tokens, old: Claims, wish: _Wish, moment: datetime, outside: Outside) -> TokenPair | None:
    """Rotate in one transaction; ``None`` for a reuse, the family ended."""
    there = await tokens.store.now()  # the clock that all hosts share
    async with tokens.store.transaction():
        for _ in range(_TRIES):
            outcome = await _Rotation(tokens, old, wish, moment, there, outside).attempt()
            if isinstance(outcome, TokenPair):
                return outcome
            if outcome is _REUSED:
                await _end_reused(tokens, old, moment)
                return None
        raise SerializationFailure("others kept rotating this refresh token; try again")


async def _end_reused(tokens: Tokens, old: Claims, moment: datetime) -> None:
    """End the family of a refresh token that was used again. Notifiers get the family and the subject; the key holds a hash."""
    family = old.family or family_of(old.jti)
    row = await tokens.end_family(family, "reuse", moment)
    await notify_rows(tokens.runtime, "end_family", "create", [{**row, "family": family, "subject": old.subject}])


class _Outcome:
    """A rotation that made no pair."""


_REUSED, _OVERTAKEN = _Outcome(), _Outcome()


@attrs.frozen
class _Rotation:
    """One attempt to rotate a refresh token, in an open transaction.

    there: the time on the clock of the store, by which the grace is measured.
    """

    tokens: Tokens
    old: Claims
    wish: _Wish
    moment: datetime
    there: datetime
    outside: Outside

    @property
    def facts(self) -> TokenFacts:
        """The facts that the rules read; whether the token is used is decided here, not by them."""
        return attrs.evolve(self.tokens.facts_of(self.old), number=None)

    async def attempt(self) -> TokenPair | _Outcome:
        """Return the pair, or why there is none."""
        tokens, old, family = self.tokens, self.old, self.old.family or family_of(self.old.jti)
        views = await tokens.views([old.jti, *keys_around(old.subject, (family,))], self.outside)
        session, own = newest_session(views, family), self._own(views)
        if own is not None and own["revoked_at"] is not None and own["revocation_reason"] != "rotated":
            raise revoked(own_status(own))
        if tokens.options.require_token_presence:
            await require_presence(tokens, old, self.outside)
        if session is None:
            if own is not None and own["revoked_at"] is not None:
                return await self._repeat_of_parent(own, views)
            is_recorded = tokens.options.sessions and old.subject is not None
            return await (self._begin(views) if is_recorded else self._use_parent(own, views))
        state = session["extra_data"]
        if old.jti == state["refresh"] or old.number > state["number"]:
            return await self._advance(session, views)
        step = next((step for step in state["steps"] if step["parent"] == old.jti), None)
        return _REUSED if step is None else await self._repeat(step, views)

    def _own(self, views: list[dict[str, Row]]) -> Row | None:
        records = [rows[self.old.jti] for rows in views if self.old.jti in rows]
        return next((record for record in records if record["revoked_at"] is not None), records[0] if records else None)

    def _refuse_dead(self, views: list[dict[str, Row]]) -> None:
        status = status_around(views, self.facts)
        if status is not None:
            raise revoked(status)

    def _next(self, views: list[dict[str, Row]], session: Row | None) -> tuple[TokenPair, dict[str, Any]]:
        """Make the next pair. Its terms come from the presented token, whose generation it keeps."""
        self._refuse_dead(views)
        tokens, longest = self.tokens, self.tokens.options.max_session
        ends = None if longest is None else signed_in_at(session, self.old, self.moment) + longest
        proven = self.moment if self.wish.proven else None
        terms = successor_terms(tokens, self.old, self.wish.claims, auth_time=proven, ends=ends)
        pair = make_pair(tokens, terms, self.moment)
        return pair, step_of(self.old, terms, pair, self.there, keys_of(tokens).signing_key, is_fresh=self.wish.proven)

    async def _advance(self, session: Row, views: list[dict[str, Row]]) -> TokenPair | _Outcome:
        pair, step = self._next(views, session)
        if not await advance_session(self.tokens, session, pair, step, self.moment, self.wish.values):
            return _OVERTAKEN
        return await self._finish(pair, mark_parent=self.tokens.options.store_all_tokens)

    async def _begin(self, views: list[dict[str, Row]]) -> TokenPair | _Outcome:
        """Record a session whose sign-in was before sessions were recorded."""
        pair, step = self._next(views, None)
        signed_in = signed_in_at(None, self.old, self.moment)
        if not await begin_session(
            self.tokens, pair, self.moment, self.wish.values, signed_in=signed_in, step=step, action="rotate"
        ):
            return _OVERTAKEN
        return await self._finish(pair, mark_parent=self.tokens.options.store_all_tokens)

    async def _use_parent(self, own: Row | None, views: list[dict[str, Row]]) -> TokenPair | _Outcome:
        """Use the token up. Its record keeps the step, beside the extra data that it has.

        A stored record, whose extra data are the caller's, keeps it only where there is a grace to repeat the rotation in.
        """
        pair, step = self._next(views, None)
        extra = None if own is not None and not self.wish.grace else {**((own or {}).get("extra_data") or {}), SUCCESSOR: step}
        if await self.tokens.use_up(self.old, "rotated", self.moment, "rotate", extra) is not None:
            return await self._finish(pair, mark_parent=False)
        there = await self.tokens.own_view(self.old.jti, self.outside)
        if there["revocation_reason"] != "rotated":
            raise revoked(own_status(there))
        return await self._repeat_of_parent(there, views)

    async def _finish(self, pair: TokenPair, *, mark_parent: bool) -> TokenPair:
        """Store the pair, and read once more what may end it: a cut-off, the generation, the family, the token's own record."""
        tokens, old = self.tokens, self.old
        extra_data, values = await tokens.facts_of_session(old.jti)
        if mark_parent and await tokens.use_up(old, "rotated", self.moment, "rotate") is None:
            raise revoked(own_status(await tokens.own_view(old.jti, self.outside)))
        views = await tokens.views([old.jti, *keys_around(old.subject, (self.facts.family,))], self.outside)
        own = self._own(views)
        if own is not None and own["revocation_reason"] == "rotated":
            views = [{key: row for key, row in rows.items() if key != old.jti} for rows in views]
        if (status := status_in(views, self.facts)) is not None:
            raise revoked(status)
        still_holds(tokens.options, old, utc_now())
        if self.wish.proven and (used_up := access_jti(old)) is not None:
            await self._revoke_access(used_up)
        if tokens.options.store_all_tokens:
            for issued in (pair.access, pair.refresh):
                await store_issued(tokens, issued, extra_data, values)
        return pair

    async def _revoke_access(self, jti: str) -> None:
        old, tokens = self.old, self.tokens
        row = tokens.row(
            self.moment,
            jti=jti,
            subject=old.subject,
            purpose=REVOCATION,
            family=old.family,
            expires_at=tokens.options.kept_until(self.moment),
            revoked_at=self.moment,
            revocation_reason="reauthenticated",
        )
        await notify_rows(tokens.runtime, "reauthenticate", "create", await tokens.write("revoke", [row]))

    async def _repeat_of_parent(self, own: Row, views: list[dict[str, Row]]) -> TokenPair | _Outcome:
        """Answer a repetition from the record of the used token: its successor is unused, or used with its successor unused."""
        step = (own["extra_data"] or {}).get(SUCCESSOR)
        if step is None:
            return _REUSED
        after = await self._used_step(step)
        if after is not None and (not after or await self._used_step(after) is not None):
            return _REUSED
        return await self._repeat(step, views)

    async def _used_step(self, step: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return the step by which the token of this step was used; empty if it was ended otherwise, ``None`` if it is unused."""
        jti = step["refresh"][0]
        found = [rows[jti] for rows in await self.tokens.views((jti,), self.outside) if jti in rows]
        own = next((row for row in found if row["revoked_at"] is not None), None)
        if own is None:
            return None
        successor = (own["extra_data"] or {}).get(SUCCESSOR)
        return successor if own["revocation_reason"] == "rotated" and successor is not None else {}

    async def _repeat(self, step: Mapping[str, Any], views: list[dict[str, Row]]) -> TokenPair | _Outcome:
        """Return the recorded pair once more, within the grace, if the successor was not revoked."""
        tokens, old = self.tokens, self.old
        grace = min(self.wish.grace, access_life(old))
        if not grace or self.there - datetime.fromisoformat(step["at"]) > grace:
            return _REUSED
        if await self._used_step(step) == {}:
            return _REUSED
        self._refuse_dead(views)
        if step["fresh"] and not self.wish.proven:
            raise TokenConsumed("The sign-in was renewed with a password meanwhile; use its new tokens.", claim="jti")
        count(_REPEATED, resource=tokens.resource.__name__)
        row = tokens.row(self.moment, jti=old.jti, subject=old.subject, family=old.family, expires_at=old.expires_at)
        await notify_rows(tokens.runtime, "repeated", "update", [row])
        return remade(tokens, old, step)
