"""`manage.py status`: what is done, what waits, and why."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand

from ingestion.pipeline.status import status
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
    for part in ("queues", "buffer", "index"):
        yield f"{part:10} {listed(now[part])}"
    eta = f", about {now['eta_seconds']} s left" if now["eta_seconds"] else ""
    yield f"embedding  {now['tokens_per_second']} tokens/s, {now['tokens_waiting']} tokens wait{eta}"
    for reason in now["waits_because"]:
        yield f"waiting    {reason}"
    for source in now["sources"]:
        trouble = source["error"] or source["waits_because"]
        yield f"source     {source['name']}: {source['state']}, {listed(source['documents'])} {trouble}".rstrip()
        yield from (f"           {words} {example}".rstrip() for words, example in source["left_out"].items())


def listed(figures: Json) -> str:
    return ", ".join(f"{value} {key}" for key, value in figures.items()) or "none"
