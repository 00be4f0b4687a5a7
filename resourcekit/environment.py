"""Settings that are read from environment variables when they are needed, never at import."""

from __future__ import annotations

import os
from typing import Never

import attrs

from resourcekit.errors import DeclarationError

__all__ = ["EnvironmentVariable", "env"]


@attrs.frozen
class EnvironmentVariable:
    """The name of an environment variable whose value is read late and never shown."""

    name: str

    def read(self) -> str:
        """Return the value. Raise DeclarationError RK020 if the variable is unset or empty."""
        value = os.environ.get(self.name, "")
        if not value:
            raise DeclarationError(
                "RK020",
                f"the environment variable {self.name} is not set",
                path=("env", self.name),
                hint=f"Set {self.name} before the first use, or give the value itself.",
            )
        return value


def env(name: str, *default: Never) -> EnvironmentVariable:
    """Name an environment variable whose value is read when the domain is sealed."""
    if default:
        hint = f"Write env({name!r}), or give os.environ.get(...) itself."
        raise DeclarationError(
            "RK003", "env takes one name, and no default: a missing variable is an error", path=("env",), hint=hint
        )
    if not isinstance(name, str) or not name:  # type: ignore[redundant-expr]  # a number, for example
        hint = 'Write env("TOKEN_SECRET").'
        raise DeclarationError("RK003", f"env takes the name of a variable, not {name!r}", path=("env",), hint=hint)
    return EnvironmentVariable(name)
