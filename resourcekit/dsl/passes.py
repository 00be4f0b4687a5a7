"""Transformers and verifiers: the steps of an extension that change the state of a resource, and those that check its facts.

Open it to change the order in which transformers run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Literal

from resourcekit.dsl.diagnostics import Finding
from resourcekit.dsl.extension_checks import PHASES, check_class, wrong_class
from resourcekit.dsl.state import State
from resourcekit.errors import DeclarationError, MissingMethod
from resourcekit.known_names import shown

__all__ = [
    "Transformer",
    "Verifier",
    "in_order",
]


class Transformer:
    """One compile step of an extension: it gets a state and returns a new one.

    before, after: transformers that must come later or earlier; those that are not installed are ignored.
    phase: ``"early"`` before all normal steps, ``"last"`` after them, whichever extension brings them. A step that must see all
        that others add, as one that audits every action, is ``"last"``.
    """

    before: ClassVar[frozenset[type[Transformer]]] = frozenset()
    after: ClassVar[frozenset[type[Transformer]]] = frozenset()
    phase: ClassVar[Literal["early", "normal", "last"]] = "normal"

    @classmethod
    def check(cls) -> None:
        """Raise DeclarationError RK015 for a phase, or steps in ``before`` and ``after``, that cannot be."""
        check_class(cls, ["before", "after", "phase", "transform"])
        if cls.phase not in PHASES:
            raise wrong_class(cls, "phase", f"phase is {cls.phase!r}", f"Write one of {', '.join(map(repr, PHASES))}.")
        given: tuple[tuple[str, object], ...] = (("before", cls.before), ("after", cls.after))
        for name, steps in given:
            if not isinstance(steps, (frozenset, set, tuple, list)):
                raise wrong_class(
                    cls, name, f"{name} must be a set of transformers, is {steps!r}", f"Write {name} = frozenset({{...}})."
                )
            for step in steps:
                if not (isinstance(step, type) and issubclass(step, Transformer)):
                    what = f"{name} has {shown(step)}, which is no class of a transformer"
                    raise wrong_class(cls, name, what, "Give the class itself.")
                if step is cls:
                    raise wrong_class(cls, name, f"{name} names the transformer itself", "Name another transformer, or none.")

    # Any: a subclass names the options class of its own extension, and the state class of its framework.
    def transform(self, state: Any, options: Any) -> State:
        """Return the changed state."""
        raise MissingMethod.of(self, "transform")


class Verifier:
    """One check of finished facts; it returns all its findings. It defines ``verify``, ``verify_domain``, or both.

    across: it involves other resources too, and so runs when the domain is sealed, not when the class is created.
    at_start: it needs what a running program has, such as secrets, and so runs when the program calls ``Domain.seal()`` or starts a
        Supervisor; not at import, and not when storage is created.
    """

    across: ClassVar[bool] = False
    at_start: ClassVar[bool] = False

    # Any: the facts belong to the framework, the options to the verifier's own extension.
    def verify(self, info: Any, options: Any) -> Iterable[Finding]:
        """Return the findings for one resource; empty if there is no problem."""
        raise MissingMethod.of(self, "verify")

    def verify_domain(self, members: Sequence[tuple[Any, Any]]) -> Iterable[Finding]:
        """Return the findings for a whole domain. Called once when the domain is sealed.

        members: facts and options of each resource of the domain that has the extension, in the order of declaration. A finding
        names its resource: ``Finding(resource=info.name, ...)``.
        """
        raise MissingMethod.of(self, "verify_domain")


Step = type[Transformer]


def in_order(steps: Sequence[Step]) -> tuple[Step, ...]:
    """Return the steps in an order that meets every ``before``, ``after`` and ``phase``; otherwise the given order is kept.

    Raise DeclarationError RK012 with the steps of a cycle, and RK013 for a step given twice.
    """
    for position, step in enumerate(steps):
        if step in steps[:position]:
            raise DeclarationError(
                "RK013", f"the transformer {step.__name__} is given twice", path=("transformers",), hint="Name it once."
            )
    earlier = {step: {other for other in steps if _comes_before(other, step)} for step in steps}
    ordered: list[Step] = []
    waiting = list(steps)
    while waiting:
        ready = next((step for step in waiting if earlier[step] <= set(ordered)), None)
        if ready is None:
            raise _loop(waiting, earlier)
        ordered.append(ready)
        waiting.remove(ready)
    return tuple(ordered)


def _comes_before(one: Step, other: Step) -> bool:
    is_earlier = PHASES.index(one.phase) < PHASES.index(other.phase)
    return one is not other and (is_earlier or other in one.before or one in other.after)


def _loop(waiting: Sequence[Step], earlier: dict[Step, set[Step]]) -> DeclarationError:
    """Follow the steps that must come earlier until one is repeated, and return the error with this cycle."""
    path = [waiting[0]]
    while True:
        following = next(step for step in waiting if step in earlier[path[-1]])
        if following in path:
            names = [step.__name__ for step in (*path[path.index(following) :], following)]
            return DeclarationError(
                "RK012",
                f"transformers wait for each other: {' after '.join(names)}",
                path=("transformers",),
                hint="Take one of these before/after away, or change a phase.",
            )
        path.append(following)
