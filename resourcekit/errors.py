"""The one error tree of resourcekit; it knows nobody else.

::

    ResourcekitError
    ├── DeclarationError                 what a class body, an option or an extension says wrongly
    │   └── DeclarationErrors            several of them, together (also an ExceptionGroup)
    ├── Invalid                          what the caller of an action says wrongly (a ValueError)
    │   ├── InvalidArgument
    │   ├── NotFound                     (a LookupError)
    │   ├── StaleRecord
    │   ├── UniqueViolation
    │   └── NotNull
    ├── Forbidden                        (a PermissionError)
    ├── DataLayerError                   what a store could not do
    │   ├── Unavailable                  (a ConnectionError)
    │   ├── Timeout                      (a TimeoutError)
    │   ├── OutcomeUnknown               the commit was sent, and no answer came
    │   ├── SerializationFailure         may be repeated
    │   └── UnsafeStore                  the store may forget what it acknowledged
    └── WrongColour                      a sync call that would have to wait (a RuntimeError)
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Self

import attrs

__all__ = [
    "DataLayerError",
    "DeclarationError",
    "DeclarationErrors",
    "FieldFinding",
    "Forbidden",
    "Invalid",
    "InvalidArgument",
    "NotFound",
    "NotNull",
    "OutcomeUnknown",
    "ResourcekitError",
    "SerializationFailure",
    "StaleRecord",
    "Timeout",
    "Unavailable",
    "UniqueViolation",
    "UnsafeStore",
    "UnsafeStoreWarning",
    "WrongColour",
    "did_you_mean",
]


class ResourcekitError(Exception):
    """The root: every error that resourcekit raises on purpose is one of these."""


class DeclarationError(ResourcekitError):
    """A declaration is wrong; raised when the class statement runs, or when its domain is sealed.

    code: ``"RK043"``, a heading in docs/errors.md.
    what: what is wrong, one sentence.
    resource: name of the declared class, ``""`` where none is concerned.
    path: where in the resource, outermost first, for example ``("actions", "revoke_token")``.
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
        """One line: who, where, what and the next step, parted by middle dots."""
        who = " › ".join(part for part in (self.resource, *self.path) if part)
        head = f"DeclarationError[{self.code}]"
        parts = [f"{head} {who}" if who else head, self.origin, self.what, self.hint]
        return " · ".join(part for part in parts if part)


class DeclarationErrors(DeclarationError, ExceptionGroup[DeclarationError]):
    """All that is wrong with one resource (or one domain), found in one go."""

    def __new__(cls, errors: Sequence[DeclarationError]) -> Self:
        """Make the group; ``errors`` must not be empty."""
        return ExceptionGroup.__new__(cls, f"{len(errors)} declarations are wrong", list(errors))

    def __init__(self, errors: Sequence[DeclarationError]) -> None:
        first = errors[0]
        super().__init__(first.code, first.what, resource=first.resource, path=first.path, origin=first.origin, hint=first.hint)

    def __str__(self) -> str:
        """Each finding on a line of its own."""
        return "\n  ".join([f"{len(self.exceptions)} declarations are wrong:", *map(str, self.exceptions)])

    def __reduce__(self) -> tuple[type[Self], tuple[list[DeclarationError]]]:
        """Pickle by the errors alone."""
        return type(self), ([error for error in self.exceptions if isinstance(error, DeclarationError)],)

    def derive(self, excs: Sequence[DeclarationError]) -> DeclarationErrors:  # type: ignore[override]  # PEP 654 splits
        """Keep the type when the group is split (PEP 654)."""
        return DeclarationErrors(excs)


@attrs.frozen
class FieldFinding:
    """One thing that is wrong with an input.

    path: the field, with dots for what lies deeper (``"address.zip"``, ``"tags.2"``); ``""`` for the input as a whole.
    message: what is wrong, for a reader who knows the field; never the value.
    """

    path: str
    message: str

    def __str__(self) -> str:
        """Path and message in one line."""
        return f"{self.path}: {self.message}" if self.path else self.message


class Invalid(ResourcekitError, ValueError):
    """The input of an action is wrong; ``findings`` holds one entry a field.

    Nothing has been written when it is raised.
    """

    def __init__(self, findings: Iterable[FieldFinding] | FieldFinding | str, *, resource: str = "", action: str = "") -> None:
        if isinstance(findings, str):
            findings = FieldFinding("", findings)
        self.findings = (findings,) if isinstance(findings, FieldFinding) else tuple(findings)
        self.resource, self.action = resource, action
        super().__init__(self.findings)

    def __str__(self) -> str:
        """Resource and action, then each finding."""
        where = ".".join(part for part in (self.resource, self.action) if part)
        text = "; ".join(map(str, self.findings))
        return f"{where}: {text}" if where else text


class InvalidArgument(Invalid):
    """An argument of a function (not of a declared action) is missing, unknown or of a wrong type."""


class NotFound(Invalid, LookupError):
    """No record answers the description."""


class StaleRecord(Invalid):
    """The record was changed by somebody else after it was read; read it again and repeat."""


class UniqueViolation(Invalid):
    """A record with these values exists.

    identity: name of the identity that was hit, ``"primary_key"`` for the key itself.
    fields: the attributes of that identity.
    """

    def __init__(self, identity: str, fields: Sequence[str], *, resource: str = "", action: str = "") -> None:
        self.identity, self.fields = identity, tuple(fields)
        message = "is already taken" if len(self.fields) == 1 else f"are already taken together with {', '.join(self.fields[1:])}"
        super().__init__(FieldFinding(self.fields[0] if self.fields else "", message), resource=resource, action=action)

    def __reduce__(self) -> tuple[type[Self], tuple[str, tuple[str, ...]], dict[str, object]]:
        """Pickle by what it is made with."""
        return type(self), (self.identity, self.fields), vars(self)


class NotNull(Invalid):
    """A value that must not be ``None`` is; ``field`` names the attribute."""

    def __init__(self, field: str, *, resource: str = "", action: str = "") -> None:
        self.field = field
        super().__init__(FieldFinding(field, "must not be None"), resource=resource, action=action)


class Forbidden(ResourcekitError, PermissionError):
    """The actor may not do this."""


class DataLayerError(ResourcekitError):
    """A store could not do what it was asked; ``__cause__`` is kept from callers when it could carry a record's values."""


class Unavailable(DataLayerError, ConnectionError):
    """The store did not answer, or answered that it cannot serve; nothing was written."""


class Timeout(DataLayerError, TimeoutError):
    """The deadline of the call passed before the store answered."""


class OutcomeUnknown(DataLayerError):
    """The commit was sent and no answer came: the write may stand or not. Read before you repeat."""


class SerializationFailure(DataLayerError):
    """The store gave this transaction up in favour of another one; it may be repeated as a whole."""


class UnsafeStore(DataLayerError):
    """The store may forget what it acknowledged, and nobody accepted that by name."""


class UnsafeStoreWarning(UserWarning):
    """A data layer that forgets is used for records that must be kept; the text names the cure."""


class WrongColour(ResourcekitError, RuntimeError):
    """A sync call met something that must be awaited, or a call came from the wrong side of a transaction."""


def did_you_mean(unknown: str, candidates: Iterable[str]) -> str:
    """``"Did you mean 'subject'?"`` where a candidate is near, else the candidates themselves, else ``""``."""
    known = sorted(candidates)
    near = difflib.get_close_matches(unknown, known, n=1)
    if near:
        return f"Did you mean {near[0]!r}?"
    return f"Known: {', '.join(known)}." if known else ""
