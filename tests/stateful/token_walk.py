"""A random walk over the life of tokens: nothing leads from "revoked" back to "live", on any layer.

Every step is done on Memory and on the layers beside it; every answer must be the same. What was once revoked stays revoked (promise P1), a
token is used at most once (promise P2), facts only grow (promise P6), and nothing is removed early (promise P7).
"""

from __future__ import annotations

import contextlib
import itertools
import os
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt as pyjwt
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, precondition, rule

from resourcekit import Domain, query, transaction, utc_now
from resourcekit.data_layers import SQL, Memory, Redis
from resourcekit.errors import Invalid
from resourcekit.testing import ManualClock
from resourcekit_tokens import JWT, RevokedJti, TokenRecord, TokenResource
from resourcekit_tokens.errors import InvalidToken
from tests.support import valkey
from tests.support.databases import shared

SECRET = "a-secret-for-walks-that-is-long-enough-0123456789"
START = datetime(2030, 1, 1, tzinfo=UTC)
SUBJECTS = ["alice", "bob"]
FAMILIES = [None, "f1", "f2"]
LIFE = 8
"""Hours that a token may live, where keys are known."""

MARGIN = timedelta(seconds=90)


def kept(kind: str, folder: str) -> str:
    """Return where an example keeps its tokens, empty: a file, a table of a database of the run, or a tag."""
    if kind == "sqlite":
        return f"sqlite:///{folder}/walk.db"
    if kind == "valkey":
        if valkey.binary() is None:
            (pytest.fail if os.environ.get("CI") else pytest.skip)("a Valkey server is missing")
        return f"{valkey.shared().url}#walk-{next(_examples)}"
    place = shared(kind)
    with contextlib.suppress(Exception):  # the first example makes the table
        place.run("DELETE FROM walk")
    return place.url


def layer(place: str) -> Any:
    """Return the data layer of such a place."""
    url, _, tag = place.partition("#")
    return Redis(url, tag=tag, timeout=timedelta(seconds=30)) if tag else SQL(url, table="walk")


class _Undone(Exception):  # no error: the way out of a transaction
    """Raised to roll a transaction back."""


_examples = itertools.count()


class TokenWalk(RuleBasedStateMachine):
    """Without keys: the caller vouches for whatever is forged, and nothing bounds the life of a token.

    kinds: the layers that Memory is the model of.
    """

    tokens = Bundle("tokens")
    keyed = False
    kinds: tuple[str, ...] = ("sqlite",)

    @initialize()
    def begin(self) -> None:
        """Declare one resource on each layer, and stop the clock."""
        self.clock = ManualClock(START)
        self.clock.__enter__()
        self.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.domains: list[Domain] = []
        self.places = [kept(kind, self.folder.name) for kind in self.kinds]
        self.memory = self.declare(Memory(), "OnMemory")
        self.open()
        self.known: list[dict[str, Any]] = []
        self.made: list[str] = []
        self.dead: set[str] = set()
        self.used: set[str] = set()
        self.facts: dict[str, Any] = {}

    def declare(self, layer: Any, name: str) -> Any:
        """Declare the resource; one that is declared again takes the place of the former one."""
        domain = Domain("walk")
        self.domains.append(domain)
        options: dict[str, Any] = {"leeway": timedelta(seconds=30), "clock_skew": (MARGIN - timedelta(seconds=30)) / 5}
        if self.keyed:
            options |= {"jwt": JWT(SECRET, default_purpose="refresh"), "max_lifetime": timedelta(hours=LIFE)}
        body = {"__module__": __name__, "__qualname__": name}
        made: Any = type(TokenRecord)(
            name, (TokenRecord,), body, domain=domain, data_layer=layer, extensions=[TokenResource(**options)]
        )
        domain.create_storage()
        return made

    def open(self) -> None:
        """Open all stores but Memory, as a process does that starts."""
        others = [self.declare(layer(place), f"On{kind}") for kind, place in zip(self.kinds, self.places, strict=True)]
        self.resources = [self.memory, *others]

    def teardown(self) -> None:
        """Let the clock and the file go."""
        if hasattr(self, "clock"):
            self.shut()
            self.clock.__exit__(None, None, None)
            self.folder.cleanup()

    def shut(self) -> None:
        """Close the connections of all resources."""
        for resource in self.resources[1:]:
            with contextlib.suppress(StopIteration):
                resource.__runtime__.store.close().send(None)

    def agree(self, received: bool, work: Callable[[Any], bool]) -> None:
        """Require the same answer of each layer."""
        assert dict.fromkeys(("memory", *self.kinds), received) == dict(
            zip(("memory", *self.kinds), map(work, self.resources), strict=True)
        )

    def everywhere(self, work: Callable[[Any], Any]) -> Any:
        """Do the same on each layer, require the same outcome, and return it; ``None`` for an error."""
        outcomes = []
        for resource in self.resources:
            try:
                outcomes.append(("did", work(resource)))
            except (InvalidToken, Invalid) as error:
                outcomes.append((type(error).__name__, None))

        for kind, outcome in zip(self.kinds, outcomes[1:], strict=True):
            assert outcomes[0] == outcome, (kind, outcomes)
        return outcomes[0][1] if outcomes[0][0] == "did" else None

    # Tokens

    def signed(self, claims: dict[str, Any]) -> str:
        """Sign claims as the application does."""
        return pyjwt.encode({name: value for name, value in claims.items() if value is not None}, SECRET, "HS256")

    @rule(
        target=tokens,
        subject=st.sampled_from(SUBJECTS),
        family=st.sampled_from(FAMILIES),
        minutes=st.integers(1, LIFE * 60) | st.none(),
        dated=st.booleans(),
    )
    def issue(self, subject: str, family: str | None, minutes: int | None, dated: bool) -> str:
        """A new token of a subject; some have a family, some no ``iat``, some no ``exp``."""
        now = utc_now()
        claims = {
            "jti": f"jti-{len(self.known)}",
            "sub": subject,
            "fam": family,
            "iat": now.timestamp() if dated else None,
            "exp": None if minutes is None else (now + timedelta(minutes=minutes)).timestamp(),
        }
        self.known.append(claims)
        self.made.append(self.signed(claims))
        return self.made[-1]

    @precondition(lambda self: self.known)
    @rule(
        target=tokens, which=st.integers(0, 1000), minutes=st.integers(1, LIFE * 60), subject=st.sampled_from([None, *SUBJECTS])
    )
    def forge_twin(self, which: int, minutes: int, subject: str | None) -> str:
        """A token with the jti of another one, and another expiry, perhaps another subject."""
        claims = self.known[which % len(self.known)]
        began = datetime.fromtimestamp(claims["iat"], UTC) if claims["iat"] else utc_now()
        twin = {**claims, "exp": (began + timedelta(minutes=minutes)).timestamp(), "sub": subject or claims["sub"]}
        self.made.append(self.signed(twin))
        return self.made[-1]

    # What ends tokens

    @rule(token=tokens, family=st.sampled_from([None, False]), reason=st.sampled_from([None, "stolen"]))
    def revoke(self, token: str, family: bool | None, reason: str | None) -> None:
        """Revoke, with or without the family."""
        if self.everywhere(lambda resource: resource.revoke(token, family=family, reason=reason) is not None):
            self.must_be_dead(token)

    @precondition(lambda self: self.known)
    @rule(which=st.integers(0, 1000), minutes=st.integers(1, 60))
    def revoke_a_twin(self, which: int, minutes: int) -> None:
        """Revoke a twin that expires soon, and look at the token itself: the twin's record must last as long as the token."""
        claims = self.known[which % len(self.known)]
        twin = self.signed({**claims, "exp": (utc_now() + timedelta(minutes=minutes)).timestamp()})
        if self.everywhere(lambda resource: resource.revoke(twin, family=False) is not None):
            self.must_be_dead(twin)
            self.look(self.signed(claims))

    @precondition(lambda self: self.known)
    @rule(which=st.integers(0, 1000), minutes=st.none() | st.integers(-100, 600))
    def revoke_jti(self, which: int, minutes: int | None) -> None:
        """Revoke by jti, the expiry known or not."""
        jti = self.known[which % len(self.known)]["jti"]
        until = None if minutes is None else utc_now() + timedelta(minutes=minutes)
        self.everywhere(lambda resource: resource.revoke_jti(jti, expires_at=until) is not None)

        self.agree(True, lambda resource: resource.jti_revoked(jti))

    @precondition(lambda self: self.known)
    @rule(which=st.integers(0, 1000))
    def revoke_jtis(self, which: int) -> None:
        """Import revocations."""
        rows = [RevokedJti(claims["jti"], None, "alice") for claims in self.known[which % len(self.known) :][:3]]
        self.everywhere(lambda resource: resource.revoke_jtis(rows))

    @rule(
        subject=st.sampled_from(SUBJECTS),
        keep=st.lists(st.sampled_from(["f1", "f2", "jti-0", "jti-1"]), max_size=2, unique=True),
        back=st.integers(-30, 200),
    )
    def log_out_everywhere(self, subject: str, keep: list[str], back: int) -> None:
        """Log out, some sessions kept, at some moment near now."""
        moment = utc_now() - timedelta(minutes=back)
        self.everywhere(lambda resource: resource.log_out_everywhere(subject, keep=keep, issued_before=moment))

    @rule(subject=st.sampled_from(SUBJECTS), purposes=st.none() | st.just(["confirm"]))
    def revoke_all_stored(self, subject: str, purposes: list[str] | None) -> None:
        """Revoke what is stored of a subject; both layers count the same."""
        self.everywhere(lambda resource: resource.revoke_all_stored_for_subject(subject, purposes=purposes))

    # What must not revive

    @rule(token=tokens, purpose=st.sampled_from([None, "user", "confirm"]))
    def store(self, token: str, purpose: str | None) -> None:
        """Store what the token says."""
        self.everywhere(lambda resource: resource.store_token(token, purpose=purpose).expires_at)

    @rule(token=tokens, value=st.integers(0, 3))
    def store_changes(self, token: str, value: int) -> None:
        """Store pending changes."""
        self.everywhere(lambda resource: resource.store_confirmation_changes(token, {"value": value}).expires_at)

    @rule(token=tokens, word=st.sampled_from(["consume", "confirm", "rotate"]), undo=st.booleans())
    def use_up(self, token: str, word: str, undo: bool) -> None:
        """Use a token up, perhaps in a transaction that is rolled back: a dead one never, a live one once."""
        outcome = self.everywhere(lambda resource: self.use(resource, token, word, undo))

        assert outcome is None or (token not in self.dead and outcome[0] not in self.used)
        if outcome is not None and not undo:
            self.used.add(outcome[0])
            self.must_be_dead(token)

    def use(self, resource: Any, token: str, word: str, undo: bool) -> Any:
        """Use a token up on one layer, and return what can be compared."""
        found = None
        with contextlib.suppress(_Undone), transaction(resource):
            match word:
                case "consume":
                    found = (resource.consume(token, purpose="refresh").jti, None)
                case "confirm":
                    confirmed = resource.confirm(token, purpose="refresh")
                    found = (confirmed.claims.jti, dict(confirmed.changes))
                case _:
                    resource.rotate(token)
                    found = (pyjwt.decode(token, options={"verify_signature": False})["jti"], None)
            if undo:
                raise _Undone
        return found

    # Time, sweeps, restarts

    @rule(limit=st.none() | st.integers(1, 3), dry=st.booleans())
    def expunge(self, limit: int | None, dry: bool) -> None:
        """Sweep; both layers remove the same number, unless a limit stops them at their own batches."""
        if limit is None:
            self.everywhere(lambda resource: resource.expunge_expired(dry_run=dry).removed)
            return
        for resource in self.resources:
            resource.expunge_expired(limit=limit, batch_size=2)
        self.everywhere(lambda resource: resource.expunge_expired().removed >= 0)

    @rule(minutes=st.sampled_from([1, 10, 60, 150, 240, 600]), sweeps=st.booleans())
    def time_passes(self, minutes: int, sweeps: bool) -> None:
        """The clock moves forward, and perhaps the sweep is due."""
        self.clock.advance(minutes=minutes)
        if sweeps:
            self.everywhere(lambda resource: resource.expunge_expired().removed)

    @precondition(lambda self: self.known)
    @rule(which=st.integers(0, 1000), margin=st.sampled_from([timedelta(0), MARGIN]), off=st.integers(-1, 1))
    def to_the_edge(self, which: int, margin: timedelta, off: int) -> None:
        """The clock moves to the microsecond around an expiry, or around the end of all tolerance."""
        expiry = self.known[which % len(self.known)]["exp"]
        if expiry is not None:
            moment = datetime.fromtimestamp(expiry, UTC) + margin + timedelta(microseconds=off)
            if moment > utc_now():
                self.clock.set(moment)

    @rule()
    def restart(self) -> None:
        """Another process opens the stores."""
        self.shut()
        self.open()

    # What must hold

    @rule(token=tokens)
    def look_at(self, token: str) -> None:
        """Look at one token."""
        self.look(token)

    def look(self, token: str) -> None:
        """Ask in every way: layers agree, and what a record has ended is dead from now on."""
        verdict = self.everywhere(lambda resource: resource.explain(token=token))
        revoked = self.everywhere(lambda resource: resource.token_revoked(token))
        verified = self.everywhere(lambda resource: resource.verify(token, purpose="refresh").jti)

        assert verdict.revoked is revoked
        assert not (revoked and verified)
        if verdict.rule in ("token", "cut-off", "family", "expired"):
            self.must_be_dead(token)

    @rule()
    def look_at_all(self) -> None:
        """Look at every token that there is."""
        for token in self.made:
            self.look(token)

    @rule()
    def list_all(self) -> None:
        """Both layers list the same, newest first, and nothing of the extension's own."""
        for work in (
            lambda resource: sorted(record.jti for record in query(resource).all()),
            lambda resource: sorted(record.jti for record in resource.read_expired()),
            lambda resource: [record.jti for record in resource.tokens_for_subject("alice")],
        ):
            assert not any(jti.startswith("rk:") for jti in self.everywhere(work))

    def must_be_dead(self, token: str) -> None:
        """Note an acknowledged revocation."""
        self.agree(True, lambda resource: resource.token_revoked(token))
        self.dead.add(token)

    @invariant()
    def stays_dead(self) -> None:
        """A revoked token stays revoked."""
        for token in getattr(self, "dead", ()):
            self.agree(True, lambda resource, token=token: resource.token_revoked(token))  # type: ignore[misc]  # bound now

    @invariant()
    def facts_only_grow(self) -> None:
        """Of a record that is there: first revocation, latest expiry, and what a stored token says of itself."""
        for claims in getattr(self, "known", ()):
            jti = claims["jti"]
            now = self.everywhere(lambda resource, jti=jti: _facts(resource.get_token(jti=jti)))
            before = self.facts.get(jti)
            if now is not None and before is not None:
                assert before["revoked"] in ((None, None), now["revoked"])
                assert before["expires_at"] <= now["expires_at"]
                assert before["said"] in (None, now["said"])
            self.facts[jti] = now


def _facts(record: Any) -> dict[str, Any] | None:
    """Return what may only grow of a record; ``said`` once the token itself was stored."""
    if record is None:
        return None
    stored = record.purpose != "revocation" and record.subject is not None and record.family is not None
    return {
        "revoked": (record.revoked_at, record.revocation_reason),
        "expires_at": record.expires_at,
        "said": (record.subject, record.purpose, record.family) if stored else None,
        "extra": {name: _shared(value) for name, value in (record.extra_data or {}).items()},
    }


def _shared(fact: Any) -> Any:
    """Return what is the same on every layer: the jtis of the tokens that a rotation issued are drawn at random."""
    drawn = ("access", "refresh")
    return {name: value for name, value in fact.items() if name not in drawn} if isinstance(fact, dict) else fact


class KeyedTokenWalk(TokenWalk):
    """With keys: tokens verify and are used up, and eight hours are the longest life."""

    keyed = True
