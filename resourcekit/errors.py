"""The errors that resourcekit raises, as one tree.

::

    ResourcekitError
    ├── DeclarationError                 a class body, an option or an extension is declared wrongly
    │   ├── DeclarationErrors            several of them, together (also an ExceptionGroup)
    │   ├── MissingExtension             a resource does not have the extension that is asked for (a LookupError)
    │   ├── MissingMethod                a class does not define what its base asks for (a NotImplementedError)
    │   └── WrongResult                  a function of yours returned a value of a wrong type (a TypeError)
    ├── Invalid                          the input of an action is wrong (a ValueError)
    │   ├── InvalidArgument
    │   │   ├── WrongCall                other arguments than a function takes (a TypeError)
    │   │   ├── NotAResource             an object in place of a resource class (a TypeError)
    │   │   └── UnknownArgument          a change asked for an argument that its action does not have (a KeyError)
    │   ├── NotFound                     (a LookupError)
    │   ├── NotLoaded                    (a LookupError)
    │   ├── StaleRecord
    │   ├── UniqueViolation
    │   ├── ForeignKeyViolation
    │   └── NotNull
    ├── Forbidden                        (a PermissionError)
    ├── DataLayerError                   a store could not execute an operation
    │   ├── UnreadableValue              a stored value does not fit the type of its attribute (an Invalid)
    │   ├── Unavailable                  (a ConnectionError)
    │   ├── Timeout                      (a TimeoutError)
    │   ├── OutcomeUnknown               the commit was sent, and no answer came
    │   ├── SerializationFailure         may be repeated
    │   ├── RolledBack                   for hooks: a transaction was rolled back without an error
    │   └── UnsafeStore                  the store may lose acknowledged writes
    ├── Misuse                           an operation that a value does not have (a TypeError)
    ├── Unchangeable                     an assignment to a record, a query or a changeset (an AttributeError)
    ├── UnknownName                      a name that a resource, a record or a changeset does not have (an AttributeError)
    ├── NotInTransaction                 a task or thread inherited a transaction that is not its own (a RuntimeError)
    └── MixedCallMode                    a sync call that would have to wait (a RuntimeError)
"""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterable, Sequence
from typing import Self

import attrs

__all__ = [
    "DataLayerError",
    "DeclarationError",
    "DeclarationErrors",
    "FieldFinding",
    "Forbidden",
    "ForeignKeyViolation",
    "Invalid",
    "InvalidArgument",
    "MissingExtension",
    "MissingMethod",
    "Misuse",
    "MixedCallMode",
    "NotAResource",
    "NotFound",
    "NotInTransaction",
    "NotLoaded",
    "NotNull",
    "OutcomeUnknown",
    "ResourcekitError",
    "RolledBack",
    "SerializationFailure",
    "StaleRecord",
    "Timeout",
    "Unavailable",
    "Unchangeable",
    "UniqueViolation",
    "UnknownArgument",
    "UnknownName",
    "UnreadableValue",
    "UnsafeStore",
    "UnsafeStoreWarning",
    "WrongCall",
    "WrongResult",
    "did_you_mean",
]


class ResourcekitError(Exception):
    """The base of every error that resourcekit raises on purpose."""


class DeclarationError(ResourcekitError):
    """A declaration is wrong. It is raised when the class statement runs, or when its domain is sealed.

    code: ``"RK043"``, a heading in docs/errors.md.
    what: the problem, one sentence.
    resource: name of the declared class; ``""`` if none is concerned.
    path: position in the resource, outermost first, for example ``("actions", "revoke_token")``.
    origin: place of the declaration, as text (``app/accounts.py:18``).
    hint: the next step, one sentence.
    """

    def __init__(
        self,
        code: str,
        what: str,
        *,
        resource: str = "",
        path: Sequence[str] = (),
        origin: object = "",
        hint: str = "",
    ) -> None:
        self.code, self.what, self.resource = code, what, resource
        self.path, self.origin, self.hint = tuple(path), str(origin), hint
        super().__init__(code, what)

    def __str__(self) -> str:
        """Return code, place, problem and next step in one line, separated by middle dots."""
        who = " › ".join(part for part in (self.resource, *self.path) if part)
        head = f"DeclarationError[{self.code}]"
        parts = [f"{head} {who}" if who else head, self.origin, self.what, self.hint]
        return " · ".join(part for part in parts if part)


class DeclarationErrors(DeclarationError, ExceptionGroup[DeclarationError]):
    """All errors of one resource (or one domain), found together."""

    def __new__(cls, errors: Sequence[DeclarationError]) -> Self:
        """Create the group; ``errors`` must not be empty."""
        return ExceptionGroup.__new__(cls, f"{len(errors)} declarations are wrong", list(errors))

    def __init__(self, errors: Sequence[DeclarationError]) -> None:
        first = errors[0]
        super().__init__(first.code, first.what, resource=first.resource, path=first.path, origin=first.origin, hint=first.hint)

    def __str__(self) -> str:
        """Return the errors, one per line."""
        return "\n  ".join([f"{len(self.exceptions)} declarations are wrong:", *map(str, self.exceptions)])

    def __reduce__(self) -> tuple[type[Self], tuple[list[DeclarationError]]]:
        """Pickle by the errors alone."""
        return type(self), ([error for error in self.exceptions if isinstance(error, DeclarationError)],)

    def derive(self, excs: Sequence[DeclarationError]) -> DeclarationErrors:  # type: ignore[override]  # PEP 654 splits
        """Keep the type when the group is split (PEP 654)."""
        return DeclarationErrors(excs)


class MissingExtension(DeclarationError, LookupError):
    """A resource does not have the extension whose options are asked for."""


class MissingMethod(DeclarationError, NotImplementedError):
    """A class does not define a method that its base asks for."""

    @classmethod
    def of(cls, owner: object, method: str) -> Self:
        """Return the error for a method that the class of an object (or a class) does not define."""
        kind = owner if isinstance(owner, type) else type(owner)
        what = f"{kind.__qualname__} does not define {method}"
        return cls(
            "RK058", what, path=(kind.__name__, method), origin=kind.__module__, hint=f"Define it: def {method}(self, ...)."
        )


class WrongResult(DeclarationError, TypeError):
    """A function that a user or an extension wrote (a change, a hook, a read) returned a value of a wrong type."""


@attrs.frozen
class FieldFinding:
    """One problem of an input.

    path: the field, with dots for deeper levels (``"address.zip"``, ``"tags.2"``); ``""`` for the input as a whole.
    message: the problem, for a reader who knows the field; never the value.
    """

    path: str
    message: str

    def __str__(self) -> str:
        """Return path and message in one line."""
        return f"{self.path}: {self.message}" if self.path else self.message


class Invalid(ResourcekitError, ValueError):
    """The input of an action is wrong; ``findings`` has one entry for each problem. Nothing has been written."""

    def __init__(self, findings: Iterable[FieldFinding] | FieldFinding | str, *, resource: str = "", action: str = "") -> None:
        if isinstance(findings, str):
            findings = FieldFinding("", findings)
        self.findings = (findings,) if isinstance(findings, FieldFinding) else tuple(findings)
        self.resource, self.action = resource, action
        super().__init__(self.findings)

    def __str__(self) -> str:
        """Return resource and action, then the findings."""
        where = ".".join(part for part in (self.resource, self.action) if part)
        text = "; ".join(map(str, self.findings))
        return f"{where}: {text}" if where else text


class InvalidArgument(Invalid):
    """An argument of a function (not of a declared action) is missing, unknown or of a wrong type."""


class WrongCall(InvalidArgument, TypeError):
    """A function was called with other arguments than it takes."""

    @classmethod
    def of(cls, called: str, error: TypeError, hint: str = "") -> Self:
        """Return the error for the TypeError that Python raised."""
        what = f"{called}: {str(error).partition('() ')[2] or error}"
        return cls(FieldFinding("", f"{what}; {hint}" if hint else what))

    @staticmethod
    def is_cause_of(error: TypeError) -> bool:
        """Return whether Python raised a TypeError because of the arguments of a call, before the function began."""
        trace = error.__traceback__
        return type(error) is TypeError and trace is not None and trace.tb_next is None


class NotAResource(InvalidArgument, TypeError):
    """An object was given in place of a resource class."""


class NotFound(Invalid, LookupError):
    """No record matches the key or the query."""


class NotLoaded(Invalid, LookupError):
    """A value of a record was read that its query did not load; ``field`` names it.

    It is no AttributeError: ``getattr(record, name, None)`` and templates would take a value that was not loaded for ``None``.
    """

    def __init__(self, field: str, *, resource: str = "", hint: str = "") -> None:
        self.field, self.hint = field, hint
        super().__init__(FieldFinding(field, f"was not loaded; {hint}" if hint else "was not loaded"), resource=resource)

    def __reduce__(self) -> tuple[type[Self], tuple[str], dict[str, object]]:
        """Pickle by the arguments of the constructor."""
        return type(self), (self.field,), vars(self)


class StaleRecord(Invalid):
    """Another caller changed the record after it was read. Read it again and repeat."""


class UniqueViolation(Invalid):
    """A record with these values exists.

    identity: name of the violated identity; ``"primary_key"`` for the primary key.
    fields: the attributes of that identity.
    """

    def __init__(self, identity: str, fields: Sequence[str], *, resource: str = "", action: str = "") -> None:
        self.identity, self.fields = identity, tuple(fields)
        message = "is already taken" if len(self.fields) == 1 else f"are already taken together with {', '.join(self.fields[1:])}"
        super().__init__(FieldFinding(self.fields[0] if self.fields else "", message), resource=resource, action=action)

    def __reduce__(self) -> tuple[type[Self], tuple[str, tuple[str, ...]], dict[str, object]]:
        """Pickle by the arguments of the constructor."""
        return type(self), (self.identity, self.fields), vars(self)


class ForeignKeyViolation(Invalid):
    """A key refers to no record, or a record cannot be removed because the key of another one refers to it.

    relationship: resource and name of the belongs_to, for example ``"Ticket.representative"``; empty for a foreign key of the
        database that no resource declares.
    fields: the attributes of its key.
    is_referred_to: the record to write was to be removed, or to get another key, and another record refers to it; else its own
        key refers to no record.
    """

    def __init__(
        self, relationship: str, fields: Sequence[str] = (), *, is_referred_to: bool = False, resource: str = "", action: str = ""
    ) -> None:
        self.relationship, self.fields, self.is_referred_to = relationship, tuple(fields), is_referred_to
        named = relationship or "a foreign key of the database"
        if is_referred_to:
            finding = FieldFinding("", f"another record refers to it ({named}); remove that one first, or change its key")
        else:
            finding = FieldFinding(self.fields[0] if self.fields else "", f"refers to a record that does not exist ({named})")
        super().__init__(finding, resource=resource, action=action)

    def __reduce__(self) -> tuple[type[Self], tuple[str, tuple[str, ...]], dict[str, object]]:
        """Pickle by the arguments of the constructor."""
        return type(self), (self.relationship, self.fields), vars(self)


class NotNull(Invalid):
    """A value that must not be ``None`` is ``None``; ``field`` names the attribute."""

    def __init__(self, field: str, *, resource: str = "", action: str = "") -> None:
        self.field = field
        super().__init__(FieldFinding(field, "must not be None"), resource=resource, action=action)


class Forbidden(ResourcekitError, PermissionError):
    """The actor may not do this."""


class DataLayerError(ResourcekitError):
    """A store could not execute an operation. ``__cause__`` is removed if it could contain values of a record."""


class UnreadableValue(Invalid, DataLayerError):
    """A stored value does not fit the type of its attribute: another program wrote it, or a member of an enum went.

    ``findings`` has the attribute, and the key of the record unless it is sensitive; never the value.
    """


class Unavailable(DataLayerError, ConnectionError):
    """The store did not answer, or answered that it cannot serve. Nothing was written."""

    is_storage_missing: bool = False
    """A table or a column does not exist: run ``create_storage()`` or a migration; a repetition does not help."""
    said: str = ""
    """The message of the database about the SQL of the statement, without values; empty for another cause."""
    about: str = ""
    """The column or function in ``said`` that the database does not know, if it is about one."""


class Timeout(DataLayerError, TimeoutError):
    """The deadline of the call passed before the store answered."""


class OutcomeUnknown(DataLayerError):
    """The commit was sent and no answer came: the write may have been committed or not. Read before you repeat."""


class SerializationFailure(DataLayerError):
    """The store aborted this transaction in favour of another one. It may be repeated as a whole."""


class RolledBack(DataLayerError):
    """The transaction of a write was rolled back without an error. Hooks that run after the transaction receive it; it is
    never raised.
    """


class UnsafeStore(DataLayerError):
    """The store may lose acknowledged writes, and no setting accepts that."""


class UnsafeStoreWarning(UserWarning):
    """A data layer that may lose records is used for records that must be kept. The text names the cure."""


class Misuse(ResourcekitError, TypeError):
    """An operation that a value does not have: the truth of an expression, a change of a record's list or dict."""


class Unchangeable(ResourcekitError, AttributeError):
    """An assignment to an object that does not change. For a record, the text names the update actions; for a query, a changeset,
    the context of a call or the state of a transformer, what returns another one.
    """


class UnknownArgument(InvalidArgument, KeyError):
    """A change or a hook asked for an argument that its action does not have."""

    __str__ = Exception.__str__  # that of KeyError would quote the text


class UnknownName(ResourcekitError, AttributeError):
    """A resource, a record or a changeset was asked for a name that it does not have. The text names a similar one."""


class MixedCallMode(ResourcekitError, RuntimeError):
    """A sync call met an awaitable, or a call came from the wrong side of a transaction."""


class NotInTransaction(ResourcekitError, RuntimeError):
    """A call was made in a task or thread that inherited an open transaction without being part of it, or that outlived it."""


def __getattr__(name: str) -> object:
    """Return a name that was renamed, with a DeprecationWarning; it will be removed in the version after 0.1."""
    if name == "WrongColour":
        warnings.warn("WrongColour is now called MixedCallMode", DeprecationWarning, stacklevel=2)
        return MixedCallMode
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)


def did_you_mean(unknown: str, candidates: Iterable[str]) -> str:
    """Return ``"Did you mean 'subject'?"`` if a candidate is similar, else the list of candidates, else ``""``."""
    known = sorted(set(candidates))
    near = difflib.get_close_matches(unknown, known, n=1)
    if near:
        return f"Did you mean {near[0]!r}?"
    return f"Known: {', '.join(known)}." if known else ""
