"""The drain beside a bare loop of ``MilvusClient.upsert`` with the same batches: what the hand-off costs.

usage: python -m tests.benchmarks.write_path [--rows N] [--batch N] [--rounds N] [--milvus URI] [--json]

Ours is everything from a full Redis list to documents marked as indexed: claim, unpack, compare with the rows, upsert,
mark, confirm, with SQLite and Redis on this machine. The bare loop is given its batches ready-made. Both write to fresh
collections, in turn, and who begins changes from round to round, because Milvus still works on what was written and
dropped before; the figures are medians. Without --milvus: Milvus Lite's server and, where the package has a
wheel, Milvus 2.3 (which stores no sparse vectors), started here.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import Any

DIMENSION, SPARSE_TERMS, TEXT = 1024, 120, "Some words of a passage about a setting. " * 37
CHUNKS_PER_DOCUMENT = 15

Rates = dict[str, float]


def main() -> None:
    options = parser().parse_args()
    with tempfile.TemporaryDirectory(prefix="write-path-") as folder:
        os.environ.update(environment(Path(folder), options.batch))
        import django

        django.setup()
        with redis_server(Path(folder)):
            results = {name: measured(uri, options) for name, uri in servers(Path(folder), options.milvus)}
    sys.stdout.write(json.dumps(results) + "\n" if options.json else table(results, options))


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=8000)
    parser.add_argument("--batch", type=int, default=1000, help="rows of one upsert")
    parser.add_argument("--rounds", type=int, default=6, help="an even number is fair")
    parser.add_argument("--milvus", default="", help="a running server instead of those started here")
    parser.add_argument("--json", action="store_true")
    return parser


def environment(folder: Path, batch: int) -> dict[str, str]:
    from tests.support.ports import free_ports

    redis_port, milvus_port = free_ports(2)
    return {
        "DJANGO_SETTINGS_MODULE": "ragproject.settings",
        "DATA_DIR": str(folder),
        "DATABASE_URL": f"sqlite:///{folder}/db.sqlite3",
        "REDIS_URL": f"redis://127.0.0.1:{redis_port}/0",
        "MILVUS_URI": f"http://127.0.0.1:{milvus_port}",
        "EMBED_MODEL": "BAAI/bge-m3",
        "EMBED_DIMENSION": str(DIMENSION),
        "EMBEDDINGS_BATCH_ROWS": str(batch),
        "LOG_LEVEL": "ERROR",
    }


def servers(folder: Path, given: str) -> Iterator[tuple[str, str]]:
    """Names and addresses; a server that is started here ends when the next one is asked for."""
    from django.conf import settings

    from ragproject.embedded import services

    if given:
        yield given, given
        return
    lite = services.milvus_server()
    with running(lite.command, folder):
        yield "Milvus Lite", settings.MILVUS_URI
    with suppress(ImportError):
        from tests.support import old_milvus

        home = folder / "milvus"
        home.mkdir()
        uri = old_milvus.prepare(home)
        with running((sys.executable, "-m", "tests.support.old_milvus", str(home)), settings.BASE_DIR):
            yield "Milvus 2.3", uri


@contextmanager
def redis_server(folder: Path) -> Iterator[None]:
    import redis
    from django.conf import settings

    from ragproject.embedded import services
    from tests.conftest import wait_until

    service = services.redis_server()
    with running(service.command, folder):
        wait_until(lambda: redis.Redis.from_url(settings.REDIS_URL).ping())
        yield


@contextmanager
def running(command: Sequence[str], folder: Path) -> Iterator[None]:
    from tests.conftest import serve

    process = serve(command, cwd=folder)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def measured(uri: str, options: argparse.Namespace) -> Rates:
    from django.conf import settings
    from django.core.management import call_command
    from pymilvus import MilvusClient

    from tests.conftest import wait_until

    settings.MILVUS_URI = uri
    call_command("migrate", verbosity=0)
    wait_until(lambda: MilvusClient(uri, timeout=2).list_collections(timeout=2) is not None)
    rounds = [one_round(number, options) for number in range(options.rounds)]
    bare, ours = ([each[name] for each in rounds] for name in ("bare", "ours"))
    spread = (max(ours) - min(ours)) / median(ours)
    figures = {"bare": median(bare), "ours": median(ours), "spread": spread, "ratio": median(ours) / median(bare)}
    return {name: round(figure, 3) for name, figure in figures.items()}


def one_round(number: int, options: argparse.Namespace) -> Rates:
    chunks = fill(options.rows)
    gc.collect()
    gc.freeze()  # no worker holds so much: walking through it again and again took a twentieth of our time
    loops = {
        "bare": lambda: bare_seconds(f"bare_{number}", batches(chunks, options.batch)),
        "ours": lambda: drain_seconds(chunks),
    }
    rates = {name: options.rows / loops[name]() for name in (loops if number % 2 else reversed(loops))}
    gc.unfreeze()
    return rates


def fill(number: int) -> list[Any]:
    """Rows as the embedder leaves them, and their records."""
    import numpy as np
    from django.utils import timezone

    from ingestion.models import Chunk, Document, Source
    from ingestion.types import EmbeddedChunk, Vectors
    from tests.support.rows import make_document, make_source

    Source.objects.all().delete()
    source, now, random = make_source(), timezone.now(), np.random.default_rng(1)
    documents = [
        make_document(source, f"https://docs.example.org/{n}/", state=Document.State.INDEXING)
        for n in range(-(-number // CHUNKS_PER_DOCUMENT))
    ]
    rows = [
        Chunk(
            document=documents[n // CHUNKS_PER_DOCUMENT], key=f"{n:032x}", position=n, text=TEXT, start=0, end=9,
            tokens=320, state=Chunk.State.BUFFERED, buffered_at=now,
        )
        for n in range(number)
    ]  # fmt: skip
    Chunk.objects.bulk_create(rows, batch_size=500)
    dense = random.standard_normal((number, DIMENSION)).astype(np.float32)
    weights = random.random(SPARSE_TERMS).astype(np.float32)
    lexical = [np.sort(random.choice(250_000, SPARSE_TERMS, replace=False)).astype(np.uint32) for _ in range(50)]
    return [
        EmbeddedChunk(
            row.key, row.pk, row.document_id, source.pk, row.document.url, "Title", "Title › Part", n, TEXT,
            Vectors(dense[n] / np.linalg.norm(dense[n]), lexical[n % 50], weights),
        )
        for n, row in enumerate(rows)
    ]  # fmt: skip


def batches(chunks: list[Any], size: int) -> list[list[dict[str, Any]]]:
    """As a user of pymilvus would write them: dictionaries, a sparse vector being one too."""
    rows = [
        {
            "key": c.key, "source_id": c.source_id, "document_id": c.document_id, "position": c.position, "url": c.url,
            "title": c.title, "heading": c.heading, "text": c.text, "dense": c.vectors.dense,
            "sparse": dict(zip(c.vectors.indices.tolist(), c.vectors.weights.tolist(), strict=True)),
            "words": dict(zip(c.words.terms.tolist(), c.words.weights.tolist(), strict=True)),
        }
        for c in chunks
    ]  # fmt: skip
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def bare_seconds(name: str, batches: list[list[dict[str, Any]]]) -> float:
    from django.conf import settings
    from pymilvus import MilvusClient
    from pymilvus.client import entity_helper

    from ingestion.vector_store.store import VectorStore

    store = VectorStore(name, DIMENSION)
    store.ensure()
    for row in (row for batch in batches for row in batch):
        for channel in {"sparse", "words"}.difference(store.channels):
            del row[channel]
    client = MilvusClient(settings.MILVUS_URI)
    entity_helper.CHECK_STR_ARRAY = True  # as it comes; ours spares it
    started = time.perf_counter()
    for batch in batches:
        client.upsert(name, batch, timeout=60)
    seconds = time.perf_counter() - started
    entity_helper.CHECK_STR_ARRAY = False
    require(store.count(), sum(map(len, batches)))
    store.drop()
    return seconds


def drain_seconds(chunks: list[Any]) -> float:
    from ingestion.buffer import embedding_queue
    from ingestion.models import Chunk
    from ingestion.pipeline.index.drain import drain
    from ingestion.pipeline.state.collections import written_store
    from ingestion.vector_store import store as vector_store

    vector_store.open_store.cache_clear()
    written_store()
    embedding_queue.push(chunks)
    started = time.perf_counter()
    while drain().more:
        pass
    seconds = time.perf_counter() - started
    require(Chunk.objects.filter(state=Chunk.State.INDEXED).count(), len(chunks))
    require(written_store().count(), len(chunks))
    written_store().drop()
    return seconds


def require(found: int, wanted: int) -> None:
    if found != wanted:
        raise SystemExit(f"{found} rows instead of {wanted}: nothing was measured.")


def table(results: dict[str, Rates], options: argparse.Namespace) -> str:
    head = f"{options.rows} rows of {DIMENSION} dimensions in batches of {options.batch}, rows/s, medians"
    lines = [f"{head} of {options.rounds}", f"{'':14}{'bare loop':>12}{'our drain':>12}{'ours/bare':>12}{'spread':>10}"]
    for name, r in results.items():
        lines.append(f"{name:14}{r['bare']:12.0f}{r['ours']:12.0f}{r['ratio']:12.2f}{r['spread']:10.0%}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
