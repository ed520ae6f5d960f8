"""Run by test_indexing in a process of its own: drains killed with SIGKILL at named points.

usage: python -m tests.killed_drains KILLS MODULE.FUNCTION... ; prints a line of counts for each point. Every drain is
a forked child, so that its death is real and its start cheap; the parent never talks to Milvus.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from importlib import import_module

import django

django.setup()

from django.conf import settings  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connections  # noqa: E402
from django.utils import timezone  # noqa: E402

from ingestion import broker, buffer  # noqa: E402
from ingestion.models import Chunk, Document, Source  # noqa: E402
from ingestion.pipeline.indexing import active_store, drain  # noqa: E402
from tests.rows import make_chunk, make_document, make_source, record  # noqa: E402

ROWS = 50


def fill(name: str) -> None:
    document = make_document(make_source(name), state=Document.State.INDEXING)
    now = timezone.now()
    chunks = [make_chunk(document, p, state=Chunk.State.BUFFERED, buffered_at=now) for p in range(ROWS)]
    buffer.push([record(c) for c in chunks])


def in_child(work: Callable[[], object]) -> int:
    """Run in a forked child; the exit code, or minus the signal that ended it."""
    connections.close_all()
    broker.connect().close()
    if pid := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    broker.connect.cache_clear()
    work()
    sys.stdout.flush()
    os._exit(0)


def dying_at(point: str) -> Callable[[], object]:
    def work() -> None:
        module, function = point.rsplit(".", 1)
        setattr(import_module(module), function, lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL))
        drain()

    return work


def report() -> None:
    """rows in Milvus, of these known to the database, rows marked indexed, unfinished documents, records left."""
    store, keys = active_store(), list(Chunk.objects.values_list("key", flat=True))
    unfinished = Document.objects.exclude(state=Document.State.INDEXED).count()
    indexed = Chunk.objects.filter(state=Chunk.State.INDEXED).count()
    print(store.count(), len(store.existing(keys)), indexed, unfinished, buffer.length())  # noqa: T201


def main(kills: int, points: list[str]) -> None:
    call_command("migrate", verbosity=0)
    for point in points:
        fill(point)
        for _ in range(kills):
            code = in_child(dying_at(point))
            assert code == -signal.SIGKILL, (point, code)
            broker.connect().delete(f"{settings.EMBEDDINGS_KEY}:lock:drain")  # as its life time would
        assert in_child(drain) == 0
        in_child(report)
    assert Source.objects.count() == len(points)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
