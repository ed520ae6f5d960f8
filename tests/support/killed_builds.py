"""Run by test_collections in a process of its own: changes of model killed with SIGKILL at named points.

usage: python -m tests.support.killed_builds MODULE.FUNCTION... ; for each point a change to another model, which dies
there twice and then goes on undisturbed. Prints a line of counts for each.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module

import django

django.setup()

from django.conf import settings  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connections  # noqa: E402

from ingestion.coordination import redis_client  # noqa: E402
from ingestion.models import Chunk, Collection, Document  # noqa: E402
from ingestion.pipeline.index.drain import drain  # noqa: E402
from ingestion.pipeline.index.rebuild import fill  # noqa: E402
from ingestion.pipeline.state.collections import adopt  # noqa: E402
from ingestion.vector_store.store import import_without_pandas, open_store  # noqa: E402
from tests.support.models_apart import choose, embed, models_found, work  # noqa: E402
from tests.support.rows import make_chunk, make_document, make_source  # noqa: E402

CHUNKS, KILLS = 30, 2
STEPS: tuple[Callable[[], object], ...] = (adopt, fill, embed, drain, fill)


def in_child(work: Callable[[], object]) -> int:
    """Run in a forked child; the exit code, or minus the signal that ended it."""
    connections.close_all()
    redis_client.connect().close()
    if pid := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    redis_client.forget()
    work()
    sys.stdout.flush()
    os._exit(0)


def dying_at(point: str) -> Callable[[], object]:
    def live() -> None:
        path, function = point.rsplit(".", 1)
        setattr(owner_of(path), function, lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL))
        for step in STEPS:
            step()

    return live


def owner_of(path: str) -> object:
    """A module, or a class in one."""
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name) if name[0].isupper() else import_module(path)


def change(number: int, point: str) -> None:
    choose(number)
    for _ in range(KILLS):
        code = in_child(dying_at(point))
        assert code == -signal.SIGKILL, (point, code)
        for lock in ("drain", "audit"):
            redis_client.connect().delete(f"{settings.EMBEDDINGS_KEY}:lock:{lock}")  # as their life time would
    assert in_child(work) == 0


def report(number: int) -> None:
    """rows searched, of these known, those of the right model, indexed, documents that are whole."""
    row = Collection.objects.get(active=True)
    store, keys = open_store(row.name, row.dimension), list(Chunk.objects.values_list("key", flat=True))
    right = row.model.endswith(f"-{number}") and models_found(keys)[row.name] == {number}
    indexed = Chunk.objects.filter(state=Chunk.State.INDEXED).count()
    whole = Document.objects.filter(state=Document.State.INDEXED).count()
    print(store.count(), len(store.existing(keys)), right, indexed, whole)  # noqa: T201


def prepare() -> None:
    call_command("migrate", verbosity=0)
    document = make_document(make_source(), state=Document.State.EMBEDDING, chunk_count=CHUNKS)
    for position in range(CHUNKS):
        make_chunk(document, position)


def main(points: list[str]) -> None:
    prepare()
    import_without_pandas()  # once, and not in each of a hundred children
    choose(0)
    assert in_child(work) == 0
    for number, point in enumerate(points, 1):
        change(number, point)
        assert in_child(partial(report, number)) == 0


if __name__ == "__main__":
    main(sys.argv[1:])
