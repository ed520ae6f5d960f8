"""`manage.py status`: what is done, what waits, and why."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand

from ingestion.pipeline.report.status import status
from ingestion.pipeline.state.collections import progress_sentence
from ingestion.types import Json


class Command(BaseCommand):
    help = "Show documents per state and source, queues, buffer, index, throughput and why something waits."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print an object instead of lines")

    def handle(self, *args: Any, **options: Any) -> None:
        now = status()
        self.stdout.write(json.dumps(now) if options["json"] else "\n".join(lines(now)))


def lines(now: Json) -> Iterator[str]:
    yield f"documents  {listed(now['documents'])}"
    yield f"chunks     {listed(now['chunks'])}"
    for depth, figures in now["depths"].items():
        yield f"line {depth:6}{listed(figures)}"
    for part in ("queues", "buffer", "index"):
        yield f"{part:10} {listed(now[part])}"
    for place, worker in now["embedders"].items() if "error" not in now["embedders"] else ():
        yield f"embedder   {place}: {embedder_sentence(worker)}"
    if now["building"]:
        yield f"building   {progress_sentence(now['building'])}"
    yield f"audit      {listed(now['audit'] or {})}"
    eta = f", about {now['eta_seconds']} s left" if now["eta_seconds"] else ""
    yield f"embedding  {now['tokens_per_second']} tokens/s, {now['tokens_waiting']} tokens wait{eta}"
    for job, age in now["jobs"].items() if "error" not in now["jobs"] else ():
        yield f"job        {job}: {age} s ago"
    for trouble in now["troubles"]:
        yield f"trouble    {trouble}"
    for reason in now["waits_because"]:
        yield f"waiting    {reason}"
    for source in now["sources"]:
        trouble = source["error"] or source["waits_because"]
        left = f", about {source['eta_seconds']} s left" if source["eta_seconds"] else ""
        yield f"source     {source['name']}: {source['state']}, {listed(source['documents'])}{left} {trouble}".rstrip()
        yield from (f"           {words} {example}".rstrip() for words, example in source["left_out"].items())


def embedder_sentence(worker: Json) -> str:
    memory = f", at most {worker['peak_bytes'] / 2**30:.1f} GiB of the device" if worker.get("peak_bytes") else ""
    speed = f"{worker.get('tokens_per_second', 0)} tokens/s, busy {worker.get('busy', 0):.0%} of the last minute's work"
    reason = f". {worker['reason']}" if worker.get("reason") else ""
    return f"{worker['state']}, {worker.get('model', 'no model yet')}, {speed}{memory}{reason}"


def listed(figures: Json) -> str:
    return ", ".join(f"{value} {key}" for key, value in figures.items()) or "none"
