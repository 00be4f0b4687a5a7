"""A state machine as an extension: actions move a record from one state to another, also under concurrency, and nothing else does.

Run it: ``python examples/state_machine.py``. The extension would be a package of its own; here it is above its use.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Literal

import attrs

from resourcekit import Attr, Changeset, Context, Domain, Resource, attribute, create, destroy, query, update
from resourcekit.data_layers import SQL
from resourcekit.errors import DeclarationError, StaleRecord
from resourcekit.extending import (
    Change,
    Entity,
    Extension,
    Field,
    Finding,
    Origin,
    ResourceInfo,
    State,
    Transformer,
    UpdateAction,
    Verifier,
    function,
    option,
)

# The extension -----------------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class MachineOptions(Extension):
    """The options of the state machine; a class of its own, so that its steps can name it."""

    attribute: str = option(default="state", doc="Name of the attribute that holds the state.")


@attrs.frozen(kw_only=True, eq=False)
class Transition(Entity):
    """One action, with the states that it starts from and the state that it leads to."""

    section: ClassVar[str] = "transitions"
    action: str = option(doc="Name of the update action.")
    sources: tuple[str, ...] = option(doc="States that the record may be in.")
    target: str = option(doc="State of the record afterwards.")


def transition(action: str, *, sources: tuple[str, ...], target: str) -> Transition:
    """Declare that an update action moves a record from one of some states to another."""
    return Transition(action=action, sources=sources, target=target, origin=Origin.here())


@attrs.frozen
class Move(Change):
    """Writes the new state if the record is in one of the states before. The check and the write are one statement."""

    name: str
    sources: tuple[str, ...]
    target: str

    def change(self, changeset: Changeset, context: Context) -> Changeset:
        """Set the state and the condition."""
        return changeset.set(**{self.name: self.target}).where(Field(self.name).in_(self.sources))

    def atomic(self, changeset: Changeset, context: Context) -> Changeset:
        """Do the same without a read first."""
        return changeset.set_atomic(**{self.name: self.target}).where(Field(self.name).in_(self.sources))


class AddMoves(Transformer):
    """Adds a move to the action of each transition."""

    def transform(self, state: State, options: MachineOptions) -> State:
        """Change the actions, and add the function."""
        for each in state.all_of(Transition).values():
            action = state.actions.get(each.action)
            if isinstance(action, UpdateAction):
                move = Move(options.attribute, each.sources, each.target)
                state = state.replace(attrs.evolve(action, changes=(*action.changes, move)))
        return state.define("moves_from", moves_from)


@function
async def moves_from(resource: Any, state: str) -> list[str]:
    """Return the names of the actions that can move a record out of a state."""
    transitions: Iterable[Transition] = resource.__info__.all_of(Transition).values()
    return [each.action for each in transitions if state in each.sources]


class MovesArePossible(Verifier):
    """Transitions name update actions and states that exist, and no action writes the state past them."""

    def verify(self, info: ResourceInfo, options: MachineOptions) -> Iterable[Finding]:
        """Find wrong names, and actions that accept the state as an input."""
        held = options.attribute
        states = info.attributes[held].type.options if held in info.attributes else ()
        for name, each in info.all_of(Transition).items():
            wrong = [] if isinstance(info.actions.get(each.action), UpdateAction) else [f"{each.action!r} is no update action"]
            wrong += [f"{state!r} is no value of {held}" for state in (*each.sources, each.target) if state not in states]
            for what in wrong:
                path = (each.section, name)
                yield Finding(id="MACHINE01", what=what, cure="Correct the name.", path=path, origin=each.origin)
        for action in info.actions.values():
            if options.attribute in getattr(action, "accept", ()):
                what = f"accepts {options.attribute!r}, so that a caller could skip the transitions"
                cure, path = "Take it out of accept.", (action.section, action.name)
                yield Finding(id="MACHINE02", what=what, cure=cure, path=path, origin=action.origin)


@attrs.frozen(kw_only=True)
class StateMachine(MachineOptions):
    """Lets only declared transitions change the state of a record."""

    entities: ClassVar[tuple[type[Entity], ...]] = (Transition,)
    transformers: ClassVar[tuple[type[Transformer], ...]] = (AddMoves,)
    verifiers: ClassVar[tuple[type[Verifier], ...]] = (MovesArePossible,)


# Its use -----------------------------------------------------------------------------------------------------------

shop = Domain("shop")


class Order(Resource, domain=shop, data_layer=SQL("sqlite:///orders.db"), extensions=[StateMachine]):
    """An order, from the basket to the delivery."""

    id: Attr[int] = attribute(primary_key=True)
    state: Attr[Literal["placed", "paid", "sent", "cancelled"]] = attribute(default="placed")

    place = create(accept=["id"])
    pay = update(require_atomic=True)
    send = update(require_atomic=True)
    cancel = update(require_atomic=True)
    remove = destroy()

    paying = transition("pay", sources=("placed",), target="paid")
    sending = transition("send", sources=("paid",), target="sent")
    cancelling = transition("cancel", sources=("placed", "paid"), target="cancelled")


def main() -> None:
    """Move some orders, and try to move them wrongly."""
    shop.create_storage()
    Order.remove.bulk(query(Order))

    first, second = Order.place(id=1), Order.place(id=2)
    print("out of placed:", ", ".join(moves_from(Order, "placed")))
    try:
        Order.send(first)
    except StaleRecord:
        print("not sent: it is not paid")
    print("paid:", Order.pay(first).state)
    try:
        Order.pay(first)  # the record in hand still says "placed"; the store knows better
    except StaleRecord:
        print("not paid twice")
    Order.cancel(second)
    sent = Order.send.bulk(query(Order), strategy="stream")  # each record is moved or refused by itself
    print("sent:", sent.count, "refused:", len(sent.failures))
    print({order.id: order.state for order in query(Order).sort(Order.id).all()})

    try:

        class Wrong(Resource, extensions=[StateMachine]):
            id: Attr[int] = attribute(primary_key=True)
            state: Attr[Literal["on", "off"]] = attribute(default="off")
            switch = update()
            switching = transition("swich", sources=("off",), target="on")

        print(Wrong, "is not reached")

    except DeclarationError as error:
        print(error.code, error.what)


if __name__ == "__main__":
    main()
