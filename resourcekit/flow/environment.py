"""A setting that is read from the environment when it is needed, never at import; it knows nobody but the process."""

from __future__ import annotations

import os

import attrs

from resourcekit.errors import DeclarationError

__all__ = ["EnvironmentVariable", "env"]


@attrs.frozen
class EnvironmentVariable:
    """The name of an environment variable whose value is read late and never shown."""

    name: str

    def read(self) -> str:
        """Return the value.

        Raises DeclarationError RK020 when the variable is unset or empty.
        """
        value = os.environ.get(self.name, "")
        if not value:
            raise DeclarationError(
                "RK020",
                f"the environment variable {self.name} is not set",
                path=("env", self.name),
                hint=f"Set {self.name} before the first use, or give the value itself.",
            )
        return value


def env(name: str) -> EnvironmentVariable:
    """Say "the value of this environment variable", to be read when the domain is sealed."""
    return EnvironmentVariable(name)
