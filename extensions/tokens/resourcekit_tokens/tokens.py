"""What is compiled for one token resource: its options, its statements, and the rule that tells live from revoked."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, TypeVar

import attrs

from resourcekit import utc_now
from resourcekit.errors import InvalidArgument, SerializationFailure
from resourcekit.extending import (
    Aggregate,
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
    runtime_of,
)
from resourcekit_tokens.claims import Claims
from resourcekit_tokens.errors import NotATokenResource
from resourcekit_tokens.guards import is_live, revoking, storing, using_up
from resourcekit_tokens.keyspace import FAMILY, FOR_EVER, GRACE, NEVER_ENDED, cutoff_key, family_key, grace_key, later
from resourcekit_tokens.options import TokenOptions

__all__ = ["Outside", "Standing", "Tokens", "again", "own_standing", "tokens_of"]

T = TypeVar("T")

Outside = AbstractContextManager[None] | None
"""The way out of an open transaction that looks back, as ``Store.outside`` gives it."""

_AT_ONCE = 50
"""Families that are looked up by one statement."""

_TRIES = 100
"""How often work is run again; each time, another transaction has been committed, so somebody goes forward."""

_FACTS = ("jti", "purpose", "expires_at", "revoked_at", "revocation_reason", "extra_data")


@attrs.frozen
class Standing:
    """Why a token is revoked.

    rule: ``"token"``, ``"cut-off"`` or ``"family"``. since, reason: of the record that says so, which is ``record``.
    """

    rule: str
    since: datetime
    reason: str | None
    record: Row = attrs.field(repr=False, eq=False)

    @property
    def is_use(self) -> bool:
        """Whether the token was good for one use, and has been used."""
        return self.reason in ("consumed", "rotated")


def own_standing(record: Row) -> Standing:
    """Return why a token is revoked whose own record says so."""
    return _standing("token", record)


def _standing(rule: str, record: Row) -> Standing:
    return Standing(rule, record["revoked_at"], record["revocation_reason"], record)


class Tokens:
    """The working side of a token resource, compiled once.

    store: where the records are. check_one: the shortest question there is: does a record say that this jti is revoked?
    check_is_ours: the action that answers "revoked?" is the extension's own, so functions need not go through it.
    """

    def __init__(self, runtime: Runtime, options: TokenOptions) -> None:
        self.runtime, self.options = runtime, options
        self.resource = runtime.resource
        self.store: Store = runtime.store
        is_revoked = (Field("jti") == Param("jti")) & ~Field("revoked_at").is_none()
        self.check_one = self.store.compile(Aggregate("exists", is_revoked))
        self._checks: dict[int, Plan] = {}
        name = options.revocation.is_revoked_action_name
        self.check_is_ours = runtime.info.actions[name].origin.declared_by == "TokenResource"

    def _select_facts(self, keys: int) -> Plan:
        places = tuple(Param(f"k{position}") for position in range(keys))
        condition: Expression = Field("jti") == places[0] if keys == 1 else In(Field("jti"), Value(places))
        return self.store.compile(Select(condition, fields=_FACTS))

    def _upsert(self, name: str, assignments: Mapping[str, Expression], where: Expression | None = None) -> Plan:
        conflict = OnConflict(("jti",), "update", dict(assignments), where)
        return self.runtime.plan(("tokens", name), lambda: Insert(self.runtime.fields, conflict))

    async def facts(self, keys: Sequence[str]) -> dict[str, Row]:
        """Return the records of these keys, by key, in one round trip."""
        plan = self._checks.get(len(keys))
        if plan is None:
            plan = self._checks[len(keys)] = self._select_facts(len(keys))
        rows = await self.store.select(plan, {f"k{position}": key for position, key in enumerate(keys)})
        return {row["jti"]: row for row in rows}

    async def is_recorded(self, jti: str) -> bool:
        """Tell whether a record says that this jti is revoked; the fewest steps that there are."""
        if await self.store.aggregate(self.check_one, {"jti": jti}) is not False:
            return True
        outside = self.store.outside()
        if outside is None:
            return False
        with outside:
            return await self.store.aggregate(self.check_one, {"jti": jti}) is not False

    async def views(self, keys: Sequence[str], outside: Outside) -> list[dict[str, Row]]:
        """Return the records of these keys as they stand in the open transaction, if any, and as others have committed them.

        The second view is there only where the first one may be of an earlier moment: what a revocation says, which was
        acknowledged since, must not be missed (P1). outside: the way out of the transaction, if there is one.
        """
        views = [await self.facts(keys)]
        if outside is not None:
            with outside:
                views.append(await self.facts(keys))
        return views

    async def own_view(self, jti: str, outside: Outside) -> Row:
        """Return the record of a token that is known to be used: the one that says so."""
        records = [rows[jti] for rows in await self.views((jti,), outside) if jti in rows]
        return next((record for record in records if record["revoked_at"] is not None), records[0])

    async def standing(self, jti: str, subject: str | None, issued_at: datetime | None, family: str | None) -> Standing | None:
        """Return why a token is revoked, ``None`` if it is not: record, cut-off and family in one round trip."""
        keys = [jti]
        if subject is not None:
            keys.append(cutoff_key(subject))
        if family is not None:
            keys.append(family_key(family))
        for rows in await self.views(keys, self.store.outside()):
            own = rows.get(jti)
            if own is not None and own["revoked_at"] is not None:
                return own_standing(own)
            standing = _by_cutoff(rows, jti, subject, issued_at, family) or _by_family(rows, family)
            if standing is not None:
                return standing
        return None

    async def standing_of(self, claims: Claims) -> Standing | None:
        """Do the same for a token's claims; what ends the token stays until the token has expired (P1)."""
        standing = await self.standing(claims.jti, claims.subject, claims.issued_at, claims.family)
        if standing is not None and standing.record["expires_at"] < (claims.expires_at or FOR_EVER):
            await self._prolong(standing.record, claims.expires_at or FOR_EVER)
        return standing

    async def _prolong(self, record: Row, expires_at: datetime) -> None:
        """Keep a record that ends a token which outlives it, so that no sweep brings the token back.

        It happens where a jti has two expiries, where a token without ``iat`` meets a cut-off, and where a token was
        issued into an ended family. An upsert, not an update: a sweep may just have taken the record away.
        """
        await self.write("revoke", [self.row(utc_now(), **{**record, "expires_at": expires_at})])

    def row(self, moment: datetime, **values: Any) -> Row:
        """Return a complete row with these values, and the attributes' defaults for all others."""
        attributes = self.runtime.info.attributes
        row = {name: values[name] if name in values else attribute.default_value() for name, attribute in attributes.items()}
        return {**row, "updated_at": moment, self.options.created_at_attribute_name: moment}

    async def end_family(self, family: str, reason: str, moment: datetime) -> None:
        """Write the record that ends a family; a family that ended before stays as it is."""
        row = self.row(
            moment,
            jti=family_key(family),
            purpose=FAMILY,
            expires_at=later(moment, self.options.longest_life),
            revoked_at=moment,
            revocation_reason=reason,
        )
        await self.write("revoke", [row])

    async def use_up(self, claims: Claims, reason: str, moment: datetime) -> Row | None:
        """Revoke a token's record if it is live, or write one that is revoked; ``None`` if somebody else was first (P2)."""
        row = self.row(
            moment,
            jti=claims.jti,
            subject=claims.subject,
            purpose=claims.purpose,
            family=claims.family,
            expires_at=claims.expires_at or later(moment, self.options.longest_life),
            revoked_at=moment,
            revocation_reason=reason,
        )
        plan = self._upsert("use up", using_up(), is_live())
        result = await self.store.insert(plan, [row], {})
        _raise_first(result.failures)
        return None if result.outcomes[0] is Outcome.SKIPPED else result.rows[0]

    async def facts_of_session(self, jti: str) -> tuple[Row | None, Row]:
        """Return the extra data of a record, and the user's own attributes that ``store_token`` takes, as far as given."""
        if not self.options.store_all_tokens:
            return None, {}
        plan = self.runtime.plan(("tokens", "whole"), lambda: Select(Field("jti") == Param("jti")))
        rows = await self.store.select(plan, {"jti": jti})
        accept = getattr(self.runtime.info.actions[self.options.store_token_action_name], "accept", ())
        own = {name: value for row in rows for name, value in row.items() if name in accept and value is not None}
        return own.pop("extra_data", None), own

    async def without_ended(self, subject: str, records: Sequence[Any]) -> list[Any]:
        """Leave out those stored tokens of a subject that a cut-off or the end of their family has ended."""
        if not records:
            return []
        families = sorted({record.family for record in records if record.family is not None})
        rows: list[dict[str, Row]] = []
        for start in range(0, max(len(families), 1), _AT_ONCE):
            keys = [cutoff_key(subject), *map(family_key, families[start : start + _AT_ONCE])]
            rows += await self.views(keys, self.store.outside())
        made = self.options.created_at_attribute_name
        return [
            record
            for record in records
            if not any(
                _by_cutoff(each, record.jti, subject, getattr(record, made), record.family) or _by_family(each, record.family)
                for each in rows
            )
        ]

    async def standing_around(self, claims: Claims, outside: Outside) -> Standing | None:
        """Return why a token is revoked besides its own record: by a cut-off, or with its family."""
        keys = [
            key
            for key in (
                None if claims.subject is None else cutoff_key(claims.subject),
                None if claims.family is None else family_key(claims.family),
            )
            if key is not None
        ]
        for rows in await self.views(keys, outside) if keys else ():
            by_cutoff = _by_cutoff(rows, claims.jti, claims.subject, claims.issued_at, claims.family)
            standing = by_cutoff or _by_family(rows, claims.family)
            if standing is not None:
                return standing
        return None

    async def take_grace(self, used: Row, moment: datetime) -> bool:
        """Take the one repetition of a rotation; false where it was taken before.

        By a record of its own: the reason of the used token's record stays what it is (P6).
        """
        row = self.row(moment, jti=grace_key(used["jti"]), purpose=GRACE, expires_at=used["expires_at"], revoked_at=moment)
        return await self._insert_first(row) is not None

    async def _insert_first(self, row: Row) -> Row | None:
        """Insert a row; ``None`` where one with its key is there."""
        plan = self.runtime.plan(("tokens", "insert first"), lambda: Insert(self.runtime.fields, OnConflict(("jti",), "skip")))
        result = await self.store.insert(plan, [row], {})
        _raise_first(result.failures)
        return result.rows[0] if result.rows else None

    async def replace_cutoff(self, new: Row, there: Row | None) -> Row | None:
        """Write a cut-off if the one that was read still stands as it was; ``None`` where it does not."""
        if there is None:
            return await self._insert_first(new)
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
        """Upsert complete rows under one of the guards, all in one transaction, and return them as they stand."""
        assignments = {
            "revoke": lambda: revoking(keep_expiry=False),
            "revoke by jti": lambda: revoking(keep_expiry=True),
            "store": lambda: storing(replace_extra=False),
        }[guard]()
        result = await self.store.insert(self._upsert(guard, assignments), list(rows), {})
        _raise_first(result.failures)
        return result.rows


async def again(tokens: Tokens, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run work that opens a transaction, again where the store gave it up in favour of another one.

    Not inside a transaction of the caller's: that one would have to be run again as a whole. ``work`` has written
    nothing when it is repeated.
    """
    for _ in range(_TRIES):
        try:
            return await work()
        except SerializationFailure:
            if tokens.store.current_transaction() is not None or ambient_context().remaining(1.0) <= 0:
                raise
    return await work()


def _raise_first(failures: Sequence[Any]) -> None:
    if failures:
        raise failures[0].error


def _by_cutoff(
    rows: Mapping[str, Row], jti: str, subject: str | None, issued_at: datetime | None, family: str | None
) -> Standing | None:
    row = None if subject is None else rows.get(cutoff_key(subject))
    if row is None or row["revoked_at"] is None:
        return None
    if issued_at is not None and issued_at >= row["revoked_at"]:
        return None
    kept: Mapping[str, str] = (row["extra_data"] or {}).get("keep", {})
    for entry in (jti, family or jti):
        since = datetime.fromisoformat(kept[entry]) if entry in kept else None
        # A kept session lives unless an earlier cut-off, which did not keep it, had ended it already.
        if since == NEVER_ENDED or (since is not None and issued_at is not None and issued_at >= since):
            return None
    return _standing("cut-off", row)


def _by_family(rows: Mapping[str, Row], family: str | None) -> Standing | None:
    row = None if family is None else rows.get(family_key(family))
    return None if row is None or row["revoked_at"] is None else _standing("family", row)


def tokens_of(resource: Any) -> Tokens:
    """Return the working side of a token resource. Raises NotATokenResource for anything else."""
    try:
        runtime = runtime_of(resource)
    except InvalidArgument:  # no resource at all, or an abstract one
        name = getattr(resource, "__name__", type(resource).__name__)
        raise NotATokenResource(f"{name} is no token resource; add extensions=[TokenResource].") from None
    return runtime.keep("tokens", _compile, runtime)


def _compile(runtime: Runtime) -> Tokens:
    for options in runtime.info.extensions.values():
        if isinstance(options, TokenOptions):
            return Tokens(runtime, options)
    raise NotATokenResource(f"{runtime.info.name} is no token resource; add extensions=[TokenResource].")
