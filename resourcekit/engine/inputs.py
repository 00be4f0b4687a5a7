"""Binds the input of an action: which names it takes, cast and checked, with a finding for each that is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from resourcekit.declarations.argument import Argument
from resourcekit.declarations.attribute import Attribute
from resourcekit.engine.casting import Cast, CastError, compile_cast
from resourcekit.errors import FieldFinding, did_you_mean

__all__ = ["Bound", "Inputs"]

Bound = tuple[dict[str, Any], dict[str, Any], list[FieldFinding]]
"""Arguments, attribute values, findings."""


class Inputs:
    """The inputs of one action, compiled once."""

    def __init__(self, arguments: Iterable[Argument], accepted: Iterable[Attribute] = ()) -> None:
        self._arguments = {one.name: (one, compile_cast(one.type, one.constraints)) for one in arguments}
        self._accepted = {one.name: compile_cast(one.type, one.constraints) for one in accepted}

    def bind(self, given: Mapping[str, Any]) -> Bound:
        """Cast what was given and fill in the defaults of arguments; nothing is raised."""
        arguments: dict[str, Any] = {}
        values: dict[str, Any] = {}
        findings: list[FieldFinding] = []
        for name, value in given.items():
            if name in self._accepted:
                _cast_into(values, name, value, self._accepted[name], findings)
            elif name in self._arguments:
                _cast_into(arguments, name, value, self._arguments[name][1], findings)
            else:
                known = [*self._arguments, *self._accepted]
                findings.append(FieldFinding(name, f"is not an input of this action. {did_you_mean(name, known)}".rstrip()))
        for name, (argument, _) in self._arguments.items():
            if name not in given:
                if argument.is_required:
                    findings.append(FieldFinding(name, "is required"))
                else:
                    arguments[name] = argument.default_value()
        return arguments, values, findings


def _cast_into(target: dict[str, Any], name: str, value: Any, cast: Cast, findings: list[FieldFinding]) -> None:
    try:
        target[name] = cast(value)
    except CastError as error:
        findings.append(error.finding(name))
