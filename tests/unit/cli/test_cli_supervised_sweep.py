"""``resourcekit supervise`` and ``resourcekit expunge`` as processes of their own, on a token resource that is being swept."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from resourcekit import Domain, utc_now
from resourcekit.data_layers import SQL
from resourcekit_tokens import JWT, RevokedJti, TokenRecord, TokenResource
from tests.support.commands import running

pytestmark = pytest.mark.slow

SECRET = "8rT2-vJq0Zp4_xWk6NfYb1HdLs9GmUc3-qAe7RiOt5BnVwXy2KjPzE4hQ6M0gDfS8"
RECORDS = 10_001
APP = f"""
import time

def slowly(notification):
    {{slowly}}

print("imported", flush=True)
time.sleep({{pause}})
from datetime import timedelta
from resourcekit import Domain, action
from resourcekit.data_layers import SQL
from resourcekit_tokens import JWT, TokenRecord, TokenResource

accounts = Domain("accounts")

class Token(
    TokenRecord,
    domain=accounts,
    data_layer=SQL("sqlite:///tokens.db", table="tokens"),
    notifiers={{notifiers}},
    extensions=[TokenResource(jwt=JWT("{SECRET}"), expunge_interval=timedelta(seconds=1))],
):
    pass
"""


def write_app(folder: Path, *, pause: float = 0, slow: bool = False) -> None:
    """Write the module; its import may take a while, and so may its sweep, which passes each record to a notifier."""
    slowly, notifiers = ("time.sleep(0.001)", "[slowly]") if slow else ("pass", "()")
    (folder / "sweeping_app.py").write_text(APP.format(pause=pause, slowly=slowly, notifiers=notifiers))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the module ``sweeping_app`` and its database, in which many records have expired long ago."""
    write_app(tmp_path)
    domain = Domain("accounts")

    class Token(
        TokenRecord,
        domain=domain,
        data_layer=SQL(f"sqlite:///{tmp_path}/tokens.db", table="tokens"),
        extensions=[TokenResource(jwt=JWT(SECRET))],
    ):
        """The same as in the module."""

    domain.create_storage()
    now = utc_now()
    gone = [RevokedJti(f"gone-{number:06}", now - timedelta(hours=1)) for number in range(RECORDS - 1)]
    Token.revoke_jtis([*gone, RevokedJti("kept", now + timedelta(days=1))])
    return tmp_path


def left(folder: Path) -> int:
    """Return how many records there are."""
    with closing(sqlite3.connect(folder / "tokens.db")) as connection:
        return int(connection.execute("SELECT count(*) FROM tokens").fetchone()[0])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_sweep_between_two_batches(folder, number):
    """In the middle of a sweep: exit code 0, long before the stop timeout, and what was not swept is still there."""
    write_app(folder, slow=True)
    with running(folder, "supervise", "sweeping_app", "--stop-timeout", "20") as process:
        while left(folder) == RECORDS:
            assert process.poll() is None
            time.sleep(0.001)  # only the database shows that the sweep has begun
        began = time.perf_counter()
        process.send_signal(number)
        rest, errors = process.communicate(timeout=20.5)
    # Printed where the test is run by itself with -s.
    print(f"{number.name}: ended after {time.perf_counter() - began:.2f} s, {left(folder)} records left")  # noqa: T201

    assert ("", 0) == (errors, process.returncode)
    assert f"{number.name}: stopping\n" in rest
    assert rest.endswith("Stopped.\n")
    assert 1 < left(folder) < RECORDS


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_comes_while_the_app_is_imported_is_not_lost(folder, number):
    """It ends cleanly once the import is done; as the first process of a container it would otherwise go on."""
    write_app(folder, pause=1)
    with running(folder, "supervise", "sweeping_app") as process:
        line = process.stdout.readline()
        process.send_signal(number)
        rest, errors = process.communicate(timeout=30)

    assert "imported\n" == line
    assert ("", 0) == (errors, process.returncode)
    assert rest.endswith("Stopped.\n")


def test_a_second_signal_ends_it_at_once(folder):
    """A second signal ends it without waiting."""
    write_app(folder, pause=60)
    with running(folder, "supervise", "sweeping_app") as process:
        process.stdout.readline()
        for _ in range(200):
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.1)
                break
        process.communicate(timeout=30)

    assert -signal.SIGTERM == process.returncode


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_expunge_between_two_batches(folder, number):
    """It prints what it has done, and that something is left: exit code 1. The next one does the rest."""
    write_app(folder, slow=True)
    with running(folder, "expunge", "sweeping_app") as process:
        while left(folder) == RECORDS:
            assert process.poll() is None
            time.sleep(0.001)  # see above
        process.send_signal(number)
        received, errors = process.communicate(timeout=60)
    code = process.returncode
    gone = RECORDS - left(folder)
    write_app(folder)
    with running(folder, "expunge", "sweeping_app") as process:
        process.communicate(timeout=60)

    assert 0 < gone < RECORDS - 1
    assert f"sweeping_app.Token: {gone} removed in " in received
    assert (f"{number.name}: stopped; what is left goes with the next sweep.\n", 1) == (errors, code)
    assert (0, 1) == (process.returncode, left(folder))


def test_expunge_works_beside_supervise(folder):
    """The one-shot takes part in the sweep of the process beside it: all expired records go, and both end well."""
    with running(folder, "supervise", "sweeping_app") as process:
        while "Supervising" not in process.stdout.readline():
            assert process.poll() is None
        with running(folder, "expunge", "sweeping_app") as once:
            received, errors = once.communicate(timeout=60)
        process.send_signal(signal.SIGTERM)
        rest, complaints = process.communicate(timeout=30)

    assert ("", 0) == (errors, once.returncode)
    assert "sweeping_app.Token: " in received
    assert " removed in " in received
    assert ("", 0) == (complaints, process.returncode)
    assert "failed" not in rest
    assert 1 == left(folder)
