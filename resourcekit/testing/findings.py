"""Declaration errors as data, for tests of declarations that must be refused."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from resourcekit.errors import DeclarationError, DeclarationErrors

__all__ = ["declaration_errors"]


class declaration_errors(list[DeclarationError]):  # noqa: N801  # read as a phrase: with declaration_errors() as errors:
    """A list of the declaration errors of a block or a function, instead of an exception; empty if there are none.

    Around class statements, as a block::

        with declaration_errors() as errors:
            class Note(Resource, extensions=["archivel"]):
                id: Attr[int] = attribute(primary_key=True)
        assert ["RK007"] == [error.code for error in errors]

    For a function that declares, or seals: ``declaration_errors(accounts.seal)``.

    Each error has ``code``, ``what``, ``resource``, ``path``, ``origin`` and ``hint``. Errors that were raised together are
    separate entries. Any other exception is raised.
    """

    def __init__(self, declare: Callable[[], object] | None = None) -> None:
        super().__init__()
        if declare is not None:
            with self:
                declare()

    def __enter__(self) -> Self:
        """Begin to collect."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        """Collect a declaration error, and pass any other exception on."""
        if not isinstance(error, DeclarationError):
            return False
        self.extend(_each(error))
        return True


def _each(error: DeclarationError) -> list[DeclarationError]:
    if isinstance(error, DeclarationErrors):
        return [single for inner in error.exceptions if isinstance(inner, DeclarationError) for single in _each(inner)]
    # The frames of the failed class statement would keep its class alive.
    return [error.with_traceback(None)]
