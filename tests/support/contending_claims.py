"""Processes that claim the same waiting chunks at once, and write the states of each other's rows.

usage: python -m tests.support.contending_claims WORKERS CHUNKS ; prints how many chunks were claimed, how many of them
once, how many are indexed at the end, and how many workers failed (with their tracebacks on standard error).
"""

from __future__ import annotations

import os
import random
import sys
import traceback

import django

django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import connections  # noqa: E402

from ingestion.models import Chunk, Document  # noqa: E402
from ingestion.pipeline.embed import claims  # noqa: E402
from ingestion.pipeline.state.transitions import advance  # noqa: E402
from tests.support.rows import make_chunk, make_document, make_source  # noqa: E402

CHUNKS_PER_DOCUMENT = 20


def make_rows(chunks: int) -> None:
    call_command("migrate", verbosity=0)
    sources = [make_source(f"source {number}") for number in range(3)]
    for number in range(chunks // CHUNKS_PER_DOCUMENT):
        document = make_document(sources[number % 3], f"file:///{number}", state=Document.State.EMBEDDING)
        for position in range(CHUNKS_PER_DOCUMENT):
            make_chunk(document, position, text=f"text {position} of {number}")


def work() -> list[int]:
    """Claim until nothing waits; deliver and index in any order, as embedders and drains do side by side."""
    chance, held = random.Random(), []
    while chunks := claims.claim_fresh(chance.randint(1, 40)):
        ids = [chunk.pk for chunk in chunks]
        chance.shuffle(ids)
        claims.renew()
        Chunk.objects.mark_buffered(ids[::2], owner=claims.owner())
        Chunk.objects.mark_indexed(list(Chunk.objects.filter(state__in=claims_of_all()).values_list("id", flat=True)))
        advance()
        held += ids
    return held


def claims_of_all() -> tuple[str, ...]:
    return Chunk.State.EMBEDDING, Chunk.State.BUFFERED


def start() -> tuple[int, int]:
    """A forked worker: its process id, and the pipe that its claims come through."""
    reader, writer = os.pipe()
    if pid := os.fork():
        os.close(writer)
        return pid, reader
    code = 1
    try:
        os.write(writer, " ".join(map(str, work())).encode())
        code = 0
    except Exception:
        traceback.print_exc()
    os._exit(code)


def main(workers: int, chunks: int) -> None:
    make_rows(chunks)
    connections.close_all()
    claimed, failed = [], 0
    for pid, reader in [start() for _ in range(workers)]:
        with os.fdopen(reader) as pipe:
            claimed += pipe.read().split()
        failed += bool(os.waitpid(pid, 0)[1])
    indexed = Chunk.objects.filter(state=Chunk.State.INDEXED).count()
    sys.stdout.write(f"{len(claimed)} {len(set(claimed))} {indexed} {failed}\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
