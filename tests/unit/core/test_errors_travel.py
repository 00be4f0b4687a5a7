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
    errors.InvalidArgument("wrong", resource="Ticket"),
    errors.NotFound("nobody", resource="Ticket", action="close"),
    errors.StaleRecord("changed"),
    errors.UniqueViolation("by_subject", ("subject", "owner"), resource="Ticket", action="submit"),
    errors.NotNull("subject", resource="Ticket"),
    errors.Forbidden("no"),
    errors.DataLayerError("broken"),
    errors.Unavailable("away"),
    errors.Timeout("late"),
    errors.OutcomeUnknown("who knows"),
    errors.SerializationFailure("again"),
    errors.UnsafeStore("forgets"),
    errors.WrongColour("await it"),
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
        (errors.WrongColour, RuntimeError),
        (errors.DeclarationErrors, ExceptionGroup),
        (errors.DeclarationErrors, errors.DeclarationError),
    ],
)
def test_errors_are_the_builtin_that_fits(error: type, builtin: type) -> None:
    """Code that knows nothing of resourcekit can still catch them."""
    assert issubclass(error, builtin)


def test_every_error_of_the_tree_is_tried() -> None:
    """The examples above have one of each."""
    tree = {each for name in errors.__all__ if isinstance(each := getattr(errors, name), type) and issubclass(each, Exception)}

    assert {each for each in tree if not issubclass(each, Warning)} == {type(error) for error in EXAMPLES}
