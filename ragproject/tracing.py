"""Requests, tasks and their steps -> spans for an OpenTelemetry collector, if OTEL_EXPORTER_OTLP_ENDPOINT names one.

In: what is done, with ids, sizes and names of models (``span_attributes``). Out: spans by OTLP over HTTP, sent by a
thread of their own. Never in: text of pages, questions and answers, messages of errors, addresses, or a client's own
trace headers, by which anybody could have everything recorded.

Requests and tasks begin traces; a step outside of one is not recorded. Without an endpoint the SDK is not imported, and
a step costs a few microseconds. Names and attributes are those of OpenTelemetry's conventions where there is one, and
begin with ``ragproject.`` elsewhere.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

from django.conf import settings
from opentelemetry import trace
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind, Status, StatusCode, get_current_span

Value = str | int | float | Sequence[int]
Attributes = Mapping[str, Value]
Scope = dict[str, Any]
Application = Callable[[Scope, Any, Any], Awaitable[None]]

# The collector stands near by; one that hangs must not hold a process that ends.
EXPORT_SECONDS = 2.0
# Asked every few seconds by machines, or sent from the disk.
UNTRACED = ("/healthz", "/readyz", "/metrics", "/static/", "/favicon.ico")

tracer = trace.get_tracer("ragproject")


def enabled() -> bool:
    """Return whether spans are to be recorded."""
    return bool(settings.OTEL_EXPORTER_OTLP_ENDPOINT)


def start() -> None:
    """Have this process record and send spans. A process that forks starts this in its children."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

    provider = TracerProvider(
        sampler=ParentBasedTraceIdRatio(settings.OTEL_TRACES_SAMPLER_ARG),
        resource=Resource.create({"service.name": settings.OTEL_SERVICE_NAME}),
    )
    endpoint = f"{settings.OTEL_EXPORTER_OTLP_ENDPOINT.rstrip('/')}/v1/traces"
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint, timeout=EXPORT_SECONDS)))
    trace.set_tracer_provider(provider)


def stop(**_: Any) -> None:
    """Send what is left, before this process ends without Python's own handlers."""
    if enabled():
        cast(Any, trace.get_tracer_provider()).shutdown()  # the API's own provider, unlike the SDK's, sends nothing


def recording() -> bool:
    """Return whether the current request or task is recorded, so that its steps are worth describing."""
    return get_current_span().is_recording()


def begin_step(name: str, kind: SpanKind = SpanKind.INTERNAL, attributes: Attributes | None = None) -> Span:
    """Return a span below the current one, which its caller ends.

    It does not become the current one: a generator's step spans what its reader does between two items.
    """
    if not recording():
        return INVALID_SPAN
    return tracer.start_span(name, kind=kind, attributes=attributes)


@contextmanager
def step(name: str, kind: SpanKind = SpanKind.INTERNAL, attributes: Attributes | None = None) -> Iterator[Span]:
    """Record the block as a step of the current request or task."""
    span = begin_step(name, kind, attributes)
    try:
        with failure_noted(span):
            yield span
    finally:
        span.end()


@contextmanager
def failure_noted(span: Span) -> Iterator[None]:
    """Note the kind of error that the block raises on the span, unless it has ended."""
    try:
        yield
    except BaseException as error:
        note_error(span, error)
        raise


def note_error(span: Span, error: BaseException) -> None:
    """Note the kind of an error on the span, unless it has ended, or the error is that somebody stopped to listen."""
    if span.is_recording() and not isinstance(error, GeneratorExit):
        note_failure(span, type(error).__name__)


def note_failure(span: Span, kind: str) -> None:
    """Mark the span as failed with the error's class ``kind``; its message may quote a page, so it is left out."""
    span.set_status(Status(StatusCode.ERROR))
    span.set_attribute("error.type", kind)


def past_step(name: str, seconds: float, attributes: Attributes) -> None:
    """Record a step of the current task that took so many seconds and has just ended."""
    now = time.time_ns()
    tracer.start_span(name, start_time=now - int(seconds * 1e9), attributes=attributes).end(now)


def name_request(method: str, route: str) -> None:
    """Name the current request after its route, which unlike its path holds no ids or secrets."""
    span = get_current_span()
    span.update_name(f"{method} /{route}")
    span.set_attribute("http.route", f"/{route}")


class TracedRequests:
    """ASGI middleware: one span for each request, until the last byte of its response is sent."""

    def __init__(self, application: Application) -> None:
        self.application = application

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"].startswith(UNTRACED):
            await self.application(scope, receive, send)
            return
        method: str = scope["method"]
        span = tracer.start_span(method, kind=SpanKind.SERVER, attributes={"http.request.method": method})

        async def noting(message: dict[str, Any]) -> None:
            """Send a part of the response on, and note its status in the span."""
            if message["type"] == "http.response.start":
                span.set_attribute("http.response.status_code", message["status"])
                if message["status"] >= 500:
                    note_failure(span, str(message["status"]))
            await send(message)

        current = trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False)
        with current, failure_noted(span):
            await self.application(scope, receive, noting)
