"""Run by test_indexing in a process of its own: drains killed with SIGKILL at named points, and one that is stopped in
the middle of a write for longer than its lease.

usage: python -m tests.support.killed_drains KILLS NAME... ; prints a line of counts for each point and for the stopped
one.
Every drain is a forked child, so that its death is real and its start cheap; the parent never talks to Milvus.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable

import django

django.setup()

from django.conf import settings  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connections  # noqa: E402
from django.utils import timezone  # noqa: E402

from ingestion.buffer import embedding_queue  # noqa: E402
from ingestion.coordination import redis_client  # noqa: E402
from ingestion.models import Chunk, Document, Source  # noqa: E402
from ingestion.pipeline.index import drain as indexing  # noqa: E402
from ingestion.pipeline.index.drain import drain  # noqa: E402
from ingestion.pipeline.state.collections import written_store  # noqa: E402
from ingestion.vector_store.store import VectorStore, import_without_pandas  # noqa: E402
from tests.support.rows import make_chunk, make_document, make_source, record  # noqa: E402

ROWS = 50


def fill(name: str) -> None:
    document = make_document(make_source(name), state=Document.State.INDEXING)
    now = timezone.now()
    chunks = [make_chunk(document, p, state=Chunk.State.BUFFERED, buffered_at=now) for p in range(ROWS)]
    embedding_queue.push([record(c) for c in chunks])


def in_child(work: Callable[[], object]) -> int:
    """Run in a forked child; the exit code, or minus the signal that ended it."""
    return end_of(start(work))


def start(work: Callable[[], object]) -> int:
    connections.close_all()
    redis_client.connect().close()
    if pid := os.fork():
        return pid
    redis_client.forget()
    work()
    sys.stdout.flush()
    os._exit(0)


def end_of(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def dying_at(point: str) -> Callable[[], object]:
    def work() -> None:
        *path, function = point.split(".")
        owner = getattr(indexing, path[0]) if path else indexing
        setattr(owner, function, lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL))
        drain()

    return work


def stopped_in_the_middle() -> None:
    """Meanwhile another drain writes everything, and a chunk leaves its document and Milvus; then the first goes on
    and brings it back."""
    fill("stopped")
    gone = Chunk.objects.filter(document__source__name="stopped").first()
    assert gone is not None
    stopped = start(in_itself_stopping)
    assert os.WIFSTOPPED(os.waitpid(stopped, os.WUNTRACED)[1])
    lease_runs_out()
    Chunk.objects.filter(id=gone.pk).remove()
    assert in_child(drain) == 0
    assert not Chunk.objects.filter(id=gone.pk).exists()
    os.kill(stopped, signal.SIGCONT)
    assert end_of(stopped) == 0
    assert in_child(drain) == 0


def in_itself_stopping() -> None:
    upsert = VectorStore._upsert

    def stopping(self: VectorStore, rows: list[dict[str, object]]) -> int:
        os.kill(os.getpid(), signal.SIGSTOP)
        return upsert(self, rows)

    setattr(VectorStore, "_upsert", stopping)  # noqa: B010  mypy takes methods for constants
    drain()


def lease_runs_out() -> None:
    redis_client.connect().delete(f"{settings.EMBEDDINGS_KEY}:lock:drain")  # as its life time would


def report() -> None:
    """rows in Milvus, of these known to the database, rows marked indexed, unfinished documents, records left."""
    store, keys = written_store(), list(Chunk.objects.values_list("key", flat=True))
    unfinished = Document.objects.exclude(state=Document.State.INDEXED).count()
    indexed = Chunk.objects.filter(state=Chunk.State.INDEXED).count()
    print(store.count(), len(store.existing(keys)), indexed, unfinished, embedding_queue.length())  # noqa: T201


def main(kills: int, points: list[str]) -> None:
    call_command("migrate", verbosity=0)
    import_without_pandas()  # once, not in each child; connections are made after the fork
    for point in points:
        fill(point)
        for _ in range(kills):
            code = in_child(dying_at(point))
            assert code == -signal.SIGKILL, (point, code)
            lease_runs_out()
        assert in_child(drain) == 0
        in_child(report)
    stopped_in_the_middle()
    in_child(report)
    assert Source.objects.count() == len(points) + 1


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
