from __future__ import annotations

import importlib
import types

import pytest

API_MODULES = (
    "resourcekit",
    "resourcekit.data_layers",
    "resourcekit.errors",
    "resourcekit.extending",
    "resourcekit.observability",
    "resourcekit.supervisor",
    "resourcekit.testing",
    "resourcekit.types",
    "resourcekit_tokens",
    "resourcekit_tokens.errors",
)
GATHERING = ("resourcekit", "resourcekit.data_layers", "resourcekit.extending", "resourcekit.testing", "resourcekit_tokens")
"""Modules without definitions of their own: every visible name is meant to be imported."""

MACHINERY = {"TYPE_CHECKING", "annotations", "import_module"}

FIXED = {
    "resourcekit": (
        "Attr Context Domain Query Resource action as_dict attribute context create destroy env get identity index info now "
        "query read set_attribute transaction update utc_now uuid7 set_new_attribute increment touch optimistic_lock one_of "
        "string_length match compare present absent filter sort limit"
    ),
    "resourcekit.data_layers": "SQL Memory Redis Repo joined",
    "resourcekit.errors": (
        "ResourcekitError DeclarationError DeclarationErrors Invalid InvalidArgument NotFound StaleRecord UniqueViolation NotNull "
        "Forbidden DataLayerError Unavailable Timeout OutcomeUnknown SerializationFailure UnsafeStore MixedCallMode "
        "UnsafeStoreWarning"
    ),
    "resourcekit.extending": (
        "Change Entity Extension Finding Preparation ResourceInfo Service ServiceContext State Template Transformer Validation "
        "Verifier hookimpl option Capability DataLayer Plan WriteResult"
    ),
    "resourcekit.supervisor": "Supervisor",
    "resourcekit.testing": "DataLayerSuite FleetSuite ManualClock declaration_errors in_memory",
    "resourcekit_tokens": (
        "JWT SigningKey TokenRecord TokenResource Revocation Confirmation Expunger Claims IssuedToken TokenPair Confirmed CutOff "
        "ExpungeResult RevokedJti Verdict revoke revoke_jti revoke_jtis token_revoked jti_revoked expunge_expired read_expired "
        "store_token get_token store_confirmation_changes get_confirmation_changes confirm revoke_all_stored_for_subject "
        "log_out_everywhere tokens_for_subject issue issue_pair verify consume rotate explain"
    ),
    "resourcekit_tokens.errors": (
        "InvalidToken BadSignature TokenExpired WrongPurpose TokenRevoked TokenConsumed ReuseDetected NotATokenResource"
    ),
}
"""The names that programs outside the project use, as the design fixes them."""


@pytest.mark.parametrize("api", API_MODULES)
def test_the_names_of_an_api_are_sorted_and_there(api):
    """Every name that an API announces can be imported, and the list is in order without repetition."""
    module = importlib.import_module(api)
    missing = [name for name in module.__all__ if not hasattr(module, name)]

    assert [] == missing
    assert sorted(set(module.__all__)) == sorted(module.__all__)


@pytest.mark.parametrize("api", GATHERING)
def test_an_api_shows_what_it_announces_and_nothing_else(api):
    """Every visible name of an API is in its list, so nothing is public by accident."""
    module = importlib.import_module(api)
    for name in module.__all__:
        getattr(module, name)
    seen = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and name not in MACHINERY and not isinstance(value, types.ModuleType)
    }

    assert set() == seen - set(module.__all__)


@pytest.mark.parametrize("api", ["resourcekit", "resourcekit.testing"])
def test_a_lazy_api_lists_its_names_before_they_are_loaded(api):
    """``dir`` of an API that loads on demand is its list, for completion in an editor and a shell."""
    module = importlib.import_module(api)

    assert sorted(module.__all__) == dir(module)


@pytest.mark.parametrize("api", ["resourcekit", "resourcekit.data_layers", "resourcekit.testing"])
def test_a_lazy_api_refuses_an_unknown_name(api):
    """A name that an API does not have is an AttributeError that says so, as in any module."""
    module = importlib.import_module(api)

    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = module.nonsense


@pytest.mark.parametrize("api", FIXED)
def test_names_that_others_rely_on_stay(api):
    """No name that the design promises has left its module."""
    module = importlib.import_module(api)
    gone = sorted(set(FIXED[api].split()) - set(module.__all__))

    assert [] == gone
