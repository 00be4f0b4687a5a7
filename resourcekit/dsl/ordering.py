"""A stable topological order of steps that name each other in ``before`` and ``after``. It knows no resource."""

from __future__ import annotations

from collections.abc import Sequence

from resourcekit.dsl.transformer import Transformer
from resourcekit.errors import DeclarationError

__all__ = ["in_order"]

Step = type[Transformer]


def in_order(steps: Sequence[Step]) -> tuple[Step, ...]:
    """Return the steps so that every ``before`` and ``after`` holds; steps that are free keep their given order.

    Raises DeclarationError RK012 naming the steps of a loop, and RK013 for a step given twice.
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
    return one is not other and (other in one.before or one in other.after)


def _loop(waiting: Sequence[Step], earlier: dict[Step, set[Step]]) -> DeclarationError:
    """Follow "must come earlier" until a step comes up again, and name that round."""
    path = [waiting[0]]
    while True:
        following = next(step for step in waiting if step in earlier[path[-1]])
        if following in path:
            names = [step.__name__ for step in (*path[path.index(following) :], following)]
            return DeclarationError(
                "RK012",
                f"transformers wait for each other: {' after '.join(names)}",
                path=("transformers",),
                hint="Take one of these before/after away.",
            )
        path.append(following)
