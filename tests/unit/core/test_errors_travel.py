"""Errors cross process boundaries, and are the built-in errors that fit."""

from __future__ import annotations

import copy
import pickle

import pytest

from resourcekit import errors
from resourcekit.errors import DeclarationError, DeclarationErrors, FieldFinding

FINDING = FieldFinding("subject", "is required")
EXAMPLES: list[Exception] = [
    DeclarationError("RK001", "unknown", resource="Ticket", path=("a", "b"), origin="app.py:3", hint="Do this."),
    DeclarationErrors([DeclarationError("RK001", "one"), DeclarationError("RK002", "two", hint="x")]),
    errors.Invalid([FINDING, FieldFinding("", "all wrong")], resource="Ticket", action="submit"),
    errors.MissingExtension("RK019", "lacks it", resource="Ticket"),
    errors.MissingMethod("RK058", "lacks it", path=("Step", "change")),
    errors.WrongResult("RK056", "returned nothing", resource="Ticket", path=("actions", "close")),
    errors.InvalidArgument("wrong", resource="Ticket"),
    errors.NotAResource("no resource"),
    errors.WrongCall("other arguments"),
    errors.UnknownArgument("no argument 'x'"),
    errors.Unchangeable("records do not change"),
    errors.UnknownName("no attribute 'x'"),
    errors.Misuse("no truth value"),
    errors.NotFound("no record", resource="Ticket", action="close"),
    errors.NotLoaded("subject", resource="Ticket", hint="select it"),
    errors.StaleRecord("changed"),
    errors.UniqueViolation("by_subject", ("subject", "owner"), resource="Ticket", action="submit"),
    errors.ForeignKeyViolation("Ticket.owner", ("owner_id",), is_referred_to=True, resource="Ticket", action="close"),
    errors.NotNull("subject", resource="Ticket"),
    errors.Forbidden("no"),
    errors.DataLayerError("broken"),
    errors.UnreadableValue(FINDING, resource="Ticket"),
    errors.Unavailable("away"),
    errors.Timeout("late"),
    errors.OutcomeUnknown("who knows"),
    errors.SerializationFailure("again"),
    errors.RolledBack("the transaction was rolled back"),
    errors.NotInTransaction("the transaction has ended"),
    errors.UnsafeStore("forgets"),
    errors.MixedCallMode("await it"),
    errors.ResourcekitError("any"),
]


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("travel", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))], ids=["copy", "pickle"])
def test_an_error_arrives_as_it_was(error: Exception, travel: object) -> None:
    """Copied or pickled, an error has the same class, text and facts; a pool of processes can hand it on."""
    arrived = travel(error)  # type: ignore[operator]

    assert type(error) is type(arrived)
    assert str(error) == str(arrived)
    facts = {name: value for name, value in vars(error).items() if name != "__notes__"}
    assert facts == {name: getattr(arrived, name) for name in facts}


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (errors.NotFound, LookupError),
        (errors.Timeout, TimeoutError),
        (errors.Unavailable, ConnectionError),
        (errors.Invalid, ValueError),
        (errors.Forbidden, PermissionError),
        (errors.MixedCallMode, RuntimeError),
        (errors.MissingExtension, LookupError),
        (errors.MissingMethod, NotImplementedError),
        (errors.WrongResult, TypeError),
        (errors.NotAResource, TypeError),
        (errors.Misuse, TypeError),
        (errors.WrongCall, TypeError),
        (errors.UnknownArgument, KeyError),
        (errors.UnknownName, AttributeError),
        (errors.Unchangeable, AttributeError),
        (errors.DeclarationErrors, ExceptionGroup),
        (errors.DeclarationErrors, errors.DeclarationError),
    ],
)
def test_errors_are_the_builtin_that_fits(error: type, builtin: type) -> None:
    """Code without resourcekit's names can still catch them."""
    assert issubclass(error, builtin)


def test_every_error_of_the_tree_is_tried() -> None:
    """The examples above have one of each."""
    tree = {each for name in errors.__all__ if isinstance(each := getattr(errors, name), type) and issubclass(each, Exception)}

    assert {each for each in tree if not issubclass(each, Warning)} == {type(error) for error in EXAMPLES}
