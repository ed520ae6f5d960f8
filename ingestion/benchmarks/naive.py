"""The pipeline that this project replaces, for comparison: one Celery task per page does everything in turn.

Fetch, extract, cut, FlagEmbedding's ``encode`` of that page's chunks, one write to Milvus for the page. The parts that
are not in question are the same as ours: sources, extraction, cutting, the write itself. Every worker process loads
a model of its own and waits for every stage. A worker of this application: ``celery -A ingestion.benchmarks.naive``.
"""

from __future__ import annotations

import functools
import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from celery import Celery
from celery.signals import worker_process_init
from django.conf import settings
from kombu import Queue

from ingestion.coordination.redis_client import connect
from ingestion.embedding.embedder import resolve_device
from ingestion.extraction.extract import extract
from ingestion.pipeline.report.preview import cut
from ingestion.sources.registry import fetch
from ingestion.sources.web.crawler import patiently
from ingestion.types import CrawlPolicy, EmbeddedChunk, SourceSpec, TextChunk, Vectors, embedding_text
from ingestion.vector_store.store import VectorStore, open_store

QUEUE, TASK = "naive", "naive.page"
FIGURES = "naive:figures"
READY = "naive:ready"
STAGES = ("fetch", "extract", "chunk", "embed", "index")

app = Celery("naive", set_as_current=False)  # importing this must not redirect the project's own tasks
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.update(task_queues=[Queue(QUEUE)], task_default_queue=QUEUE, task_routes={}, beat_schedule={})


@worker_process_init.connect
def prepare(**_: Any) -> None:
    """Model and collection are there before the clock starts, as they are for ours."""
    model()
    store()
    connect().incr(READY)


@app.task(name=TASK)
def page(sitemap: str, url: str) -> None:
    """One document from its address to its rows in Milvus."""
    try:
        written = ingest(SourceSpec("sitemap", sitemap, crawl_policy=CrawlPolicy(0, 0)), url)
        connect().hincrby(FIGURES, "chunks", written)
    except Exception:
        connect().hincrby(FIGURES, "failed")
        raise
    finally:
        connect().hincrby(FIGURES, "pages")


def ingest(spec: SourceSpec, url: str) -> int:
    with timed("fetch"):
        fetched = patiently(partial(fetch, spec, url))
    if fetched is None:
        return 0
    with timed("extract"):
        extracted = extract(fetched)
    with timed("chunk"):
        chunks = cut(extracted)
    if not chunks:
        return 0
    with timed("embed"):
        vectors = encode([embedding_text(chunk.heading, chunk.text) for chunk in chunks])
    with timed("index"):
        return store().upsert(list(records(url, extracted.title, chunks, vectors)))


@contextmanager
def timed(stage: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    connect().hincrbyfloat(FIGURES, stage, time.perf_counter() - started)


@functools.cache
def model() -> Any:
    from FlagEmbedding import BGEM3FlagModel

    device = resolve_device(settings.EMBED_DEVICE)
    return BGEM3FlagModel(
        settings.MODEL_PATH, pooling_method=settings.EMBED_POOLING, devices=device, use_fp16=device != "cpu"
    )


@functools.cache
def store() -> VectorStore:
    opened = open_store(QUEUE, settings.EMBED_DIMENSION)
    opened.ensure()
    return opened


def encode(texts: list[str]) -> list[Vectors]:
    """FlagEmbedding with its own defaults."""
    out = model().encode(texts, return_dense=True, return_sparse=True)
    return [vectors_of(dense, words) for dense, words in zip(out["dense_vecs"], out["lexical_weights"], strict=True)]


def vectors_of(dense: Any, words: dict[str, float]) -> Vectors:
    ids = np.array([int(word) for word in words], np.uint32)
    return Vectors(np.asarray(dense, np.float32), ids, np.array(list(words.values()), np.float32))


def records(url: str, title: str, chunks: Sequence[TextChunk], vectors: Sequence[Vectors]) -> Iterator[EmbeddedChunk]:
    for position, (chunk, vector) in enumerate(zip(chunks, vectors, strict=True)):
        key = hashlib.blake2b(f"{url} {position}".encode(), digest_size=16).hexdigest()
        yield EmbeddedChunk(key, 0, 0, 0, url, title, chunk.heading, position, chunk.text, vector)
