"""One absolute deadline for a call: where it is made, what shares it, and what has its own."""

import asyncio
import contextvars
import threading
from datetime import timedelta

import pytest

from resourcekit import Deadline, Domain, context, get, transaction
from resourcekit.call_context import Call, CallMode, call_mode, running_call
from resourcekit.data_layers import Memory
from resourcekit.data_layers.rows.table import LOCK
from resourcekit.errors import InvalidArgument, Timeout
from resourcekit.extending import ambient_context, apart, call_deadline, drive, in_call_mode
from resourcekit.testing import ManualClock
from resourcekit_tokens import TokenRecord, TokenResource
from tests.support.notes import declared

LAYER, OTHER = object(), object()
SECOND = timedelta(seconds=1)


async def two_operations():
    """Return the deadlines of two operations of one layer."""
    first = call_deadline(LAYER, 5.0)
    await nested()
    return first, call_deadline(LAYER, 5.0)


async def nested():
    """Ask a layer in a call inside of the call."""
    return call_deadline(OTHER, 1.0)


@pytest.fixture(params=["sync", "async"])
def run(request):
    """A way to run a coroutine function as a call of the framework, in each call mode."""
    if request.param == "sync":
        return lambda work: drive(work())
    return lambda work: asyncio.run(in_call_mode(work()))


def test_a_deadline_counts_down_by_the_clock_of_the_call():
    """Moved by hand, the clock takes from the time that is left; it never becomes negative."""
    with ManualClock() as clock:
        deadline = Deadline.after(timedelta(seconds=2))
        clock.advance(seconds=1.5)
        left, early = deadline.remaining(), deadline.expired
        clock.advance(seconds=3)

        assert left == pytest.approx(0.5, abs=0.01)
        assert (False, 0.0, True) == (early, deadline.remaining(), deadline.expired)
        with pytest.raises(Timeout, match="too late"):
            deadline.require("too late")


def test_a_deadline_ends_in_real_time_too_while_a_test_holds_the_clock():
    """A driver waits in real time, whatever a test's clock shows."""
    with ManualClock():
        deadline = Deadline.after(0.02)
        threading.Event().wait(0.03)

        assert deadline.expired


def test_operations_of_a_call_share_the_timeout_of_their_layer(run):
    """It counts from the first operation; another layer has its own."""
    first, second = run(two_operations)

    assert first is second
    assert 4 < first.remaining() <= 5


def test_calls_inside_of_a_call_are_parts_of_it(run):
    """What a hook calls has no time of its own, in either call mode."""

    async def outer():
        before = call_deadline(LAYER, 5.0)

        async def inner():
            return call_deadline(LAYER, 5.0)

        return before, drive(inner()), await in_call_mode(inner()), call_deadline(LAYER, 5.0)

    assert 1 == len(set(map(id, run(outer))))


def test_a_part_that_asks_first_begins_the_time_of_the_whole_call():
    """A sync call whose hooks ask before it does has no more time for that."""

    async def inner():
        return call_deadline(LAYER, 5.0)

    async def outer():
        return drive(inner()), call_deadline(LAYER, 5.0)

    first, second = drive(outer())

    assert first is second


def test_the_next_call_has_its_own_time(run):
    """Nothing of a call is left when it has ended, not even after an error."""

    async def failing():
        call_deadline(LAYER, 5.0)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(failing)
    first, _ = run(two_operations)
    second, _ = run(two_operations)

    assert first is not second


def test_a_task_that_outlives_its_call_has_time_of_its_own():
    """Work that a hook leaves to a task is not cut off by the timeout of a call that has ended."""

    async def outer():
        deadline = call_deadline(LAYER, 0.05)
        return deadline, asyncio.ensure_future(later())

    async def later():
        await asyncio.sleep(0.1)
        return call_deadline(LAYER, 0.05), call_deadline(LAYER, 0.05)

    async def main():
        deadline, task = await in_call_mode(outer())
        return deadline, await task

    deadline, (first, second) = asyncio.run(main())

    assert deadline.expired
    assert (False, True) == (first is deadline, first is not second)


def test_long_work_in_steps_is_apart(run):
    """Each step has the timeout for itself, its operations share it, and the call goes on with its own afterwards."""

    async def sweep():
        own = call_deadline(LAYER, 5.0)
        steps = []
        for _ in range(2):
            with apart(Call()):
                steps.append((call_deadline(LAYER, 5.0), call_deadline(LAYER, 5.0)))
        with apart():
            single = call_deadline(LAYER, 5.0), call_deadline(LAYER, 5.0)
            parts = drive(two_operations()), drive(two_operations())
        return own, steps, single, parts, call_deadline(LAYER, 5.0)

    own, steps, single, parts, after = run(sweep)

    assert own is after
    assert all(first is second and first is not own for first, second in steps)
    assert single[0] is not single[1]
    assert all(first is second for first, second in parts)
    assert parts[0][0] is not parts[1][0]


def test_an_explicit_deadline_is_shared_by_all_calls_of_its_block(run):
    """Also apart, and whatever the timeout of the layer is."""

    async def ask():
        with apart():
            return call_deadline(LAYER, 5.0)

    with context(deadline=timedelta(seconds=60)) as deployment:
        first, second = run(ask), run(ask)

    assert first is second is deployment.deadline
    assert first.remaining() > 50


def test_the_nearer_deadline_holds():
    """A call inside of a block cannot have more time than the block, and may have less."""
    with context(deadline=SECOND) as outer, context(deadline=2 * SECOND) as longer, context(deadline=SECOND / 2) as shorter:
        found = ambient_context().deadline

    assert longer.deadline is outer.deadline
    assert found is shorter.deadline
    assert shorter.deadline.remaining() <= 0.5


def test_a_deadline_that_was_made_earlier_can_be_given():
    """So that blocks in several functions share one; anything else is refused."""
    deadline = Deadline.after(SECOND)
    with context(deadline=deadline) as deployment:
        assert deadline is deployment.deadline
    with pytest.raises(InvalidArgument, match="must be a timedelta, is int"):
        context(deadline=5)


def test_an_expired_deadline_is_told_before_any_layer_is_asked():
    """The second operation of a late call raises."""

    async def late():
        call_deadline(LAYER, 0.001)
        threading.Event().wait(0.005)
        call_deadline(LAYER, 0.001)

    with pytest.raises(Timeout):
        drive(late())


@pytest.mark.parametrize("call_mode", ["sync", "async"])
def test_memory_waits_for_its_lock_until_the_deadline(call_mode):
    """A statement ends with Timeout, a check says revoked, and a transaction that ends leaves nothing behind."""
    domain = Domain(f"locked {call_mode}")
    note = declared(Memory())

    class Token(TokenRecord, domain=domain, data_layer=Memory(), extensions=[TokenResource()]):
        """Tokens in memory."""

    is_held, is_over = threading.Event(), threading.Event()

    def hold():
        with LOCK:
            is_held.set()
            is_over.wait(10)

    def call(function, *args, **named):
        with context(deadline=timedelta(milliseconds=50)):
            return function(*args, **named) if call_mode == "sync" else asyncio.run(function.aio(*args, **named))

    note.write(key="a")
    holder = threading.Thread(target=hold)
    with pytest.raises(Timeout, match="locked"), transaction(note):
        note.write(key="b")
        holder.start()
        is_held.wait(10)
        with context(deadline=timedelta(milliseconds=50)):
            note.write(key="c")
    with pytest.raises(Timeout, match="locked"):
        call(note.write, key="d")
    revoked = call(Token.jti_revoked, "x", subject="bob")
    is_over.set()
    holder.join()

    assert revoked is True
    assert "a" == get(note, "a").key


def test_a_call_that_was_left_behind_takes_no_time_from_the_next_one():
    """A signal between the last lines of a call leaves it in the context; what is not on the stack does not run."""

    async def ask():
        return call_deadline(LAYER, 5.0), call_deadline(LAYER, 5.0)

    def interrupted():
        call_mode.set(CallMode.SYNC)
        running_call.set(Call(0.0, LAYER))
        return drive(ask()), drive(ask())

    (first, second), (third, _) = contextvars.copy_context().run(interrupted)

    assert first is second
    assert first is not third
    assert not first.expired
