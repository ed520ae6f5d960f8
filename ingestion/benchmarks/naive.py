"""The pipeline that this project replaces, for comparison: one Celery task per page does everything in turn.

The task fetches, extracts, cuts, calls FlagEmbedding's ``encode`` with that page's chunks, and writes once to Milvus.
Sources, extraction, cutting and the write itself are the same code as ours. Every worker process loads a model of its
own and waits for every stage. ``celery -A ingestion.benchmarks.naive worker`` starts a worker.
"""

from __future__ import annotations

import functools
import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from celery import Celery
from celery.signals import worker_process_init
from django.conf import settings
from kombu import Queue

from ingestion.coordination.redis_client import connect
from ingestion.embedding.loading import resolve_device
from ingestion.extraction.extract import extract
from ingestion.pipeline.report.preview import split_into_chunks
from ingestion.sources.registry import fetch
from ingestion.sources.web.crawler import patiently
from ingestion.types import CrawlPolicy, EmbeddedChunk, SourceSpec, Vectors, embedding_text
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
    """Load the model and make the collection before the clock starts, as is done for ours."""
    model()
    store()
    connect().incr(READY)


@app.task(name=TASK)
def page(sitemap: str, url: str) -> None:
    """Take one document from its address to its rows in Milvus, and count it."""
    try:
        written = ingest(SourceSpec("sitemap", sitemap, crawl_policy=CrawlPolicy(0, 0)), url)
        connect().hincrby(FIGURES, "chunks", written)
    except Exception:
        connect().hincrby(FIGURES, "failed")
        raise
    finally:
        connect().hincrby(FIGURES, "pages")


def ingest(spec: SourceSpec, url: str) -> int:
    """Fetch, cut, embed and write one document. Return how many chunks were written."""
    with timed("fetch"):
        fetched = patiently(partial(fetch, spec, url))
    if fetched is None:
        return 0
    with timed("extract"):
        extracted = extract(fetched)
    with timed("chunk"):
        chunks = split_into_chunks(extracted)
    if not chunks:
        return 0
    with timed("embed"):
        vectors = encode([embedding_text(chunk.heading, chunk.shown) for chunk in chunks])
    with timed("index"):
        rows = []
        for n, (chunk, vector) in enumerate(zip(chunks, vectors, strict=True)):
            key = hashlib.blake2b(f"{url} {n}".encode(), digest_size=16).hexdigest()
            rows.append(EmbeddedChunk(key, 0, 0, 0, url, extracted.title, chunk.heading, n, chunk.shown, vector))
        return store().upsert(rows)


@contextmanager
def timed(stage: str) -> Iterator[None]:
    """Add the seconds of the block to those of the stage."""
    started = time.perf_counter()
    yield
    connect().hincrbyfloat(FIGURES, stage, time.perf_counter() - started)


@functools.cache
def model() -> Any:
    """Return FlagEmbedding's model, loaded once in each process."""
    from FlagEmbedding import BGEM3FlagModel

    device = resolve_device(settings.EMBED_DEVICE)
    return BGEM3FlagModel(
        settings.MODEL_PATH, pooling_method=settings.EMBED_POOLING, devices=device, use_fp16=device != "cpu"
    )


@functools.cache
def store() -> VectorStore:
    """Return the collection of the naive pipeline, created if it does not exist."""
    opened = open_store(QUEUE, settings.EMBED_DIMENSION)
    opened.ensure()
    return opened


def encode(texts: list[str]) -> list[Vectors]:
    """Embed texts with FlagEmbedding and its own defaults."""
    out = model().encode(texts, return_dense=True, return_sparse=True)
    return [
        Vectors(
            np.asarray(dense, np.float32),
            np.array([int(token) for token in weights], np.uint32),
            np.array(list(weights.values()), np.float32),
        )
        for dense, weights in zip(out["dense_vecs"], out["lexical_weights"], strict=True)
    ]
