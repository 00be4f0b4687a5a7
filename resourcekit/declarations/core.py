"""Core: the vocabulary of a class body as an extension like any other, with its own steps and checks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import attrs

from resourcekit.declarations.action import Action, CreateAction, DestroyAction, ReadAction, UpdateAction
from resourcekit.declarations.attribute import Attribute
from resourcekit.declarations.change import AtomicChange
from resourcekit.declarations.facts import Facts
from resourcekit.declarations.identity import Identity, Index
from resourcekit.declarations.validation import AtomicValidation
from resourcekit.dsl.entity import Entity
from resourcekit.dsl.extension import Extension
from resourcekit.dsl.finding import Finding
from resourcekit.dsl.origin import Origin
from resourcekit.dsl.transformer import Transformer
from resourcekit.dsl.verifier import Verifier
from resourcekit.errors import did_you_mean
from resourcekit.flow.rewriting import fields_of

__all__ = ["AddPrimaryRead", "Core"]


class AddPrimaryRead(Transformer):
    """Gives a resource without a primary read one: all records, under the name ``read`` where that is free."""

    def transform(self, state: Any, options: object) -> Any:
        """Add one, unless there is one."""
        reads = [action for action in state.actions.values() if isinstance(action, ReadAction)]
        if any(action.primary for action in reads):
            return state
        name = "read" if "read" not in {*state.entities, *state.reserved} else "read_all"
        return state.add(ReadAction(name=name, primary=True, doc="Every record.", origin=Origin(declared_by="Core")))


class HasPrimaryKey(Verifier):
    """A resource has a primary key, and it always has a value."""

    def verify(self, info: Facts, options: object) -> Iterable[Finding]:
        """Find a missing key, and key attributes that may be ``None``."""
        if not info.primary_key:
            cure = "Declare one: id: Attr[UUID] = attribute(primary_key=True, default_factory=uuid7)."
            yield Finding(id="RK040", what="no attribute is the primary key", cure=cure, path=("attributes",))
        for name in info.primary_key:
            attribute = info.attributes[name]
            if attribute.allow_none:
                yield _finding("RK041", attribute, "is part of the primary key and may be None", "Take None out of its type.")


class NamedFieldsExist(Verifier):
    """Identities, indexes and ``accept`` name attributes that exist."""

    def verify(self, info: Facts, options: object) -> Iterable[Finding]:
        """Find unknown names, with a suggestion each."""
        groups: list[Identity | Index] = [*info.identities.values(), *info.indexes.values()]
        for group in groups:
            where = group.where if isinstance(group, Index) else None
            for field in (*group.fields, *(() if where is None else sorted(fields_of(where)))):
                if field not in info.attributes:
                    yield _finding(
                        "RK042",
                        group,
                        f"names the attribute {field!r}, which does not exist",
                        did_you_mean(field, info.attributes),
                    )
        for action in info.actions.values():
            for field in getattr(action, "accept", ()):
                if field not in info.attributes:
                    yield _finding(
                        "RK043", action, f"accepts {field!r}, which is no attribute", did_you_mean(field, info.attributes)
                    )
                elif field in action.arguments:
                    yield _finding(
                        "RK044", action, f"has {field!r} both as accepted attribute and as argument", "Keep one of the two."
                    )


class OnePrimaryActionOfAKind(Verifier):
    """At most one action of each kind is primary."""

    def verify(self, info: Facts, options: object) -> Iterable[Finding]:
        """Find the second one, and name both."""
        first: dict[str, Action] = {}
        for action in info.actions.values():
            if action.primary and (other := first.setdefault(action.kind, action)) is not action:
                what = f"is a second primary {action.kind} action beside {other.name!r} ({other.origin})"
                yield _finding("RK045", action, what, "Say primary=True for one of the two.")


class StepsCanRun(Verifier):
    """Changes, validations, preparations and notifiers are functions or objects that do what is asked of them."""

    def verify(self, info: Facts, options: object) -> Iterable[Finding]:
        """Find classes in the place of their instances, and values that can do nothing."""
        asked = {"changes": "change", "validations": "validate", "preparations": "prepare", "notifiers": "notify"}
        for action in info.actions.values():
            for group, method in asked.items():
                for step in getattr(action, group, ()):
                    if isinstance(step, type):
                        what = f"has the class {step.__name__} among its {group}, where an instance belongs"
                        yield _finding("RK053", action, what, f"Write {step.__name__}(...).")
                    elif not callable(getattr(step, method, step)):
                        what = f"has {step!r} among its {group}, which is no function and has no {method}"
                        yield _finding("RK053", action, what, f"Give a function, or an object with {method}.")


class ActionsAreSound(Verifier):
    """Upserts name identities and ``finds_with`` reads that exist; ``require_atomic`` is kept; no update writes a key."""

    def verify(self, info: Facts, options: object) -> Iterable[Finding]:
        """Find what could only fail when the action runs."""
        for action in info.actions.values():
            if isinstance(action, CreateAction) and action.upsert is not None:
                yield from _upsert_findings(action, info)
            if isinstance(action, ReadAction) and action.primary:
                for argument in action.arguments.values():
                    if argument.is_required:
                        what = f"is the primary read and needs the argument {argument.name!r}, which no query gives"
                        yield _finding("RK054", action, what, "Give the argument a default, or make another read primary.")
            if isinstance(action, (UpdateAction, DestroyAction)):
                yield from _atomic_findings(action)
                yield from _finding_findings(action, info)
            if isinstance(action, UpdateAction):
                for name in set(action.accept) & set(info.primary_key):
                    yield _finding(
                        "RK048", action, f"accepts {name!r}, a part of the primary key", "Destroy the record and create another."
                    )


def _upsert_findings(action: CreateAction, info: Facts) -> Iterable[Finding]:
    if action.upsert is None:
        return
    name = action.upsert.identity
    if name is not None and name not in info.identities:
        yield _finding(
            "RK046",
            action,
            f"upserts by the identity {name!r}, which does not exist",
            did_you_mean(name, info.identities) or f"Declare it: {name} = identity(...).",
        )
    for field in (*(action.upsert.set or ()), *action.upsert.given):
        if field not in info.attributes:
            yield _finding(
                "RK046", action, f"sets {field!r} in its upsert, which is no attribute", did_you_mean(field, info.attributes)
            )


def _atomic_findings(action: UpdateAction | DestroyAction) -> Iterable[Finding]:
    if not action.require_atomic:
        return
    steps = [step for step in action.changes if not isinstance(step, AtomicChange)]
    steps += [step for step in action.validations if not isinstance(step, AtomicValidation)]
    if action.function is not None:
        steps.append(action.function)
    for step in steps:
        name = getattr(step, "__name__", type(step).__name__)
        yield _finding(
            "RK047", action, f"requires atomic steps, and {name} has no atomic form", "Give it one, or drop require_atomic."
        )


def _finding_findings(action: UpdateAction | DestroyAction, info: Facts) -> Iterable[Finding]:
    name = action.finds_with
    if name is None:
        return
    reads = info.all_of(ReadAction)
    if name not in reads:
        yield _finding("RK049", action, f"finds its records with {name!r}, which is no read action", did_you_mean(name, reads))
    elif required := [argument.name for argument in reads[name].arguments.values() if argument.is_required]:
        what = f"finds its records with {name!r}, which needs the argument {required[0]!r}"
        yield _finding("RK049", action, what, "Name a read without required arguments.")


def _finding(code: str, entity: Entity, what: str, cure: str) -> Finding:
    return Finding(id=code, what=what, cure=cure, path=(entity.section, entity.name), origin=entity.origin)


@attrs.frozen(kw_only=True)
class Core(Extension):
    """The words of every resource: attributes, actions, identities, indexes."""

    entities: ClassVar[tuple[type[Entity], ...]] = (Attribute, Action, Identity, Index)
    transformers: ClassVar[tuple[type[Transformer], ...]] = (AddPrimaryRead,)
    verifiers: ClassVar[tuple[type[Verifier], ...]] = (
        HasPrimaryKey,
        NamedFieldsExist,
        OnePrimaryActionOfAKind,
        StepsCanRun,
        ActionsAreSound,
    )
