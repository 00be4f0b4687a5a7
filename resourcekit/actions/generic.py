"""Runs generic actions: casts the arguments, calls one function, casts its result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from resourcekit.actions.casting import CastError, compile_cast
from resourcekit.actions.runtime import Inputs, Runtime
from resourcekit.actions.steps import settled, wrong_result
from resourcekit.call_context import Context
from resourcekit.declarations.action import GenericAction
from resourcekit.declarations.attribute import Constraints
from resourcekit.declarations.value_type import Kind
from resourcekit.errors import DeclarationError, Invalid, WrongResult

__all__ = ["GenericRunner"]


class GenericRunner:
    """A generic action of one resource, compiled once."""

    def __init__(self, runtime: Runtime, action: GenericAction) -> None:
        self.runtime, self.action = runtime, action
        self._inputs = Inputs(action.arguments.values())
        self._cast = None if action.returns.kind is Kind.ANY else compile_cast(action.returns, Constraints())

    async def run(self, given: Mapping[str, Any], context: Context) -> Any:
        """Run the function and return its result.

        Raise Invalid for wrong arguments, and WrongResult if the result is not of the declared type.
        """
        arguments, _, findings = self._inputs.bind(given)
        if findings:
            raise Invalid(findings, resource=self.runtime.info.name, action=self.action.name)
        if self.action.context_parameter is not None:
            arguments[self.action.context_parameter] = context
        if self.action.transaction:
            async with self.runtime.store.transaction():
                return await self._call(arguments)
        return await self._call(arguments)

    async def _call(self, arguments: Mapping[str, Any]) -> Any:
        function = self.action.function
        if function is None:
            where: dict[str, Any] = {"resource": self.runtime.info.name, "path": ("actions", self.action.name)}
            hint = "Give it one: GenericAction(function=...)."
            raise DeclarationError("RK057", "it has no function to run", origin=self.action.origin, hint=hint, **where)
        result = function(self.runtime.resource, **arguments) if self.action.takes_class else function(**arguments)
        result = await settled(result)
        if self._cast is None:
            if self.action.returns_nothing and result is not None:
                raise self._wrong(f"declares None as its result, and returned {type(result).__name__}")
            return result
        try:
            return self._cast(result)
        except CastError as error:
            what = f"declares {self.action.returns} as its result, which {error}"
        raise self._wrong(what)

    def _wrong(self, what: str) -> WrongResult:
        hint = "Change the annotation of the result, or what the function returns."
        return wrong_result(self.runtime.resource, self.action.name, what, hint)
