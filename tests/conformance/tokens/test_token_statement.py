"""How a token resource may be stated: its extension, its data layer, its neighbours in a domain."""

from __future__ import annotations

import warnings

import pytest
from call_styles import declared

from resourcekit import Attr, Domain, Resource, attribute, create, identity, info, query, transaction
from resourcekit.data_layers import SQL, Memory
from resourcekit.errors import DeclarationError, Invalid, UnsafeStoreWarning
from resourcekit_tokens import TokenRecord, TokenResource, revoke, store_token, token_revoked
from resourcekit_tokens.errors import NotATokenResource


def test_a_token_resource_without_data_layer_warns_once_with_the_cure():
    """Memory forgets; naming it accepts that."""
    with pytest.warns(UnsafeStoreWarning, match=r"data_layer=SQL\(") as caught:
        type(Resource)("Forgetful", (Resource,), {"__module__": __name__}, domain=Domain("warned"), extensions=[TokenResource])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        declared(Memory(), "resource")

    assert 1 == len(caught)


def test_the_extension_may_be_a_class_an_instance_or_a_name(forge):
    """``TokenResource``, ``TokenResource(...)`` and ``"tokens"`` are the same extension; twice is an error."""
    for given in (TokenResource, TokenResource(), "tokens"):

        class Token(Resource, domain=Domain("forms"), data_layer=Memory(), extensions=[given]):
            """Tokens."""

        assert Token.token_revoked(forge()) is False
    with pytest.raises(DeclarationError):

        class Twice(Resource, domain=Domain("twice"), data_layer=Memory(), extensions=[TokenResource, TokenResource()]):
            """Tokens."""


def test_module_functions_take_token_resources_only(forge):
    """Another resource, or no resource at all, is NotATokenResource, also for the checks."""

    class Ticket(Resource, domain=Domain("other"), data_layer=Memory()):
        id: Attr[int] = attribute(primary_key=True)

    for wrong in (Ticket, Ticket(id=1), object, object(), None, "Token"):
        for use in (revoke, store_token, token_revoked):
            with pytest.raises(NotATokenResource):
                use(wrong, forge())


def test_token_and_user_share_a_transaction(tmp_path, forge, clock):
    """Tokens and other resources of one store are written together or not at all."""
    domain = Domain("together")
    url = f"sqlite:///{tmp_path}/app.db"

    class User(Resource, domain=domain, data_layer=SQL(url)):
        id: Attr[int] = attribute(primary_key=True)
        name: Attr[str] = attribute()
        by_name = identity("name")
        sign_up = create(accept=["id", "name"])

    class Token(TokenRecord, domain=domain, data_layer=SQL(url), extensions=[TokenResource]):
        """Tokens."""

    domain.create_storage()
    with pytest.raises(Invalid), transaction(User, Token):
        User.sign_up(id=1, name="alice")
        Token.revoke(forge("one"))
        User.sign_up(id=2, name="alice")

    assert (0, 0) == (query(User).count(), query(Token).count())
    assert Token.jti_revoked("one") is False


def test_facts_of_the_class_say_who_added_what(plain):
    """Every attribute and action has an origin: the extension's, or the user's own place."""
    body = {"__annotations__": {"device": Attr[str | None]}, "device": attribute(default=None)}
    facts = info(plain(body).resource)

    assert "TokenResource" == facts.attributes["jti"].origin.declared_by == facts.actions["revoke_token"].origin.declared_by
    assert "you" == facts.attributes["device"].origin.declared_by
    assert facts.attributes["jti"].sensitive
    assert facts.attributes["extra_data"].sensitive
    assert facts.attributes["jti"].primary_key
