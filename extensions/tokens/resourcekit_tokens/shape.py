"""Checks that what the user declared fits what the extension needs. It knows no store."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from resourcekit.extending import Action, CreateAction, Entity, Expression, Finding, ResourceInfo, Verifier
from resourcekit_tokens.actions import default_actions, required_steps
from resourcekit_tokens.options import TokenOptions
from resourcekit_tokens.protection import own_attributes, protected_attributes
from resourcekit_tokens.record import TokenRecord

__all__ = ["TokenShape"]


class TokenShape(Verifier):
    """Attributes, actions and options agree with the extension; each finding names both places."""

    def verify(self, info: ResourceInfo, options: TokenOptions) -> Iterable[Finding]:
        """Return all that does not fit."""
        yield from _attributes(info, options)
        yield from _actions(info, options)
        yield from _options(info, options)


def _attributes(info: ResourceInfo, options: TokenOptions) -> Iterable[Finding]:
    if info.primary_key != ("jti",):
        found = info.attributes.get("jti")
        yield _finding(
            "RK220", found, "jti must be the primary key, alone", "Declare it primary_key=True, or remove your own jti."
        )
    for name, ours in TokenRecord.__info__.attributes.items():
        theirs = info.attributes.get(options.created_at_attribute_name if name == "created_at" else name)
        if theirs is None or theirs.origin == ours.origin:
            continue
        if theirs.type.kind is not ours.type.kind or (ours.allow_none and not theirs.allow_none):
            place = attrs.evolve(ours.origin, declared_by="TokenResource")
            what = f"must be {ours.type}, is {theirs.type}; expected at {place}"
            yield _finding("RK221", theirs, what, f"Declare it as Attr[{ours.type}], or remove your own {name}.")
    for name in sorted(protected_attributes(options) & set(info.attributes)):
        if info.attributes[name].update_default_factory is not None:
            what = "is written by every update of yours, and only the extension may write it"
            yield _finding("RK221", info.attributes[name], what, "Take its update default away.")
    for name in own_attributes(info, options):
        if not info.attributes[name].has_default:
            what = "has no default, and a revocation of a token that was never stored could not be written"
            yield _finding("RK222", info.attributes[name], what, "Give it a default, or let it be None.")


def _actions(info: ResourceInfo, options: TokenOptions) -> Iterable[Finding]:
    ours = {action.name: action for action in default_actions(options)}
    if len(ours) < len(default_actions(options)):
        yield _finding("RK223", None, "two action names of TokenResource are the same", "Give each action a name of its own.")
    for name, expected in ours.items():
        action = info.actions.get(name)
        if action is None or action.origin.declared_by == "TokenResource":
            continue
        if action.kind != expected.kind:
            what = f"must be a {expected.kind} action, is a {action.kind} action; expected by TokenResource"
            yield _finding("RK223", action, what, "Rename your action, or the extension's by its option.")
        else:
            yield from _arguments(action, expected)
            yield from _change(action, options)


def _arguments(action: Action, expected: Action) -> Iterable[Finding]:
    for name, argument in expected.arguments.items():
        theirs = action.arguments.get(name)
        if theirs is None:
            if argument.is_required:
                what = f"has no argument {name!r}; expected by TokenResource"
                yield _finding(
                    "RK223", action, what, f"Add argument({name!r}, {argument.type}), or remove your own {action.name}."
                )
        elif theirs.type.kind is not argument.type.kind:
            what = f"argument {name!r}: type must be {argument.type}, is {theirs.type}; expected by TokenResource"
            yield _finding("RK223", action, what, f"Declare it as {argument.type}, or remove your own {action.name}.")


def _change(action: Action, options: TokenOptions) -> Iterable[Finding]:
    step, _ = required_steps(options).get(action.name, (None, ""))
    if step is None or not isinstance(action, CreateAction):
        return
    if not any(isinstance(change, step) for change in action.changes):
        what = f"does not have the change {step.__name__}; expected by TokenResource"
        yield _finding("RK223", action, what, f"Add changes=[{step.__name__}()], or remove your own {action.name}.")
    if action.upsert is None or action.upsert.identity is not None or not _is_guarded(action, options):
        what = "does not keep the guards of TokenResource in its upsert, and could revive a revoked token"
        cure = f"Say upsert={step.__name__}.upsert(), or remove your own {action.name}."
        yield _finding("RK223", action, what, cure)


def _is_guarded(action: CreateAction, options: TokenOptions) -> bool:
    """Tell whether an upsert assigns what the extension's own does, to the letter, besides the user's attributes."""
    ours = next(default for default in default_actions(options) if default.name == action.name)
    expected = getattr(ours, "upsert", None)
    given = action.upsert.set if action.upsert is not None else None
    if expected is None or given is None:
        return False
    return all(name in given and _parts(given[name]) == _parts(value) for name, value in expected.set.items())


def _parts(value: object) -> object:
    """Take an expression apart, so that it can be compared: its own == makes another expression."""
    if isinstance(value, Expression):
        return type(value), [_parts(getattr(value, field.name)) for field in attrs.fields(type(value))]  # type: ignore[arg-type]  # every node is an attrs class
    return [_parts(each) for each in value] if isinstance(value, (tuple, list)) else value


def _options(info: ResourceInfo, options: TokenOptions) -> Iterable[Finding]:
    inherited = info.attributes.get("created_at")
    if options.created_at_attribute_name != "created_at" and inherited is not None and inherited.origin.declared_by != "you":
        what = "created_at_attribute_name cannot rename what TokenRecord declares, because type checkers see it there"
        yield _finding("RK226", None, what, "Write class Token(Resource, ...), or leave the name as it is.", options)
    if options.require_token_presence and not options.store_all_tokens:
        what = "require_token_presence needs store_all_tokens, else no issued token would ever verify"
        yield _finding("RK226", None, what, "Say store_all_tokens=True as well.", options)
    if options.store_all_tokens and options.jwt is None:
        what = "store_all_tokens needs jwt, because only issued tokens are stored"
        yield _finding("RK226", None, what, "Say jwt=JWT(...), or take store_all_tokens away.", options)


def _finding(code: str, entity: Entity | None, what: str, cure: str, options: TokenOptions | None = None) -> Finding:
    path = ("extensions", "TokenResource") if entity is None else (entity.section, entity.name)
    origin = options.origin if options is not None else None if entity is None else entity.origin
    return Finding(id=code, what=what, cure=cure, path=path, origin=origin)
