"""The inputs of actions for stub files: type checkers then flag a wrong type and a misspelt name.

A maintainer opens it to change which inputs a stub requires, or how their types are written.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import attrs

from resourcekit.declarations.action import Action, CreateAction, DestroyAction, GenericAction, ReadAction, UpdateAction

__all__ = ["caller_of", "callers_of", "has_inputs", "replace"]

_ASYNC = "_abc.Coroutine[_typing.Any, _typing.Any, {0}]"
_USING = (
    "    def using(self, *, actor: object = ..., tenant: object = ..., deadline: _datetime.timedelta | None = ..., "
    "metadata: _abc.Mapping[str, object] | None = ...) -> _typing.Self: ..."
)


@attrs.frozen
class _Input:
    """One input of an action: its name, its type as text, and whether a call must give it."""

    name: str
    type: str
    is_required: bool

    @property
    def parameter(self) -> str:
        """The input as a parameter of a function."""
        return f"{self.name}: {self.type}{'' if self.is_required else ' = ...'}"


def has_inputs(action: Action) -> bool:
    """Return whether the stub has a type of its own for the caller of an action."""
    return isinstance(action, (CreateAction, UpdateAction, DestroyAction, ReadAction))


def caller_of(resource: Any, action: Action) -> str:
    """Return the name of the type that the stub has for the caller of an action."""
    return f"_{resource.__name__}_{action.name}"


def replace(body: ast.ClassDef, resource: Any, type_of: Callable[[str], str]) -> list[str]:
    """Replace the actions in a class body by annotations, and return the lines of the types of their callers.

    type_of: returns the annotation for the text of a type that the body does not have.
    """
    info = resource.__info__
    typed = {name: action for name, action in info.actions.items() if has_inputs(action)}
    written = {
        each.target.id: ast.unparse(each.annotation.slice)
        for each in body.body
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name) and isinstance(each.annotation, ast.Subscript)
    }
    kept: list[ast.stmt] = []
    hints: dict[str, dict[str, str]] = {}
    for each in body.body:
        names = _named_by(each) & typed.keys()
        if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef)):
            given = [*each.args.posonlyargs, *each.args.args, *each.args.kwonlyargs]
            hints[each.name] = {one.arg: ast.unparse(one.annotation) for one in given if one.annotation is not None}
        kept += [_annotation(resource, typed[name]) for name in sorted(names)] or [each]
    body.body = kept
    lines: list[str] = []
    for action in typed.values():
        own = hints.get(action.name, {})
        inputs = [*_accepted(info, action, written, type_of), *_arguments(action, own, type_of)]
        name, caller = resource.__name__, caller_of(resource, action)
        if isinstance(action, CreateAction):
            lines += _create(name, caller, inputs)
        elif isinstance(action, ReadAction):
            lines += _read(name, caller, inputs, is_one=action.get)
        else:
            lines += _update(name, caller, inputs)
    return lines


def callers_of(resource: Any, actions: Iterable[GenericAction], type_of: Callable[[str], str]) -> list[str]:
    """Return the lines of the types of callers of generic actions that extensions added."""
    lines: list[str] = []
    for action in actions:
        returns = "None" if action.returns_nothing else type_of(str(action.returns))
        given = _ordered(_arguments(action, {}, type_of))
        lines += [
            f"class {caller_of(resource, action)}(_typing.Protocol):",
            f"    def __call__(self{given}) -> {returns}: ...",
            f"    def aio(self{given}) -> {_ASYNC.format(returns)}: ...",
            _USING,
        ]
    return lines


def _named_by(statement: ast.stmt) -> set[str]:
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return {statement.name}
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    return {each.id for each in targets if isinstance(each, ast.Name)}


def _annotation(resource: Any, action: Action) -> ast.stmt:
    return ast.parse(f"{action.name}: _typing.ClassVar[{caller_of(resource, action)}]").body[0]


def _accepted(info: Any, action: Any, written: dict[str, str], type_of: Callable[[str], str]) -> list[_Input]:
    """Return the accepted attributes of an action. An attribute that a change may set is not required."""
    is_alone = isinstance(action, CreateAction) and not action.changes and action.function is None
    found = []
    for name in getattr(action, "accept", ()):
        attribute = info.attributes[name]
        found.append(_Input(name, written.get(name) or type_of(str(attribute.type)), is_alone and not attribute.has_default))
    return found


def _arguments(action: Any, hints: dict[str, str], type_of: Callable[[str], str]) -> list[_Input]:
    """Return the arguments of an action. hints: the types that its function has, for those that a stub cannot name."""
    found = []
    for name, each in action.arguments.items():
        shown = type_of(str(each.type))
        found.append(_Input(name, hints.get(name, shown) if shown == "_typing.Any" else shown, each.is_required))
    return found


def _named(inputs: Sequence[_Input], *more: str) -> str:
    """Return parameters that are given by name."""
    parts = [*more, *(each.parameter for each in inputs)]
    return ", ".join(["", "*", *parts]) if parts else ""


def _ordered(inputs: Sequence[_Input]) -> str:
    """Return parameters that may be given in their order, too; those behind an optional one that are required, by name only."""
    parts: list[str] = [""]
    has_optional, by_name = False, False
    for each in inputs:
        if each.is_required and has_optional and not by_name:
            parts.append("*")
            by_name = True
        has_optional |= not each.is_required
        parts.append(each.parameter)
    return ", ".join(parts)


def _row(caller: str, inputs: Sequence[_Input]) -> list[str]:
    """Return the type of one row of a bulk create."""
    fields = [f"    {each.name}: {each.type if each.is_required else f'_typing.NotRequired[{each.type}]'}" for each in inputs]
    return [f"class {caller}_row(_typing.TypedDict):", *(fields or ["    pass"])]


def _create(resource: str, caller: str, given: Sequence[_Input]) -> Iterable[str]:
    inputs, written, many = _named(given), f"_Written[{resource}]", f"_BulkResult[{resource}]"
    rows = f", rows: _abc.Iterable[{caller}_row], *, batch_size: int = ..., return_records: bool = ..."
    return [
        *_row(caller, given),
        f"class {caller}(_typing.Protocol):",
        f"    def __call__(self{inputs}) -> {resource}: ...",
        f"    def aio(self{inputs}) -> {_ASYNC.format(resource)}: ...",
        _USING,
        "    @property",
        f"    def bulk(self) -> {caller}_bulk: ...",
        "    @property",
        f"    def outcome(self) -> {caller}_outcome: ...",
        f"class {caller}_outcome(_typing.Protocol):",
        f"    def __call__(self{inputs}) -> {written}: ...",
        f"    def aio(self{inputs}) -> {_ASYNC.format(written)}: ...",
        f"class {caller}_bulk(_typing.Protocol):",
        f"    def __call__(self{rows}) -> {many}: ...",
        f"    def aio(self{rows}) -> {_ASYNC.format(many)}: ...",
    ]


def _read(resource: str, caller: str, given: Sequence[_Input], *, is_one: bool) -> Iterable[str]:
    inputs, found = _ordered(given), f"{resource} | None" if is_one else f"list[{resource}]"
    query = [] if is_one else [f"    def query(self{inputs}) -> _RunnableQuery[{resource}]: ..."]
    return [
        f"class {caller}(_typing.Protocol):",
        f"    def __call__(self{inputs}) -> {found}: ...",
        f"    def aio(self{inputs}) -> {_ASYNC.format(found)}: ...",
        *query,
        _USING,
    ]


def _update(resource: str, caller: str, inputs: Sequence[_Input]) -> Iterable[str]:
    own, given = _named(inputs), f", record_or_key: object, /{_named(inputs)}"
    names = {each.name for each in inputs}
    options = {"strategy": "_callers.Strategy | None = ...", "return_records": "bool = ..."}
    chosen = [f"{name}: {kind}" for name, kind in options.items() if name not in names]
    many = f", query: _Query[_typing.Any] | _abc.Iterable[_typing.Any]{_named(inputs, *chosen)}"
    return [
        f"class {caller}(_typing.Protocol):",
        "    @_typing.overload",
        f"    def __get__(self, record: None, owner: type) -> {caller}_of_class: ...",
        "    @_typing.overload",
        f"    def __get__(self, record: {resource}, owner: type) -> {caller}_of_record: ...",
        f"class {caller}_of_class(_typing.Protocol):",
        f"    def __call__(self{given}) -> {resource}: ...",
        f"    def aio(self{given}) -> {_ASYNC.format(resource)}: ...",
        _USING,
        "    @property",
        f"    def bulk(self) -> {caller}_bulk: ...",
        f"class {caller}_of_record(_typing.Protocol):",
        f"    def __call__(self{own}) -> {resource}: ...",
        f"    def aio(self{own}) -> {_ASYNC.format(resource)}: ...",
        _USING,
        f"class {caller}_bulk(_typing.Protocol):",
        f"    def __call__(self{many}) -> _BulkResult[{resource}]: ...",
        f"    def aio(self{many}) -> {_ASYNC.format(f'_BulkResult[{resource}]')}: ...",
    ]
