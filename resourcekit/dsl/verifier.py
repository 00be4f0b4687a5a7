"""Verifiers: steps of an extension that read the finished facts and say what is wrong. They know no resource."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from resourcekit.dsl.finding import Finding

__all__ = ["Verifier"]


class Verifier:
    """One check of finished facts: it reads them and returns all its findings.

    across: it looks at other resources too, and so runs when the domain is sealed, not when the class is made.
    """

    across: ClassVar[bool] = False

    # Any: the facts are the framework's, the options those of the verifier's own extension.
    def verify(self, info: Any, options: Any) -> Iterable[Finding]:
        """Return what is wrong; nothing where all is well."""
        raise NotImplementedError
