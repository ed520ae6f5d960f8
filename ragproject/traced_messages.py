"""Celery's messages and tasks -> spans that belong together across processes.

In: Celery's signals. Out: on each message the trace of its sender, and a span for each task. Beat's frequent jobs
mostly find nothing to do: they have none unless somebody sent them.

A task goes on with its sender's trace. One whose kind is in that trace already begins its own, with a link to its
sender: page after page, slice after slice, a run of millions of documents would be a single trace otherwise.
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from typing import Any, NamedTuple

from celery.signals import before_task_publish, task_postrun, task_prerun, worker_process_init, worker_process_shutdown
from opentelemetry import context, propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind

from ragproject import tracing

# Sent by Beat every few seconds.
FREQUENT = frozenset(
    {"ingestion.tasks.dispatch", "ingestion.tasks.fill", "ingestion.tasks.notify", "ingestion.tasks.audit",
     "search.tasks.forget_answers"}
)  # fmt: skip
TASKS_HEADER = "traced_tasks"

_tasks: ContextVar[list[str]] = ContextVar("traced_tasks", default=[])  # noqa: B039  never changed in place


class Running(NamedTuple):
    """The span of the task that this process runs, and how to leave it."""

    span: Span
    context: Token[Context]
    tasks: Token[list[str]]


_running: dict[str, Running] = {}


def listen() -> None:
    """Trace the messages that this process sends, and its tasks if it is a worker."""
    before_task_publish.connect(note_sender)
    worker_process_init.connect(start_in_child)
    worker_process_shutdown.connect(tracing.stop)
    task_prerun.connect(begin)
    task_postrun.connect(end)


def start_in_child(**_: Any) -> None:
    """Record spans in a process that runs tasks, if there is a collector."""
    if tracing.enabled():
        tracing.start()


def note_sender(headers: dict[str, Any], **_: Any) -> None:
    """Add the sender's trace to a message's headers, and the names of the tasks that led to it."""
    if trace.get_current_span().get_span_context().is_valid:
        propagate.inject(headers)
        headers[TASKS_HEADER] = _tasks.get()


def begin(task_id: str, task: Any, **_: Any) -> None:
    """Begin the span of a task, if there is a collector."""
    if not tracing.enabled():
        return
    sender = propagate.extract(vars(task.request))
    sent_from = trace.get_current_span(sender).get_span_context()
    before: list[str] = task.request.get(TASKS_HEADER) or []
    if task.name in FREQUENT and not sent_from.is_valid:
        return
    goes_on = sent_from.is_valid and task.name not in before
    span = tracing.tracer.start_span(
        task.name,
        context=sender if goes_on else Context(),
        kind=SpanKind.CONSUMER,
        links=[Link(sent_from)] if sent_from.is_valid and not goes_on else [],
        attributes={
            "messaging.system": "redis",
            "messaging.operation.type": "process",
            "messaging.message.id": task_id,
        },
    )
    _running[task_id] = Running(
        span, context.attach(trace.set_span_in_context(span)), _tasks.set([*(before if goes_on else []), task.name])
    )


def end(task_id: str, state: str = "", retval: Any = None, **_: Any) -> None:
    """End the span of a task."""
    if running := _running.pop(task_id, None):
        if isinstance(retval, BaseException):
            tracing.note_failure(running.span, type(retval).__name__)
        running.span.end()
        context.detach(running.context)
        _tasks.reset(running.tasks)
