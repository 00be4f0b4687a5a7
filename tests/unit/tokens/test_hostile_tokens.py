"""Hostile tokens against every function that takes one, with keys and without, on each layer (P3, P5, P9)."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from forge import ALGORITHMS, START, algorithm_of, claims, private_key, signed
from hostile_corpus import GARBAGE, MARK, VALID, Hostile
from hostile_signatures import of, wrongly_signed

from resourcekit import Domain
from resourcekit.data_layers import SQL, Memory
from resourcekit.extending import Field, Param, Select, drive
from resourcekit.testing import ManualClock
from resourcekit_tokens import JWT, SigningKey, TokenRecord, TokenResource
from resourcekit_tokens.errors import BadSignature, InvalidToken
from resourcekit_tokens.tokens import tokens_of

KEYS = [SigningKey(kid=name, algorithm=algorithm_of(name), key=private_key(name)) for name in ALGORITHMS]
TAKERS: dict[str, Callable[[Any, Any], Any]] = {
    "verify": lambda resource, token: resource.verify(token),
    "consume": lambda resource, token: resource.consume(token, purpose="user"),
    "confirm": lambda resource, token: resource.confirm(token, purpose="user"),
    "rotate": lambda resource, token: resource.rotate(token),
    "revoke": lambda resource, token: resource.revoke(token, reason="stolen"),
    "revoke, its family too": lambda resource, token: resource.revoke(token, family=True),
    "store": lambda resource, token: resource.store_token(token, extra_data={"a": 1}),
    "store changes": lambda resource, token: resource.store_confirmation_changes(token, {"a": 1}, purpose="user"),
}
named = pytest.mark.parametrize


@pytest.fixture(scope="module")
def resources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Four token resources: with keys and without, in memory and in a file; each has one record of another subject."""
    domain, made = Domain("hostile"), {}
    for where in ("memory", "sqlite"):
        for keyed in (True, False):
            url = f"sqlite:///{tmp_path_factory.getbasetemp()}/hostile-{keyed}.db"
            options = TokenResource(jwt=JWT(KEYS)) if keyed else TokenResource()

            class Token(TokenRecord, domain=domain, data_layer=Memory() if where == "memory" else SQL(url), extensions=[options]):
                """A token resource under attack."""

            Token.__qualname__ = f"Token on {where}, {'keys' if keyed else 'no keys'}"
            made[Token.__qualname__] = Token
    domain.create_storage()
    with ManualClock(START):
        for resource in made.values():
            resource.store_token(signed(claims(jti="bystander"), head={"alg": "HS256", "kid": "HS256"}))
    return made


@pytest.fixture(autouse=True)
def clock() -> Iterator[ManualClock]:
    """All takes place within the hour in which the tokens are valid."""
    with ManualClock(START) as moved:
        yield moved


def keyed(resources: dict[str, Any]) -> list[Any]:
    """Those that know keys."""
    return [resource for name, resource in resources.items() if "no keys" not in name]


def rows(resource: Any) -> list[Any]:
    """Every row of a resource's table, cut-offs and families too."""
    store = tokens_of(resource).store
    plan = store.compile(Select(Field("jti") != Param("none")))
    return sorted((dict(row) for row in drive(store.select(plan, {"none": ""}))), key=lambda row: str(row["jti"]))


def refusals(resource: Any, token: Any) -> dict[str, InvalidToken]:
    """What each function raises; all of them must."""
    raised: dict[str, InvalidToken] = {}
    for name, take in TAKERS.items():
        with pytest.raises(InvalidToken) as caught:
            take(resource, token)
        raised[name] = caught.value
    return raised


def texts(error: BaseException | None) -> str:
    """All that an error could show: messages, arguments, notes, causes, contexts, as a log or a tracker would print them."""
    if error is None:
        return ""
    shown = [str(error), repr(error), *map(repr, error.args), *getattr(error, "__notes__", []), repr(vars(error))]
    shown += traceback.format_exception(error)
    return "\n".join([*shown, texts(error.__cause__), texts(error.__context__)])


def pieces(token: Any) -> list[str]:
    """What must not be shown: MARK, the token, and each of its parts that is long enough to be recognised."""
    whole = token.decode("latin-1") if isinstance(token, bytes | bytearray) else token if isinstance(token, str) else ""
    return [MARK, *(part for part in [whole, *whole.split(".")] if len(part) >= 12)]


def is_quiet(shown: str, token: Any) -> bool:
    """Whether no piece of the token is in the text."""
    return not any(piece in shown for piece in pieces(token))


def test_the_tokens_that_the_corpus_starts_from_are_good(resources):
    """Else everything below would be refused for the wrong reason."""
    for resource in keyed(resources):
        assert {f"{MARK}-sub"} == {resource.verify(token).subject for token in (VALID, *map(of, ALGORITHMS))}
        assert resource.token_revoked(VALID) is False


@named("hostile", GARBAGE, ids=lambda hostile: hostile.name)
class TestGarbage:
    """What no signature makes a token."""

    def test_every_function_refuses_it(self, resources: dict[str, Any], hostile: Hostile, caplog: pytest.LogCaptureFixture):
        """InvalidToken that blames the claim, keys or no keys; nothing is written, and no part of the token is shown."""
        caplog.set_level(logging.DEBUG)
        for resource in resources.values():
            before = rows(resource)
            raised = refusals(resource, hostile.token)
            # Without keys the first four say that they can verify nothing at all.
            read = list(raised.values())[0 if resource in keyed(resources) else 4 :]

            assert {hostile.claim} == {error.claim for error in read}, hostile.why
            assert before == rows(resource)
            assert all(is_quiet(texts(error), hostile.token) for error in raised.values())
        assert all(is_quiet(f"{record.getMessage()} {record.args!r}", hostile.token) for record in caplog.records)

    def test_checks_answer_true(self, resources: dict[str, Any], hostile: Hostile):
        """A real bool, and the verdict names the rule."""
        for resource in resources.values():
            assert resource.token_revoked(hostile.token) is True, hostile.why
            if hostile.token is not None:
                verdict = resource.explain(token=hostile.token)
                assert (True, "invalid") == (verdict.revoked, verdict.rule)
                assert is_quiet(str(verdict), hostile.token)


class TestWrongSignatures:
    """Well-formed tokens that no trusted issuer signed."""

    @named("hostile", wrongly_signed(), ids=lambda hostile: hostile.name)
    def test_every_function_refuses_it(self, resources, hostile):
        """BadSignature that blames the parameter; nothing is written, and no part of the token is shown."""
        for resource in keyed(resources):
            before = rows(resource)
            raised = refusals(resource, hostile.token)

            assert {BadSignature} == {type(error) for error in raised.values()}
            assert {hostile.claim} == {error.claim for error in raised.values()}
            assert all(is_quiet(texts(error), hostile.token) for error in raised.values())
            assert before == rows(resource)
            assert resource.token_revoked(hostile.token) is True

    def test_without_keys_the_caller_vouches(self, resources):
        """The same tokens are revoked and stored where no keys are known; still none verifies."""
        token = next(hostile.token for hostile in wrongly_signed() if hostile.name == "HS256: by another key")
        for name, resource in resources.items():
            if "no keys" in name:
                assert resource.token_revoked(token) is False
                assert f"{MARK}-jti" == resource.store_token(token).jti
                with pytest.raises(InvalidToken, match="has no keys"):
                    resource.verify(token)


def test_in_the_other_call_mode_too(resources):
    """The async functions give the same answers, for the whole corpus."""

    async def assault() -> set[object]:
        answers: set[object] = set()
        for resource in resources.values():
            for hostile in GARBAGE:
                answers.add(await resource.token_revoked.aio(hostile.token))
                for taker in (resource.verify, resource.revoke, resource.store_token):
                    with pytest.raises(InvalidToken):
                        await taker.aio(hostile.token)
            await tokens_of(resource).store.close()
        return answers

    assert {True} == asyncio.run(assault())


class Liar(str):
    """Text that answers as it likes."""

    __slots__ = ()

    def isascii(self) -> bool:
        """Claim to be plain."""
        return True

    def __len__(self) -> int:
        """Claim to be short."""
        return 1

    def encode(self, *_: object) -> bytes:
        """Become another token."""
        return VALID.encode()


def test_text_of_a_class_of_its_own_is_read_as_the_text_it_is(resources):
    """A subclass of str cannot pass a check with one answer and be used with another."""
    for resource in keyed(resources):
        assert f"{MARK}-sub" == resource.verify(Liar(VALID)).subject
        for text in ("a" * 20_000, "not a token", f"{VALID}\u00e9"):
            refusals(resource, Liar(text))
            assert resource.token_revoked(Liar(text)) is True


def test_garbage_is_refused_by_get_token_too(resources):
    """It writes nothing, and still reads no token without a valid signature."""
    for resource in resources.values():
        for hostile in GARBAGE:
            if hostile.token is not None:
                with pytest.raises(InvalidToken):
                    resource.get_token(token=hostile.token)


def test_a_garbage_answer_is_no_failure(resources, caplog):
    """Garbage is an answer that can be had: nothing is logged as if the store had failed."""
    for resource in resources.values():
        for hostile in GARBAGE:
            resource.token_revoked(hostile.token)

    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_claims_of_a_hostile_token_are_not_shown(resources):
    """What is read of a good token hides its values as well."""
    for resource in keyed(resources):
        assert is_quiet(repr(resource.verify(VALID)), VALID)
        assert is_quiet(repr(resource.issue(f"{MARK}-sub", claims={"n": MARK})), VALID)
