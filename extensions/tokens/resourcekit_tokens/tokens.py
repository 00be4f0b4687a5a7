"""A token resource's options and compiled statements, and the rule that decides whether a token is revoked."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, TypeVar

from resourcekit import utc_now
from resourcekit.errors import DataLayerError, InvalidArgument, SerializationFailure
from resourcekit.extending import (
    Aggregate,
    Entity,
    Expression,
    Field,
    Greatest,
    In,
    Insert,
    OnConflict,
    Outcome,
    Param,
    Plan,
    Row,
    Runtime,
    Select,
    Store,
    Update,
    Value,
    ambient_context,
    notifiers_of,
    notify_rows,
    runtime_of,
)
from resourcekit_tokens.claims import Claims
from resourcekit_tokens.errors import NotATokenResource
from resourcekit_tokens.options import TokenOptions
from resourcekit_tokens.revocation_rules import (
    FAMILY,
    NEVER_ENDED,
    NEVER_EXPIRES,
    RevocationStatus,
    TokenFacts,
    family_key,
    is_live,
    keys_around,
    revoking,
    status_around,
    status_in,
    storing,
    using_up,
)

__all__ = ["SUCCESSOR", "Outside", "Tokens", "again", "tokens_of"]

T = TypeVar("T")

Outside = AbstractContextManager[None] | None
"""The context manager of ``Store.outside``: leaves an open transaction that may read an earlier snapshot. None if there is none."""

SUCCESSOR = "rk:successor"
"""Name in the extra data of a rotated refresh token under which the rotation is recorded, where sessions are not recorded."""

_AT_ONCE = 50
"""Families that one statement looks up."""

_TRIES = 100
"""Maximum number of retries. Each means that another transaction was committed, so the writers as a whole make progress."""

_FACTS = ("jti", "purpose", "expires_at", "revoked_at", "revocation_reason", "extra_data")


_GUARDS: Mapping[str, Callable[[], OnConflict]] = {
    "revoke": lambda: OnConflict(("jti",), "update", revoking()),
    "store": lambda: OnConflict(("jti",), "update", storing(replace_extra=False)),
    "use up": lambda: OnConflict(("jti",), "update", using_up(), is_live()),
    "use up, and keep": lambda: OnConflict(("jti",), "update", using_up(replace_extra=True), is_live()),
}
"""The conflict clauses of the upserts, by name."""


def _is_own(entity: Entity) -> bool:
    """Return whether the extension has declared an action or an attribute, not the user."""
    return entity.origin.declared_by == "TokenResource"


class Tokens:
    """The compiled statements and rules of one token resource.

    store: the store of the records. check_one: the cheapest check: does a record revoke this jti?
    check_is_own: whether the action that checks revocation is the extension's own, so that functions may bypass it.
    revoke_is_own: whether the action that revokes and all attributes are the extension's own, without a notifier.
    """

    def __init__(self, runtime: Runtime, options: TokenOptions) -> None:
        self.runtime, self.options = runtime, options
        self.resource = runtime.resource
        self.store: Store = runtime.store
        is_revoked = (Field("jti") == Param("jti")) & ~Field("revoked_at").is_none()
        self.check_one = self.store.compile(Aggregate("exists", is_revoked))
        self._checks: dict[int, Plan] = {}
        self._upserts: dict[str, Plan] = {}
        actions, names, attributes = runtime.info.actions, options.revocation, runtime.info.attributes
        self.check_is_own = _is_own(actions[names.is_revoked_action_name])
        revoke = names.revoke_token_action_name
        is_default = all(map(_is_own, (actions[revoke], *attributes.values())))
        self.revoke_is_own = is_default and not notifiers_of(runtime, revoke)
        moments = ("updated_at", options.created_at_attribute_name)
        self._factories = {
            name: one.default_factory
            for name, one in attributes.items()
            if one.default_factory is not None and name not in moments
        }
        self._blank = {name: None if one.default_factory is not None else one.default_value() for name, one in attributes.items()}

    def _select_facts(self, keys: int) -> Plan:
        places = tuple(Param(f"k{position}") for position in range(keys))
        condition: Expression = Field("jti") == places[0] if keys == 1 else In(Field("jti"), Value(places))
        return self.store.compile(Select(condition, fields=_FACTS))

    def _upsert(self, guard: str) -> Plan:
        plan = self._upserts.get(guard)
        if plan is None:
            plan = self._upserts[guard] = self.store.compile(Insert(self.runtime.fields, _GUARDS[guard]()))
        return plan

    async def facts(self, keys: Sequence[str]) -> dict[str, Row]:
        """Return the records of these keys, by key, in one round trip."""
        plan = self._checks.get(len(keys))
        if plan is None:
            plan = self._checks[len(keys)] = self._select_facts(len(keys))
        rows = await self.store.select(plan, {f"k{position}": key for position, key in enumerate(keys)})
        return {row["jti"]: row for row in rows}

    async def is_recorded(self, jti: str) -> bool:
        """Return whether a record revokes this jti, in the open transaction or in the latest committed state."""
        if await self.store.aggregate(self.check_one, {"jti": jti}) is not False:
            return True
        outside = self.store.outside()
        return outside is not None and await self.is_recorded_outside(jti, outside)

    async def is_recorded_outside(self, jti: str, outside: AbstractContextManager[None]) -> bool:
        """Return whether a committed record revokes this jti, for promise P1 (a revoked token stays revoked)."""
        with outside:
            return await self.store.aggregate(self.check_one, {"jti": jti}) is not False

    async def views(self, keys: Sequence[str], outside: Outside) -> list[dict[str, Row]]:
        """Return the records of these keys, as the open transaction sees them and as other transactions have committed them.

        The second view exists only if the first may be an earlier snapshot. Without it, a revocation that was acknowledged since then
        would be missed, against promise P1 (a revoked token stays revoked). outside: leaves the open transaction, if there is one.
        """
        views = [await self.facts(keys)]
        if outside is not None:
            with outside:
                views.append(await self.facts(keys))
        return views

    async def own_view(self, jti: str, outside: Outside) -> Row:
        """Return the record of a token that is known to be revoked; if there are two views of it, the one that is revoked."""
        records = [rows[jti] for rows in await self.views((jti,), outside) if jti in rows]
        return next((record for record in records if record["revoked_at"] is not None), records[0])

    def facts_of(self, claims: Claims) -> TokenFacts:
        """Return what the rules need to know about a token with these claims."""
        tolerance, family = self.options.iat_tolerance, claims.sign_in
        number = claims.number if claims.purpose == "refresh" else None
        return TokenFacts(claims.jti, claims.owner, claims.issued_at, family, claims.generation, tolerance, number)

    async def status(self, token: TokenFacts) -> RevocationStatus | None:
        """Return why a token is revoked, or ``None``. Reads its record, cut-off, generation and family in one round trip."""
        keys = [token.jti, *keys_around(token.subject, (token.family,))]
        return status_in(await self.views(keys, self.store.outside()), token)

    async def status_of(self, claims: Claims) -> RevocationStatus | None:
        """Return why the token with these claims is revoked, or ``None``. Extends the expiry of a record that would expire first."""
        status = await self.status(self.facts_of(claims))
        if (
            status is not None
            and status.record["revoked_at"]
            and status.record["expires_at"] < (claims.expires_at or NEVER_EXPIRES)
        ):
            await self._prolong(status.record, claims.expires_at or NEVER_EXPIRES)
        return status

    async def _prolong(self, record: Row, expires_at: datetime) -> None:
        """Extend the expiry of a record that revokes a token and would expire before it, so that no sweep removes it too early.

        Needed if a jti has two expiries, a token without ``iat`` meets a cut-off, or a token was issued into an ended family. An
        upsert, not an update: a sweep may just have removed the record.
        """

        async def write() -> None:
            rows = await self.write("revoke", [self.row(utc_now(), **{**record, "expires_at": expires_at})])
            await notify_rows(self.runtime, "prolong", "update", rows)

        await self.keep(write)

    async def keep(self, write: Callable[[], Coroutine[Any, Any, None]], *, is_written: bool = False) -> None:
        """Write a record that a refusal needs, so that it is stored whether the open transaction commits or is rolled back.

        After a rollback it is written again, in the enclosing transaction if any. is_written: the open transaction wrote it already.
        Raises InvalidArgument if the data layer cannot run anything after a rollback.
        """
        acts = is_written

        def ended(error: BaseException | None) -> Coroutine[Any, Any, None] | None:
            return None if error is None and acts else self.keep(write)

        if self.store.current_transaction() is not None and not self.store.after_end(ended):
            why = "the token was refused, and the record of that would be lost in a rollback; call outside of the transaction"
            raise InvalidArgument(why, resource=self.runtime.info.name)
        if not acts:
            await write()
            acts = True

    def is_given_up(self) -> bool:
        """Return whether the database has ended the caller's transaction, as a whole."""
        try:
            self.store.current_transaction()
        except DataLayerError:
            return True
        return False

    def row(self, moment: datetime, **values: Any) -> Row:
        """Return a complete row with these values, and the attributes' defaults for all others."""
        made = {name: make() for name, make in self._factories.items() if name not in values}
        return {**self._blank, **made, **values, "updated_at": moment, self.options.created_at_attribute_name: moment}

    async def end_family(self, family: str, reason: str, moment: datetime, until: datetime = NEVER_ENDED) -> Row:
        """Write the record that ends a family, with at least the given expiry. If the family has already ended, its record stays as it is."""
        row = self.row(
            moment,
            jti=family_key(family),
            purpose=FAMILY,
            expires_at=max(until, self.options.kept_until(moment)),
            revoked_at=moment,
            revocation_reason=reason,
        )
        (written,) = await self.write("revoke", [row])
        return written

    async def use_up(
        self, claims: Claims, reason: str, moment: datetime, action: str, extra_data: Mapping[str, Any] | None = None
    ) -> Row | None:
        """Revoke a token that is not revoked, or return ``None`` if another call was first: promise P2 (one winner).

        action: the action name in the notification. extra_data: what its record keeps from now on, if given.
        """
        row = self.row(
            moment,
            jti=claims.jti,
            subject=claims.owner,
            purpose=claims.purpose,
            family=claims.family,
            expires_at=claims.expires_at or self.options.kept_until(moment),
            revoked_at=moment,
            revocation_reason=reason,
            extra_data=extra_data,
        )
        name = "use up" if extra_data is None else "use up, and keep"
        plan = self._upsert(name)
        result = await self.store.insert(plan, [row], {})
        _raise_first(result.failures)
        if result.outcomes[0] is Outcome.SKIPPED:
            return None
        kind = "create" if result.outcomes[0] is Outcome.INSERTED else "update"
        await notify_rows(self.runtime, action, kind, result.rows)
        return result.rows[0]

    async def whole(self, jti: str) -> tuple[Row, ...]:
        """Return the complete record of a key, if there is one."""
        plan = self.runtime.plan(("tokens", "whole"), lambda: Select(Field("jti") == Param("jti")))
        return tuple(await self.store.select(plan, {"jti": jti}))

    async def facts_of_session(self, jti: str) -> tuple[Row | None, Row]:
        """Return the extra data of a record, and those of the user's own attributes that ``store_token`` accepts and that have a value."""
        if not self.options.store_all_tokens:
            return None, {}
        rows = await self.whole(jti)
        accept = getattr(self.runtime.info.actions[self.options.store_token_action_name], "accept", ())
        own = {name: value for row in rows for name, value in row.items() if name in accept and value is not None}
        return without_successor(own.pop("extra_data", None)), own

    async def without_ended(self, subject: str, records: Sequence[Any]) -> list[Any]:
        """Return the stored tokens of a subject without those that a log-out or the end of their family revokes."""
        made = self.options.created_at_attribute_name
        facts = [TokenFacts(each.jti, subject, getattr(each, made), each.family) for each in records]
        ended = await self.ended(subject, facts)
        return [record for record in records if record.jti not in ended]

    async def ended(self, subject: str, tokens: Sequence[TokenFacts]) -> set[str]:
        """Return the jtis of those tokens of a subject that are revoked by a record other than their own in this transaction."""
        if not tokens:
            return set()
        families = sorted({token.family for token in tokens if token.family is not None})
        views: list[dict[str, Row]] = []
        for start in range(0, max(len(families), 1), _AT_ONCE):
            keys = keys_around(subject, families[start : start + _AT_ONCE])
            views += await self.views(keys, self.store.outside())
        ended = {token.jti for token in tokens if status_around(views, token) is not None}
        return ended | await self._revoked_outside([token.jti for token in tokens])

    async def _revoked_outside(self, jtis: Sequence[str]) -> set[str]:
        """Return those of the tokens that other transactions have revoked, if the open transaction may read an earlier snapshot."""
        outside = self.store.outside()
        if outside is None:
            return set()
        found: dict[str, Row] = {}
        with outside:
            for start in range(0, len(jtis), _AT_ONCE):
                found |= await self.facts(jtis[start : start + _AT_ONCE])
        return {jti for jti, record in found.items() if record["revoked_at"] is not None}

    async def status_around(self, claims: Claims, outside: Outside) -> RevocationStatus | None:
        """Return why a token is revoked apart from its own record: by a log-out, or with its family."""
        facts = self.facts_of(claims)
        keys = keys_around(facts.subject, (facts.family,))
        return status_around(await self.views(keys, outside), facts) if keys else None

    async def insert_first(self, row: Row) -> Row | None:
        """Insert a row. Return ``None`` if a row with its key exists."""
        plan = self.runtime.plan(("tokens", "insert first"), lambda: Insert(self.runtime.fields, OnConflict(("jti",), "skip")))
        result = await self.store.insert(plan, [row], {})
        _raise_first(result.failures)
        return result.rows[0] if result.rows else None

    async def replace_ending(self, new: Row, there: Row | None) -> Row | None:
        """Write a cut-off or a generation if the stored one has not changed since it was read. Return ``None`` if it has changed."""
        if there is None:
            return await self.insert_first(new)
        names = ("revoked_at", "revocation_reason", "extra_data", "updated_at")
        unchanged = (
            (Field("jti") == Param("jti")) & (Field("revoked_at") == Param("was")) & (Field("extra_data") == Param("kept"))
        )
        assignments = {name: Param(name) for name in names} | {"expires_at": Greatest((Field("expires_at"), Param("expires_at")))}
        plan = self.runtime.plan(("tokens", "later cut-off"), lambda: Update(unchanged, assignments))
        params = {"jti": new["jti"], "was": there["revoked_at"], "kept": there["extra_data"], "expires_at": new["expires_at"]}
        updated = await self.store.update(plan, {**params, **{name: new[name] for name in names}})
        return new if updated.count else None

    async def write(self, guard: str, rows: Sequence[Row]) -> tuple[Row, ...]:
        """Upsert complete rows under one of the guards, all in one transaction, and return the stored rows."""
        result = await self.store.insert(self._upsert(guard), list(rows), {})
        _raise_first(result.failures)
        return result.rows


async def again(tokens: Tokens, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run work that opens a transaction, and retry it if the store aborted it in favour of another one; nothing is written then.

    Inside a transaction of the caller it is not retried, because that transaction must be run again as a whole.
    """
    for _ in range(_TRIES):
        try:
            return await work()
        except SerializationFailure:
            if _is_inside(tokens) or ((due := ambient_context().deadline) and due.expired):
                raise
    return await work()


def _is_inside(tokens: Tokens) -> bool:
    """Return whether the caller has a transaction, also if the failure has ended it."""
    return tokens.is_given_up() or tokens.store.current_transaction() is not None


def without_successor(extra_data: Mapping[str, Any] | None) -> Row | None:
    """Return extra data without what a rotation has added to them."""
    own = {name: value for name, value in (extra_data or {}).items() if name != SUCCESSOR}
    return own or None


def _raise_first(failures: Sequence[Any]) -> None:
    if failures:
        raise failures[0].error


def tokens_of(resource: Any) -> Tokens:
    """Return the compiled statements and rules of a token resource. Raises NotATokenResource for anything else."""
    runtime = getattr(resource, "__runtime__", None)
    if isinstance(runtime, Runtime) and runtime.resource is resource and runtime.seal.is_done and "tokens" in runtime.kept:
        kept: Tokens = runtime.kept["tokens"]  # in each check: two calls fewer than below
        return kept
    try:
        runtime = runtime_of(resource)
    except InvalidArgument:  # not a resource, or an abstract one
        name = getattr(resource, "__name__", type(resource).__name__)
        raise NotATokenResource(f"{name} is no token resource; add extensions=[TokenResource].") from None
    return runtime.keep("tokens", _compile, runtime)


def _compile(runtime: Runtime) -> Tokens:
    for options in runtime.info.extensions.values():
        if isinstance(options, TokenOptions):
            return Tokens(runtime, options)
    raise NotATokenResource(f"{runtime.info.name} is no token resource; add extensions=[TokenResource].")
