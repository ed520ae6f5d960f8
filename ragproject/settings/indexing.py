"""The buffer, the index, and how waiting documents are handed out."""

from __future__ import annotations

import json
from contextlib import suppress

from environs import validate

from ragproject.settings.locations import env


def parameter(text: str) -> tuple[str, int | float | bool]:
    """Read one parameter of an index. Raises ValueError."""
    name, _, value = text.partition("=")
    with suppress(ValueError):
        read = json.loads(value)
        if name.strip() and isinstance(read, int | float):
            return name.strip(), read
    raise ValueError(f"{text!r} is not like M=16.")


env.begin("pipeline and index")
EMBEDDINGS_KEY = env.text("EMBEDDINGS_KEY", "embeddings", "Name of the list of embeddings in Redis.")
EMBEDDINGS_FLUSH_SECONDS = env.number(
    "EMBEDDINGS_FLUSH_SECONDS",
    60.0,
    "How often the list is drained into Milvus; at a run's end at once.",
    validate=validate.Range(0.1),
)
# Rows of one upsert; 1 000 rows of 1 024 dimensions and 1.5 KB of text are about 6 MB, far below
# Milvus' 64 MB message limit.
EMBEDDINGS_BATCH_ROWS = env.integer(
    "EMBEDDINGS_BATCH_ROWS", 1000, "Rows of one upsert into Milvus.", validate=validate.Range(1, 5000)
)
# The embedder pauses at this and goes on at half of it: 14 000 records at most, 5 to 10 s of Milvus' writes that a
# small source stands behind.
EMBEDDINGS_MAX_BYTES = env.integer(
    "EMBEDDINGS_MAX_BYTES",
    64 * 1024 * 1024,
    "Size of the list in Redis at which embedding pauses.",
    validate=validate.Range(1),
)

# These count for collections that are made from now on. Milvus picks AUTOINDEX by itself (HNSW in 2.6); Milvus Lite has
# FLAT and IVF_FLAT. docker/k8s/README.md says which kinds and numbers fit how many rows.
MILVUS_INDEX = env.text(
    "MILVUS_INDEX",
    "AUTOINDEX",
    "Kind of Milvus' index of dense vectors: `AUTOINDEX`, `FLAT`, `IVF_FLAT`, `HNSW`, `IVF_SQ8`, `IVF_PQ`, `SCANN`, "
    "`DISKANN`; Milvus Lite has the first three.",
    validate=validate.OneOf(["AUTOINDEX", "FLAT", "HNSW", "IVF_FLAT", "IVF_SQ8", "IVF_PQ", "SCANN", "DISKANN"]),
)
MILVUS_INDEX_PARAMS = dict(
    env.items("MILVUS_INDEX_PARAMS", [], "What it is built with, as `M=16,efConstruction=200`.", convert=parameter)
)
MILVUS_SEARCH_PARAMS = dict(
    env.items("MILVUS_SEARCH_PARAMS", [], "What it is searched with, as `ef=100`.", convert=parameter)
)
MILVUS_SHARDS = env.integer(
    "MILVUS_SHARDS", 1, "Shards of a collection: writes go to so many nodes.", validate=validate.Range(1, 64)
)
MILVUS_REPLICAS = env.integer(
    "MILVUS_REPLICAS", 1, "Copies of a collection in the memory of query nodes.", validate=validate.Range(1, 16)
)

# An audit compares the index with the rows, key by key, and repairs both: 15 s for 100 000 chunks on two busy cores.
AUDIT_SECONDS = env.number(
    "AUDIT_SECONDS",
    86_400.0,
    "How often the index is compared with the rows and mended; at once when chunks are missing.",
    validate=validate.Range(60),
)
# How often an audit may become due: the time of the last one stands in the database, Beat stores none.
AUDIT_LOOK_SECONDS = 60.0

CONTEXT_MODEL = env.text(
    "CONTEXT_MODEL",
    "",
    "Model at LLM_BASE_URL that writes a sentence of context for each new chunk, for searching only; empty: none.",
)
CONTEXT_REQUESTS = env.integer(
    "CONTEXT_REQUESTS", 4, "Sentences of context asked for at once.", validate=validate.Range(1, 64)
)
DISPATCH_SECONDS = env.number(
    "DISPATCH_SECONDS", 2.0, "How often waiting work is handed out.", validate=validate.Range(0.1)
)
MAX_DOCUMENTS_IN_FLIGHT = env.integer(
    "MAX_DOCUMENTS_IN_FLIGHT", 64, "Documents handed out at a time.", validate=validate.Range(1)
)
MAX_CHUNKS_WAITING = env.integer(
    "MAX_CHUNKS_WAITING", 20_000, "Chunks waiting for the model at which fetching pauses.", validate=validate.Range(1)
)
RETRY_SECONDS = env.number("RETRY_SECONDS", 5.0, "First pause after a passing trouble; doubled each time.")
MAX_ATTEMPTS = env.integer(
    "MAX_ATTEMPTS", 4, "Attempts at a document before it counts as failed.", validate=validate.Range(1, 20)
)
LEASE_SECONDS = env.integer(
    "LEASE_SECONDS",
    60,
    "A claimed chunk or a document that nobody works on is handed out again after this.",
    validate=validate.Range(1),
)
PAGE_TIME_LIMIT_SECONDS = env.integer(
    "PAGE_TIME_LIMIT_SECONDS", 90, "Time limit of one page in a CPU worker.", validate=validate.Range(1)
)
# A listing may read a hundred sitemaps, one after the other.
LIST_TIME_LIMIT_SECONDS = env.integer(
    "LIST_TIME_LIMIT_SECONDS", 300, "Time limit of listing a source.", validate=validate.Range(1)
)

# What `manage.py estimate` makes of its seconds and bytes, in a currency of yours.
PRICE_GPU_HOUR = env.number(
    "PRICE_GPU_HOUR",
    0.0,
    "Price of an hour of the embedding device, for `manage.py estimate`.",
    validate=validate.Range(0),
)
PRICE_CPU_HOUR = env.number(
    "PRICE_CPU_HOUR", 0.0, "Price of an hour of a core that fetches and cuts.", validate=validate.Range(0)
)
PRICE_GB_MONTH = env.number(
    "PRICE_GB_MONTH", 0.0, "Price of a gigabyte in Milvus for a month.", validate=validate.Range(0)
)
