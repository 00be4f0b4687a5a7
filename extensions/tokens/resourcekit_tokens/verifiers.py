"""The verifiers of token resources: the user's declarations fit those of the extension, and no action could undo a revocation.

Open it to add a rule for token resources. The checks of the user's own actions serve promises P1 (a revoked token stays revoked) and
P6 (facts only grow).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import attrs

from resourcekit.extending import (
    Action,
    CreateAction,
    DestroyAction,
    Entity,
    Expression,
    Facts,
    Finding,
    ResourceInfo,
    Verifier,
)
from resourcekit_tokens.actions import default_actions, required_steps
from resourcekit_tokens.options import TokenOptions, own_attributes, protected_attributes
from resourcekit_tokens.record import TokenRecord

__all__ = [
    "OnlySafeActions",
    "TokenShape",
    "users_writes",
]


def users_writes(facts: Facts, options: TokenOptions) -> list[Action]:
    """Return the writing actions that are neither the extension's nor allowed by name."""
    own_actions = {action.name for action in default_actions(options)}
    return [
        action
        for action in facts.actions.values()
        if action.kind in ("create", "update", "destroy") and action.name not in own_actions | options.allow_unsafe_actions
    ]


class OnlySafeActions(Verifier):
    """Refuses actions of the user's own that could undo or lose a revocation."""

    across: ClassVar[bool] = False

    def verify(self, info: ResourceInfo, options: TokenOptions) -> Iterable[Finding]:
        """Return findings for creates, for destroys, and for updates that write a protected attribute."""
        for name in sorted(options.allow_unsafe_actions - set(info.actions)):
            yield Finding(
                id="RK225",
                what=f"allow_unsafe_actions names {name!r}, which is no action",
                cure="Take it out, or mend the name.",
                path=("TokenResource", "allow_unsafe_actions"),
                origin=options.origin,
            )
        for action in users_writes(info, options):
            if isinstance(action, CreateAction):
                yield _unsafe(action, "creates records past the extension", "Use store_token(values=...), or")
            elif isinstance(action, DestroyAction):
                yield _unsafe(action, "destroys records that may not have expired", "Use expunge_expired, or")
            else:
                written = sorted(protected_attributes(options) & _written_by(action))
                if written:
                    yield _unsafe(action, f"writes {', '.join(written)}, which only the extension writes", "Leave that out, or")


def _written_by(action: Action) -> set[str]:
    """Return the attributes that an action declares to write. Functions are checked at run time."""
    named: set[str] = set(getattr(action, "accept", ()))
    for change in getattr(action, "changes", ()):
        named.update(getattr(change, "names", ()) or ())
        named.add(getattr(change, "name", ""))
    return named


def _unsafe(action: Any, what: str, cure: str) -> Finding:
    return Finding(
        id="RK224",
        what=what,
        why="A revoked token could come back to life.",
        cure=f"{cure} name it in TokenResource(allow_unsafe_actions={{{action.name!r}}}).",
        path=("actions", action.name),
        origin=action.origin,
    )


class TokenShape(Verifier):
    """Attributes, actions and options agree with the extension; each finding names both places."""

    def verify(self, info: ResourceInfo, options: TokenOptions) -> Iterable[Finding]:
        """Return a finding for each conflict."""
        yield from _attributes(info, options)
        yield from _actions(info, options)
        yield from _options(info, options)


def _attributes(info: ResourceInfo, options: TokenOptions) -> Iterable[Finding]:
    if info.primary_key != ("jti",):
        found = info.attributes.get("jti")
        yield _finding(
            "RK220", found, "jti must be the primary key, alone", "Declare it primary_key=True, or remove your own jti."
        )
    for name, usual in TokenRecord.__info__.attributes.items():
        declared = info.attributes.get(options.created_at_attribute_name if name == "created_at" else name)
        if declared is None or declared.origin == usual.origin:
            continue
        if declared.type.kind is not usual.type.kind or (usual.allow_none and not declared.allow_none):
            place = attrs.evolve(usual.origin, declared_by="TokenResource")
            what = f"must be {usual.type}, is {declared.type}; expected at {place}"
            yield _finding("RK221", declared, what, f"Declare it as Attr[{usual.type}], or remove your own {name}.")
    for name in sorted(protected_attributes(options) & set(info.attributes)):
        if info.attributes[name].update_default_factory is not None:
            what = "is written by every update of yours, and only the extension may write it"
            yield _finding("RK221", info.attributes[name], what, "Take its update default away.")
    for name in own_attributes(info, options):
        if not info.attributes[name].has_default:
            what = "has no default, and a revocation of a token that was never stored could not be written"
            yield _finding("RK222", info.attributes[name], what, "Give it a default, or let it be None.")


def _actions(info: ResourceInfo, options: TokenOptions) -> Iterable[Finding]:
    expected_actions = {action.name: action for action in default_actions(options)}
    if len(expected_actions) < len(default_actions(options)):
        yield _finding("RK223", None, "two action names of TokenResource are the same", "Give each action a name of its own.")
    for name, expected in expected_actions.items():
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
        declared = action.arguments.get(name)
        if declared is None:
            if argument.is_required:
                what = f"has no argument {name!r}; expected by TokenResource"
                yield _finding(
                    "RK223", action, what, f"Add argument({name!r}, {argument.type}), or remove your own {action.name}."
                )
        elif declared.type.kind is not argument.type.kind:
            what = f"argument {name!r}: type must be {argument.type}, is {declared.type}; expected by TokenResource"
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
    """Return whether an upsert has exactly the assignments of the extension's own, besides those of the user's attributes."""
    usual = next(default for default in default_actions(options) if default.name == action.name)
    expected = getattr(usual, "upsert", None)
    given = action.upsert.set if action.upsert is not None else None
    if expected is None or given is None or action.upsert is None:
        return False
    if expected.where is not None and _parts(action.upsert.where) != _parts(expected.where):
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
    if options.require_token_presence and not (options.store_all_tokens or options.sessions):
        what = "require_token_presence needs store_all_tokens or sessions, else no issued token would ever verify"
        yield _finding("RK226", None, what, "Say store_all_tokens=True as well.", options)
    yield from _session_options(options)
    if options.store_all_tokens and options.keys is None:
        what = "store_all_tokens needs jwt, because only issued tokens are stored"
        yield _finding("RK226", None, what, "Say jwt=JWT(...), or take store_all_tokens away.", options)


def _session_options(options: TokenOptions) -> Iterable[Finding]:
    if options.sessions and options.keys is None:
        what = "sessions needs jwt, because only the sign-ins of issue_pair are recorded"
        yield _finding("RK226", None, what, "Say jwt=JWT(...), or take sessions away.", options)
    for name in ("max_session", "max_idle"):
        if getattr(options, name) is not None and not options.sessions:
            what = f"{name} needs sessions, because the record of a session knows when it began"
            yield _finding("RK226", None, what, f"Say sessions=True as well, or take {name} away.", options)
    grace, jwt = options.rotation_grace, options.jwt
    if grace is not None and jwt is not None and grace > jwt.lifetime("user"):
        what = f"rotation_grace is {grace}, longer than access tokens live, {jwt.lifetime('user')}"
        yield _finding(
            "RK226", None, what, "Make the grace shorter; ten seconds are enough for tabs that refresh at once.", options
        )


def _finding(code: str, entity: Entity | None, what: str, cure: str, options: TokenOptions | None = None) -> Finding:
    path = ("extensions", "TokenResource") if entity is None else (entity.section, entity.name)
    origin = options.origin if options is not None else None if entity is None else entity.origin
    return Finding(id=code, what=what, cure=cure, path=path, origin=origin)
