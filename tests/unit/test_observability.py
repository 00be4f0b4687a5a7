"""OpenTelemetry: what is reported of calls and sweeps, and what never is."""

import asyncio
import subprocess
import sys
from datetime import timedelta
from queue import Queue

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from resourcekit import Domain, Resource
from resourcekit.data_layers import SQL, Memory
from resourcekit.errors import Unavailable
from resourcekit.observability import instrument
from resourcekit.supervisor import Scheduling, Supervisor
from resourcekit.testing import ManualClock
from resourcekit_tokens import TokenResource, jti_revoked, revoke_jti
from resourcekit_tokens.errors import InvalidToken


@pytest.fixture
def metrics():
    """A reader of what is reported."""
    return InMemoryMetricReader()


@pytest.fixture
def spans():
    """The spans that ended."""
    return InMemorySpanExporter()


@pytest.fixture
def instrumented(metrics, spans):
    """Calls are reported for as long as the test runs."""
    tracers = TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(spans))
    undo = instrument(meter_provider=MeterProvider([metrics]), tracer_provider=tracers)
    yield
    undo()


@pytest.fixture
def token(instrumented):
    """An instrumented token resource."""
    domain = Domain("watched")

    class Token(Resource, domain=domain, data_layer=Memory(), extensions=[TokenResource]):
        """Tokens."""

    return Token


def points_of(metrics, name):
    """Return the values of a metric, by its labels without the resource."""
    data = metrics.get_metrics_data()
    points = [
        point
        for resource in (data.resource_metrics if data else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == name
        for point in metric.data.data_points
    ]
    return {tuple(sorted(point.attributes.items())): point for point in points}


def test_calls_are_counted_with_their_outcome(token, metrics):
    """A check records its answer, an error its type; both spellings count."""
    revoke_jti(token, "a")
    assert (True, False) == (token.jti_revoked("a"), token.jti_revoked("b"))
    with pytest.raises(InvalidToken):
        token.revoke("garbage")
    counted = {key: point.value for key, point in points_of(metrics, "resourcekit.calls").items()}

    assert {
        ("revoke_jti", "ok", "Token"): 1,
        ("jti_revoked", "true", "Token"): 1,
        ("jti_revoked", "false", "Token"): 1,
        ("revoke", "InvalidToken", "Token"): 1,
    } == {tuple(value for _, value in key): count for key, count in counted.items()}


def test_every_spelling_is_counted_on_every_store(declare_anywhere, instrumented, metrics):
    """Functions of the class, of the module, bound long before, with facts for the call, and awaited."""
    token = declare_anywhere(keys=False)
    bound = token.jti_revoked

    async def ask():
        await token.jti_revoked.aio("a")
        await jti_revoked.aio(token, "a")
        await token.__runtime__.store.close()

    token.jti_revoked("a")
    jti_revoked(token, "a")
    bound("a")
    token.jti_revoked.using(deadline=timedelta(seconds=5))("a")
    asyncio.run(ask())
    (point,) = [point for key, point in points_of(metrics, "resourcekit.calls").items() if ("resource", "Token") in key]

    assert 6 == point.value


def test_a_supervised_sweep_is_counted_and_has_a_span(token, metrics, spans):
    """By outcome, good or failed; with the records it removed."""

    def runs():
        points = points_of(metrics, "resourcekit.service.runs").items()
        counted = {dict(key)["outcome"]: point.value for key, point in points if of(token, key)}
        return [counted.get(outcome, 0) for outcome in ("ok", "Unavailable")]

    before = runs()  # other tests of this process have resources of that name, too
    with ManualClock() as clock:
        token.revoke_jti("a", expires_at=clock.now() + timedelta(hours=1))
        clock.advance(days=1)
        supervisor = Supervisor(token, startup_check=False)
        supervisor.run_now(token)
        token.__runtime__.store.delete_in_batches = broken
        with pytest.raises(Unavailable):
            supervisor.run_now(token)
    told_spans = [(span.name, span.attributes["resourcekit.outcome"]) for span in spans.get_finished_spans()]

    assert [count + 1 for count in before] == runs()
    assert [("Token.expunger", "ok"), ("Token.expunger", "Unavailable")] == told_spans[-2:]


def broken(*_args, **_more):
    """A store that is out."""
    raise Unavailable("out")


def of(resource, key):
    """Return whether a point is about this resource."""
    return ("resource", resource.__name__) in key


def test_the_lag_of_sweeps_is_shown(token, metrics):
    """The age of the oldest record that should be gone, as the last run found it, and the time since the last good run."""

    def shown(name):
        values = [point.value for key, point in points_of(metrics, f"resourcekit.service.{name}").items() if of(token, key)]
        return values[0] if values else None

    runs = Queue()
    with ManualClock() as clock:
        token.revoke_jti("a", expires_at=clock.now() + timedelta(hours=1))
        with Supervisor(token, startup_check=False, on_run=runs.put, scheduling=Scheduling(uniform=lambda _, high: high)):
            clock.until_waiting()
            before = shown("lag"), shown("since")
            clock.advance(seconds=60)
            runs.get(timeout=10)
            clock.until_waiting()
            swept = shown("lag"), shown("since")
            token.__runtime__.store.delete_in_batches = broken
            clock.advance(hours=13)
            runs.get(timeout=10)
            clock.until_waiting()
            failed = shown("lag"), shown("since")
            clock.advance(seconds=0.5)
            later = shown("lag")
        after = shown("lag"), shown("since")

    assert (None, 0.0) == before
    assert (0.0, 0.0) == swept
    # The run is 13 h 1 min after the revocation; the record was due when its hour and the margin had passed.
    lag = timedelta(hours=12, minutes=1) - 5 * timedelta(seconds=60)  # leeway 0, clock_skew 60 s
    assert (pytest.approx(lag.total_seconds(), abs=0.001), pytest.approx(13 * 3600.0, abs=0.001)) == failed
    assert failed[0] + 0.5 == pytest.approx(later)
    assert (None, None) == after


def test_a_supervisor_that_is_replaced_takes_no_gauge_of_the_new_one_along(token, metrics):
    """The new one was started before the old one was stopped, as a server that reloads may do."""
    with ManualClock() as clock, Supervisor(token, startup_check=False):
        new = Supervisor(token, startup_check=False)
        with Supervisor(token, startup_check=False):
            clock.advance(seconds=1)
            new.start()
        shown = [point.value for key, point in points_of(metrics, "resourcekit.service.since").items() if of(token, key)]
        new.stop()

    assert [0.0] == shown


def test_nobody_asks_for_a_lag_that_nobody_watches(tmp_path):
    """It takes the reading of a table; without OpenTelemetry a run is followed by none."""
    domain = Domain("unwatched")

    class Token(Resource, domain=domain, data_layer=Memory(), extensions=[TokenResource]):
        """Tokens."""

    store = Token.__runtime__.store
    store.aggregate = broken

    assert 0 == Supervisor(Token, startup_check=False).run_now(Token)["expunger"].removed


def test_nothing_of_it_is_on_the_path_of_a_check(tmp_path):
    """Until it is asked for, no function of the observability modules is called, and OpenTelemetry is not even loaded."""
    code = f"""
import sys
from resourcekit import Domain, Resource
from resourcekit.data_layers import SQL
from resourcekit_tokens import TokenResource

domain = Domain("d")

class Token(Resource, domain=domain, data_layer=SQL("sqlite:///{tmp_path}/d.db"), extensions=[TokenResource]):
    pass

domain.create_storage()
Token.jti_revoked("a")
called = set()
sys.setprofile(lambda frame, event, arg: called.add(frame.f_code.co_filename))
Token.jti_revoked("a")
sys.setprofile(None)
print([name for name in called if "observability" in name or "telemetry" in name], "opentelemetry" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "[] False\n" == done.stdout


def test_calls_have_durations_and_spans(token, metrics, spans):
    """Each call is timed, and a span with its outcome."""
    token.jti_revoked("a")
    (point,) = points_of(metrics, "resourcekit.call.duration").values()
    (span,) = spans.get_finished_spans()

    assert 1 == point.count
    assert ("Token.jti_revoked", "false") == (span.name, span.attributes["resourcekit.outcome"])


def test_sweeps_and_failed_checks_are_counted(token, metrics, tmp_path):
    """What extensions announce is reported as they count it."""

    class Broken(Resource, domain=Domain("broken"), data_layer=SQL(f"sqlite:///{tmp_path}/b.db"), extensions=[TokenResource]):
        """Its table is missing."""

    before = sum(point.value for point in points_of(metrics, "resourcekit.tokens.swept.records").values())
    with ManualClock() as clock:
        token.revoke_jti("a", expires_at=clock.now() + timedelta(hours=1))
        clock.advance(days=1)
        token.expunge_expired()
    assert Broken.jti_revoked("a") is True

    assert before + 1 == sum(point.value for point in points_of(metrics, "resourcekit.tokens.swept.records").values())
    assert (("cause", "Unavailable"), ("resource", "Broken")) in points_of(metrics, "resourcekit.tokens.failed_closed")


def test_nothing_that_is_reported_holds_a_key(token, metrics, spans):
    """Neither metrics nor spans know a jti, also of a call that failed."""
    token.revoke_jti("swordfish")
    with pytest.raises(InvalidToken):
        token.revoke("swordfish")

    assert "swordfish" not in str(metrics.get_metrics_data().to_json())
    assert "swordfish" not in "".join(span.to_json() for span in spans.get_finished_spans())


def test_undoing_it_leaves_no_trace(token, spans):
    """What ``instrument`` returns puts the functions back as they were."""
    undo = instrument(tracer_provider=TracerProvider())
    undo()
    token.jti_revoked("a")

    assert 1 == len(spans.get_finished_spans())


def test_without_opentelemetry_the_error_says_what_to_install():
    """The extra is named."""
    code = "import sys; sys.modules['opentelemetry'] = None\nfrom resourcekit.observability import instrument\ninstrument()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert "pip install 'resourcekit[opentelemetry]'" in done.stderr
