"""Named places in our code, the times that a test cannot wait for, and the protections that can be switched off.

Loaded by every process of the stack under test before anything else, so it imports next to nothing.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Point(NamedTuple):
    """Right before or after a call of a function; ``role`` is the worker whose child makes it."""

    role: str
    module: str
    function: str
    moment: str


INDEXING = "ingestion.pipeline.index.drain"
CLAIMS = "ingestion.pipeline.embed.claims"
PAGES = "ingestion.pipeline.process.process_document"
BUFFER, STORE, LISTING = (
    "ingestion.buffer.embedding_queue",
    "ingestion.vector_store.store",
    "ingestion.pipeline.discover.list_source",
)

POINTS = {
    "after-claim": Point("index", BUFFER, "claim_new", "after"),
    "before-upsert": Point("index", STORE, "VectorStore.upsert", "before"),
    "after-upsert": Point("index", STORE, "VectorStore.upsert", "after"),
    "rows-before-confirm": Point("index", BUFFER, "confirm", "before"),
    "after-confirm": Point("index", BUFFER, "confirm", "after"),
    "before-delete": Point("index", STORE, "VectorStore.delete", "before"),
    "delete-before-rows": Point("index", STORE, "VectorStore.delete", "after"),
    "chunks-claimed": Point("gpu", CLAIMS, "take", "after"),
    "before-push": Point("gpu", BUFFER, "push", "before"),
    "push-before-rows": Point("gpu", BUFFER, "push", "after"),
    "fetch-before-store": Point("cpu", PAGES, "store", "before"),
    "store-before-message": Point("cpu", PAGES, "store", "after"),
    "inside-store": Point("cpu", PAGES, "reconcile", "after"),
    "listing-before-rows": Point("cpu", LISTING, "register_listing", "before"),
    "rows-before-running": Point("cpu", LISTING, "register_listing", "after"),
    "leased-before-message": Point("cpu", "ingestion.pipeline.dispatcher", "start_documents", "after"),
}

# Recovery within seconds, small batches so that there is much to interrupt, and as many attempts as the bad luck of
# a few hundred faults may take: only what is poisonous may use them up.
SETTINGS = {
    "EMBEDDINGS_FLUSH_SECONDS": "2",
    "EMBEDDINGS_BATCH_ROWS": "16",
    "EMBED_CLAIM_TOKENS": "1000",
    "EMBED_DEVICE": "cpu",
    "CHUNK_TOKENS": "64",
    "DISPATCH_SECONDS": "0.5",
    "LEASE_SECONDS": "4",
    "RETRY_SECONDS": "0.3",
    "PAGE_TIME_LIMIT_SECONDS": "4",
    "LIST_TIME_LIMIT_SECONDS": "4",
    "MAX_ATTEMPTS": "12",
    "CPU_WORKERS": "2",
    "HF_HUB_OFFLINE": "1",
    "SEARCH_LIMIT": "",  # all readers have one address
}
# Redis hands out again what a dead worker held after this.
REDELIVERY_SECONDS = 12
# How long a process waits for SQLite's lock, so that a locked database is an error and not only a pause.
DATABASE_PATIENCE_SECONDS = 3
# Constants whose real values are for machines that fail once a week.
HASTE: dict[str, dict[str, Any]] = {
    INDEXING: {"LEASE_SECONDS": 4.0, "RENEW_SECONDS": 1.0},
    STORE: {"TIMEOUT_SECONDS": 6.0},
    "ingestion.coordination.circuit_breaker": {"LONGEST_PAUSE_SECONDS": 4.0},
    "ingestion.pipeline.index.completeness": {"CHECK_SECONDS": 2.0},
    "ingestion.coordination.locks": {"DEVICE_LEASE_SECONDS": 5.0, "DEVICE_RENEW_SECONDS": 1.0},
    "ragproject.embedded.stack": {"LONGEST_PAUSE_SECONDS": 2.0},
}

PROTECTIONS = ("confirm", "lease", "sweeper")
