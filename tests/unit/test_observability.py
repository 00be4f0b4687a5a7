"""OpenTelemetry: what is reported of calls and sweeps, and what never is."""

import subprocess
import sys
from datetime import timedelta

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from resourcekit import Domain, Resource
from resourcekit.data_layers import SQL, Memory
from resourcekit.observability import instrument
from resourcekit.testing import ManualClock
from resourcekit_tokens import TokenResource, revoke_jti
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
def token(metrics, spans):
    """An instrumented token resource."""
    domain = Domain("watched")

    class Token(Resource, domain=domain, data_layer=Memory(), extensions=[TokenResource]):
        """Tokens."""

    tracers = TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(spans))
    undo = instrument(meter_provider=MeterProvider([metrics]), tracer_provider=tracers)
    yield Token
    undo()


def told(metrics, name):
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
    """A check tells its answer, an error its type; both spellings count."""
    revoke_jti(token, "a")
    assert (True, False) == (token.jti_revoked("a"), token.jti_revoked("b"))
    with pytest.raises(InvalidToken):
        token.revoke("garbage")
    counted = {key: point.value for key, point in told(metrics, "resourcekit.calls").items()}

    assert {
        ("revoke_jti", "ok", "Token"): 1,
        ("jti_revoked", "true", "Token"): 1,
        ("jti_revoked", "false", "Token"): 1,
        ("revoke", "InvalidToken", "Token"): 1,
    } == {tuple(value for _, value in key): count for key, count in counted.items()}


def test_calls_have_durations_and_spans(token, metrics, spans):
    """Each call is timed, and a span with its outcome."""
    token.jti_revoked("a")
    (point,) = told(metrics, "resourcekit.call.duration").values()
    (span,) = spans.get_finished_spans()

    assert 1 == point.count
    assert ("Token.jti_revoked", "false") == (span.name, span.attributes["resourcekit.outcome"])


def test_sweeps_and_failed_checks_are_counted(token, metrics, tmp_path):
    """What extensions announce is reported as they count it."""

    class Broken(Resource, domain=Domain("broken"), data_layer=SQL(f"sqlite:///{tmp_path}/b.db"), extensions=[TokenResource]):
        """Its table is missing."""

    before = sum(point.value for point in told(metrics, "resourcekit.tokens.swept.records").values())
    with ManualClock() as clock:
        token.revoke_jti("a", expires_at=clock.now() + timedelta(hours=1))
        clock.advance(days=1)
        token.expunge_expired()
    assert Broken.jti_revoked("a") is True

    assert before + 1 == sum(point.value for point in told(metrics, "resourcekit.tokens.swept.records").values())
    assert (("cause", "Unavailable"),) in told(metrics, "resourcekit.tokens.failed_closed")


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
