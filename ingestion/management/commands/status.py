"""`manage.py status`: what is done, what waits, and why."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from ingestion.coordination.heartbeat import EmbeddingWorker
from ingestion.models import Document
from ingestion.pipeline.report.sentences import build_sentence
from ingestion.pipeline.report.status import SourceStatus, Status, Unavailable, status
from ingestion.pipeline.state.runs import PAUSED
from ingestion.types import Json

NO_INDEX: Json = {"collection": None, "rows": 0}
# What the unfinished documents of a source wait for, by their state.
WAITS_FOR = {
    Document.State.WAITING: "pages wait for their turn: at most {bound} of all sources are in flight",
    Document.State.FETCHING: "pages are with the CPU workers",
    Document.State.EMBEDDING: "pages wait for the embedder, {tokens} tokens of all sources",
    Document.State.INDEXING: "pages wait to be written to Milvus",
}


class Command(BaseCommand):
    help = "Show documents per state and source, queues, buffer, index, throughput and why something waits."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print an object instead of lines")

    def handle(self, *args: Any, **options: Any) -> None:
        now = status()
        self.stdout.write(json.dumps(as_json(now)) if options["json"] else "\n".join(lines(now)))


# --- For programs ---------------------------------------------------------------------------------------------


def as_json(now: Status) -> Json:
    """Return the object that --json prints. Its keys are what scripts read: they stay when fields are renamed."""
    return {
        "documents": now.documents,
        "chunks": now.chunks,
        "depths": {name: known(getattr(now.depths, name)) for name in ("cpu", "gpu", "milvus")},
        "sources": [source_json(source, now.tokens_waiting) for source in now.sources],
        "queues": known(now.queues),
        "buffer": known(now.buffer),
        "embedders": known(now.embedders),
        "index": known(now.index) if now.index else NO_INDEX,
        "building": asdict(now.building) if now.building else None,
        "audit": known(now.audit) if now.audit else None,
        "tokens_waiting": now.tokens_waiting,
        "tokens_per_second": now.tokens_per_second,
        "eta_seconds": now.eta_seconds,
        "jobs": known(now.jobs),
        "troubles": list(now.alerts),
        "waits_because": list(now.notes),
    }


def source_json(source: SourceStatus, tokens_waiting: int) -> Json:
    """Return what --json prints of a source."""
    return {
        "name": source.name,
        "kind": source.kind,
        "target": source.target,
        "state": source.state,
        "documents": source.documents,
        "error": source.error,
        "waits_because": waits_because(source, tokens_waiting),
        "eta_seconds": source.eta_seconds,
        "left_out": source.left_out,
        "next_run_at": source.next_run_at.isoformat() if source.next_run_at else None,
    }


def known(figures: Any) -> Json:
    """Return figures by name, without those that are None."""
    if not isinstance(figures, Mapping):
        return {name: value for name, value in asdict(figures).items() if value is not None}
    return {name: known(value) if isinstance(value, EmbeddingWorker) else value for name, value in figures.items()}


# --- For people -----------------------------------------------------------------------------------------------


def lines(now: Status) -> Iterator[str]:
    """Yield what is printed without --json."""
    yield f"documents  {listed(now.documents)}"
    yield f"chunks     {listed(now.chunks)}"
    for name in ("cpu", "gpu", "milvus"):
        yield f"line {name:6} {listed(known(getattr(now.depths, name)))}"
    yield f"queues     {listed(known(now.queues))}"
    yield f"buffer     {listed(known(now.buffer))}"
    yield f"index      {listed(known(now.index)) if now.index else 'nothing has been indexed yet'}"
    for name, worker in now.embedders.items() if not isinstance(now.embedders, Unavailable) else ():
        memory = f", at most {worker.peak_bytes / 2**30:.1f} GiB of the device" if worker.peak_bytes else ""
        model = "no model yet" if worker.model is None else worker.model
        rate = 0 if worker.tokens_per_second is None else worker.tokens_per_second
        speed = f"{rate} tokens/s, busy {worker.busy or 0:.0%} of the last minute's work"
        reason = f". {worker.reason}" if worker.reason else ""
        yield f"embedder   {name}: {worker.state}, {model}, {speed}{memory}{reason}"
    if now.building:
        yield f"building   {build_sentence(now.building)}"
    yield f"audit      {listed(known(now.audit) if now.audit else {})}"
    eta = f", about {now.eta_seconds} s left" if now.eta_seconds else ""
    yield f"embedding  {now.tokens_per_second} tokens/s, {now.tokens_waiting} tokens wait{eta}"
    for job, age in now.jobs.items() if not isinstance(now.jobs, Unavailable) else ():
        yield f"job        {job}: {age} s ago"
    yield from (f"trouble    {alert}" for alert in now.alerts)
    yield from (f"waiting    {reason}" for reason in now.notes)
    for source in now.sources:
        eta = f", about {source.eta_seconds} s left" if source.eta_seconds else ""
        why = source.error or waits_because(source, now.tokens_waiting)
        yield f"source     {source.name}: {source.state}, {listed(source.documents)}{eta} {why}".rstrip()
        yield from (f"           {remark} {example}".rstrip() for remark, example in source.left_out.items())


def listed(figures: Mapping[str, object]) -> str:
    """Return figures as "3 indexed, 1 failed", and an error as it is."""
    return ", ".join(f"{value}" if name == "error" else f"{value} {name}" for name, value in figures.items()) or "none"


def waits_because(source: SourceStatus, tokens_waiting: int) -> str:
    """Return why a source waits, or what most of its unfinished documents wait for; empty when nothing is to be done.

    ``tokens_waiting`` are those of all sources.
    """
    if source.paused:
        return PAUSED
    if source.paused_until:
        return f"Its host wants to be left alone until {source.paused_until:%H:%M:%S} UTC."
    if source.note:
        return source.note
    unfinished = {state: source.documents[state] for state in WAITS_FOR if source.documents.get(state)}
    if not unfinished:
        return ""
    most = max(unfinished, key=lambda state: unfinished[state])
    words = WAITS_FOR[most].format(bound=settings.MAX_DOCUMENTS_IN_FLIGHT, tokens=tokens_waiting)
    return f"{unfinished[most]} {words}."
