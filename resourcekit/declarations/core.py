"""Core: the built-in entities as an extension like any other, with its own transformers and verifiers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import attrs

from resourcekit.changeset import PHASES
from resourcekit.declarations.action import Action, CreateAction, DestroyAction, ReadAction, UpdateAction
from resourcekit.declarations.attribute import Attribute
from resourcekit.declarations.calculations import Calculation
from resourcekit.declarations.change import AtomicChange, Change
from resourcekit.declarations.facts import Facts
from resourcekit.declarations.filled import FilledAttributesAreSound
from resourcekit.declarations.identity import Identity, Index
from resourcekit.declarations.managed import AddManagedArguments
from resourcekit.declarations.preparation import Preparation
from resourcekit.declarations.relationships import Relationship
from resourcekit.declarations.soundness import FactoriesCanRun, FunctionsTakeTheirSubject, NamesAreGivenOnce, NoLimitIsNegative
from resourcekit.declarations.validation import AtomicValidation, Validation
from resourcekit.dsl.diagnostics import Finding, Origin
from resourcekit.dsl.entity import Entity, Word
from resourcekit.dsl.extension import Extension
from resourcekit.dsl.extension_checks import takes
from resourcekit.dsl.option import MISSING
from resourcekit.dsl.passes import Transformer, Verifier
from resourcekit.errors import did_you_mean
from resourcekit.expressions.rewriting import fields_of
from resourcekit.known_names import shown

__all__ = ["AddPrimaryRead", "Core"]


class AddPrimaryRead(Transformer):
    """Adds a primary read to a resource without one: all records, under the name ``read`` if it is free, else a free one."""

    def transform(self, state: Any, options: object) -> Any:
        """Add a primary read if there is none."""
        reads = [action for action in state.actions.values() if isinstance(action, ReadAction)]
        if any(action.primary for action in reads):
            return state
        name = "read" if "read" not in {*state.entities, *state.reserved} else "read_all"
        return state.add(ReadAction(name=name, primary=True, doc="Every record.", origin=Origin(declared_by="Core")))


class HasPrimaryKey(Verifier):
    """Requires a primary key whose attributes are never ``None``."""

    def verify(self, info: Facts, options: object) -> Iterable[Finding]:
        """Find a missing key, and key attributes that may be ``None``."""
        if not info.primary_key:
            cure = "Declare one: id: Attr[UUID] = attribute(primary_key=True, default_factory=uuid7)."
            yield Finding(id="RK040", what="no attribute is the primary key", cure=cure, path=("attributes",))
        for name in info.primary_key:
            attribute = info.attributes[name]
            if attribute.allow_none:
                yield _finding("RK041", attribute, "is part of the primary key and may be None", "Take None out of its type.")


class NamesCanBeGiven(Verifier):
    """No attribute or argument has the name of the parameter that Python itself gives to a method."""

    def verify(self, info: Facts, options: object) -> Iterable[Finding]:
        """Find ``self`` and ``cls``: a call could not give them by name."""
        inputs: list[Entity] = [*info.attributes.values()]
        inputs += [argument for action in info.actions.values() for argument in action.arguments.values()]
        for each in inputs:
            if each.name in ("self", "cls"):
                yield _finding("RK039", each, "has a name that a call cannot give", f"Rename it, for example {each.name}_.")


class NamedFieldsExist(Verifier):
    """Requires that the attributes named by identities, indexes and ``accept`` exist."""

    def verify(self, info: Facts, options: object) -> Iterable[Finding]:
        """Find unknown names, each with a suggestion."""
        groups: list[Identity | Index] = [*info.identities.values(), *info.indexes.values()]
        for group in groups:
            if not group.fields:
                yield _finding(
                    "RK042", group, "names no attribute", "Name them: identity('subject'), index('status', 'opened_at')."
                )
            if odd := [each for each in group.fields if type(each) is not str]:
                cure = "Write the names of attributes: identity('subject'), index('status', 'opened_at')."
                yield _finding("RK042", group, f"names {odd[0]!r}, which is no name of an attribute", cure)
                continue
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


class LimitsCanBeMet(Verifier):
    """Requires that some value is within the limits of an attribute, and that it has one default."""

    def verify(self, info: Facts, options: object) -> Iterable[Finding]:
        """Find lower limits above their upper limits, and second defaults."""
        for each in info.attributes.values():
            limits = each.constraints
            for low, high in (("minimum", "maximum"), ("min_length", "max_length")):
                least, most = getattr(limits, low), getattr(limits, high)
                if type(least) is type(most) and least is not None and least > most:
                    yield _finding(
                        "RK034", each, f"no value can meet {low}={least!r} and {high}={most!r}", "Change one of the two."
                    )
            if each.default is not MISSING and each.default_factory is not None:
                yield _finding("RK034", each, "has a default and a default_factory", "Keep one of the two.")


class OnePrimaryActionOfAKind(Verifier):
    """Requires at most one primary action of each kind."""

    def verify(self, info: Facts, options: object) -> Iterable[Finding]:
        """Find a second primary action, and name both."""
        first: dict[str, Action] = {}
        for action in info.actions.values():
            if action.primary and (other := first.setdefault(action.kind, action)) is not action:
                what = f"is a second primary {action.kind} action beside {other.name!r} ({other.origin})"
                yield _finding("RK045", action, what, "Say primary=True for one of the two.")


_BASES = (Change, Validation, Preparation)


_STEPS = {
    "changes": ("change", "changeset", "context"),
    "validations": ("validate", "changeset", "context"),
    "preparations": ("prepare", "query", "context"),
    "notifiers": ("notify", "notification"),
}
"""By the name of a group of steps: their method, and what it is given."""


class StepsCanRun(Verifier):
    """Requires that changes, validations, preparations and notifiers are functions or objects with the right method."""

    def verify(self, info: Facts, options: object) -> Iterable[Finding]:
        """Find classes in place of instances, and values that are not callable."""
        for action in info.actions.values():
            for group, (method, *given) in _STEPS.items():
                for step in getattr(action, group, ()):
                    if isinstance(step, type):
                        what = f"has the class {step.__name__} among its {group}, where an instance belongs"
                        yield _finding("RK053", action, what, f"Write {step.__name__}(...).")
                    elif isinstance(step, (Entity, Word)) or not callable(getattr(step, method, step)):
                        what = f"has {shown(step)} among its {group}, which is no function and has no {method}"
                        yield _finding("RK053", action, what, f"Give a function, or an object with {method}.")
                    elif not takes(getattr(step, method, step), len(given)):
                        name = getattr(step, "__name__", type(step).__name__)
                        what = f"has {name} among its {group}, which does not take {' and '.join(given)}"
                        yield _finding("RK053", action, what, f"Give it these parameters: ({', '.join(given)}).")
                    elif any(getattr(type(step), method, None) is getattr(base, method, step) for base in _BASES):
                        what = f"has a {type(step).__name__} among its {group}, which does not define {method}"
                        yield _finding("RK053", action, what, f"Define it in the class: def {method}(self, ...).")
                    elif getattr(step, "phase", "normal") not in PHASES and group == "notifiers":
                        what = f"has a notifier whose phase is {step.phase!r}"
                        yield _finding("RK053", action, what, f"Write one of {', '.join(map(repr, PHASES))}.")


class ActionsAreSound(Verifier):
    """Requires that upserts and ``finds_with`` name existing identities and reads, that ``require_atomic`` holds, and that no
    update writes a key.
    """

    def verify(self, info: Facts, options: object) -> Iterable[Finding]:
        """Find problems that would otherwise appear only when the action runs."""
        for action in info.actions.values():
            if isinstance(action, CreateAction) and action.upsert is not None:
                yield from _upsert_findings(action, info)
            if isinstance(action, ReadAction) and action.primary:
                for argument in action.arguments.values():
                    if argument.is_required:
                        what = f"is the primary read and needs the argument {argument.name!r}, which no query gives"
                        yield _finding("RK054", action, what, "Give the argument a default, or make another read primary.")
            if isinstance(action, ReadAction):
                yield from _page_findings(action)
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
    if action.upsert.set is not None and not isinstance(action.upsert.set, Mapping):
        cure = 'Write Upsert(set={"seen": now()}), or Upsert(given=("subject",)) for the values that the caller gave.'
        yield _finding("RK046", action, f"has Upsert(set={action.upsert.set!r}), which is no mapping", cure)
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


def _page_findings(action: ReadAction) -> Iterable[Finding]:
    cure = "Give whole numbers from 1 on, page_limit not above page_limit_max."
    for option in ("page_limit", "page_limit_max"):
        value = getattr(action, option)
        if value is not None and (type(value) is not int or value < 1):
            yield _finding("RK059", action, f"has {option}={value!r}, which is no size of a page", cure)
            return
    if action.page_limit is not None and action.page_limit_max is not None and action.page_limit > action.page_limit_max:
        what = f"has page_limit={action.page_limit}, which is above page_limit_max={action.page_limit_max}"
        yield _finding("RK059", action, what, cure)


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
    """The entities of every resource: attributes, actions, identities, indexes, relationships, calculations."""

    entities: ClassVar[tuple[type[Entity], ...]] = (Attribute, Action, Identity, Index, Relationship, Calculation)
    transformers: ClassVar[tuple[type[Transformer], ...]] = (AddPrimaryRead, AddManagedArguments)
    verifiers: ClassVar[tuple[type[Verifier], ...]] = (
        HasPrimaryKey,
        NamesCanBeGiven,
        NamedFieldsExist,
        LimitsCanBeMet,
        OnePrimaryActionOfAKind,
        StepsCanRun,
        ActionsAreSound,
        NamesAreGivenOnce,
        FactoriesCanRun,
        NoLimitIsNegative,
        FunctionsTakeTheirSubject,
        FilledAttributesAreSound,
    )
