"""Runs a generic action: arguments cast, one function, its result cast."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from resourcekit.declarations.action import GenericAction
from resourcekit.declarations.attribute import Constraints
from resourcekit.declarations.value_type import Kind
from resourcekit.engine.casting import CastError, compile_cast
from resourcekit.engine.inputs import Inputs
from resourcekit.engine.runtime import Runtime
from resourcekit.engine.steps import settled
from resourcekit.errors import Invalid
from resourcekit.flow.context import Context

__all__ = ["GenericRunner"]


class GenericRunner:
    """A generic action of one resource, compiled once."""

    def __init__(self, runtime: Runtime, action: GenericAction) -> None:
        self.runtime, self.action = runtime, action
        self._inputs = Inputs(action.arguments.values())
        self._cast = None if action.returns.kind is Kind.ANY else compile_cast(action.returns, Constraints())

    async def run(self, given: Mapping[str, Any], context: Context) -> Any:
        """Run the function and return its result.

        Raises Invalid for wrong arguments, and TypeError where the result is not of the declared type.
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
            msg = f"the action {self.action.name} has no function to run"
            raise TypeError(msg)
        result = function(self.runtime.resource, **arguments) if self.action.takes_class else function(**arguments)
        result = await settled(result)
        if self._cast is None:
            return result
        try:
            return self._cast(result)
        except CastError as error:
            msg = f"{self.runtime.info.name}.{self.action.name} declares {self.action.returns} as its result, which {error}"
            raise TypeError(msg) from None
