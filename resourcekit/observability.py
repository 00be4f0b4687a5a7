"""OpenTelemetry metrics and spans: ``pip install 'resourcekit[opentelemetry]'``.

``instrument()`` wraps the functions of extensions; before that call it has no cost. Metrics, with unit, kind and labels:

* ``resourcekit.calls``: 1, counter; ``function``, ``resource``, ``outcome``
* ``resourcekit.call.duration``: s, histogram; ``function``, ``resource``
* ``resourcekit.service.runs``: 1, counter; ``service``, ``resource``, ``outcome``
* ``resourcekit.service.lag``: s, gauge; ``service``, ``resource``
* ``resourcekit.service.since``: s, gauge; ``service``, ``resource``
* further ones that extensions announce; their reference lists them

``outcome``: ``"true"`` or ``"false"`` for a check, ``"ok"``, or the name of the exception's type. Each call is a span
``Resource.function``, each run of a service a span ``Resource.service``, with the same attributes. A metric or a span never
contains a value of a record, a key or a token; promise P9 (no secrets in logs).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Generator, Iterable, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any

from resourcekit.actions.functions import Function, functions
from resourcekit.telemetry import Labels, Measure, counts, gauges, measures, watch

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation
    from opentelemetry.trace import TracerProvider

__all__ = ["instrument"]

_SCOPE = "resourcekit"


def instrument(
    *, meter_provider: MeterProvider | None = None, tracer_provider: TracerProvider | None = None
) -> Callable[[], None]:
    """Report calls and counts to OpenTelemetry. Return a function that ends the reporting.

    meter_provider, tracer_provider: the global ones by default.

    Call it after the modules that declare resources are imported. Raise ImportError, with the package to install, if
    OpenTelemetry's API is missing.
    """
    try:
        from opentelemetry import metrics, trace
    except ModuleNotFoundError as missing:
        msg = "observability needs OpenTelemetry's API: pip install 'resourcekit[opentelemetry]'"
        raise ImportError(msg) from missing
    meter = (meter_provider or metrics.get_meter_provider()).get_meter(_SCOPE)
    tracer = (tracer_provider or trace.get_tracer_provider()).get_tracer(_SCOPE)
    calls = meter.create_counter("resourcekit.calls", "1", "Calls of extension functions.")
    durations = meter.create_histogram("resourcekit.call.duration", "s", "How long calls of extension functions took.")
    for what in measures():
        if what.kind == "gauge":
            meter.create_observable_gauge(what.name, [_reader(what, gauges)], what.unit, what.doc)
        else:
            meter.create_observable_counter(what.name, [_reader(what, counts)], what.unit, what.doc)

    def report(function: str, resource: Any, outcome: str, seconds: float) -> None:
        labels = {"function": function, "resource": getattr(resource, "__name__", "?")}
        calls.add(1, {**labels, "outcome": outcome})
        durations.record(seconds, labels)

    wrapped = [(function, function.function) for function in functions()]
    for function, body in wrapped:
        function.function = _observed(function, body, tracer, report)
    look_away = watch(_Spans(tracer))

    def undo() -> None:
        look_away()
        for function, body in wrapped:
            function.function = body

    return undo


def _observed(
    function: Function, body: Callable[..., Coroutine[Any, Any, Any]], tracer: Any, report: Callable[[str, Any, str, float], None]
) -> Callable[..., Coroutine[Any, Any, Any]]:
    name = function.__name__

    @wraps(body)
    async def observed(resource: Any, *args: Any, **kwargs: Any) -> Any:
        began = time.perf_counter()
        outcome = "ok"
        span_name = f"{getattr(resource, '__name__', '?')}.{name}"
        with _current(tracer, span_name) as span:
            try:
                result = await body(resource, *args, **kwargs)
            except BaseException as error:
                outcome = type(error).__name__
                raise
            else:
                if isinstance(result, bool):
                    outcome = str(result).lower()
                return result
            finally:
                span.set_attribute("resourcekit.outcome", outcome)
                report(name, resource, outcome, time.perf_counter() - began)

    return observed


def _current(tracer: Any, name: str, **attributes: str) -> AbstractContextManager[Any]:
    """Begin a span. The text of an exception may come from a user's code, so the span has only its type, as the outcome."""
    block: AbstractContextManager[Any] = tracer.start_as_current_span(
        name, attributes=attributes, record_exception=False, set_status_on_exception=False
    )
    return block


class _Spans:
    """Creates an OpenTelemetry span for each piece of work that the engine reports."""

    def __init__(self, tracer: Any) -> None:
        self._tracer = tracer

    @contextmanager
    def span(self, name: str, labels: Mapping[str, str]) -> Generator[None]:
        with _current(self._tracer, name, **{f"resourcekit.{label}": text for label, text in labels.items()}) as span:
            try:
                yield
            except BaseException as error:
                span.set_attribute("resourcekit.outcome", type(error).__name__)
                raise
            span.set_attribute("resourcekit.outcome", "ok")


def _reader(
    what: Measure, look: Callable[[], Mapping[tuple[str, Labels], float]]
) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def read(options: CallbackOptions) -> Iterable[Observation]:
        from opentelemetry.metrics import Observation

        return [Observation(value, dict(labels)) for (name, labels), value in look().items() if name == what.name]

    return read
