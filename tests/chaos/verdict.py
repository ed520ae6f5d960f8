"""What must be true when everything has settled, looked up in the files, the rows, Milvus and Redis themselves."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings
from django.db.models import Max

from ingestion.models import Chunk, Collection, Document, Run
from ingestion.types import embedding_text
from ingestion.vector_store.store import connect
from tests.chaos.stack import Stack
from tests.chaos.stub import dense_of
from tests.chaos.workload import Workload, marks

# Milvus answers at most 16 384 rows at once, more than a workload has.
MOST_ROWS = 16_000
FINAL = {Document.State.INDEXED, Document.State.UNCHANGED, Document.State.GONE}
EXAMPLES = 3


class Milvus:
    """What the searched collection holds, read twice: by counting and row by row."""

    def __init__(self) -> None:
        client = connect()
        name = Collection.objects.get(active=True).name
        client.load_collection(name)
        self.count = client.query(name, "", ["count(*)"], consistency_level="Strong")[0]["count(*)"]
        fields = ["key", "document_id", "heading", "text", "dense"]
        self.rows = client.query(name, "", fields, limit=MOST_ROWS, consistency_level="Strong")
        client.close()


class Verdict:
    """``broken`` says in words what is not as it should be."""

    def __init__(self, stack: Stack, workload: Workload, *, stub: bool) -> None:
        milvus, keys = Milvus(), set(Chunk.objects.values_list("key", flat=True))
        held = Counter(row["key"] for row in milvus.rows)
        self.lost = keys - held.keys()
        self.strange = held.keys() - keys
        self.duplicated = sum(held.values()) - len(held) + abs(milvus.count - sum(held.values()))
        self.chunks, self.documents = len(keys), Document.objects.count()
        self.attempts = attempts()
        self.broken = [
            *self.differences(),
            *unfinished(),
            *told(workload, milvus),
            *left_in_redis(stack),
            *(foreign_vectors(milvus) if stub else ()),
        ]

    def differences(self) -> Iterator[str]:
        for words, found in (("lost: rows without a vector", self.lost), ("vectors without a row", self.strange)):
            if found:
                yield f"{len(found)} {words}, {some(found)}"
        if self.duplicated:
            yield f"{self.duplicated} rows of Milvus more than there are keys"
        if self.attempts > settings.MAX_ATTEMPTS:
            yield f"{self.attempts} attempts, more than MAX_ATTEMPTS"


def attempts() -> int:
    """The most that anything took."""
    return max(rows.aggregate(n=Max("attempts"))["n"] or 0 for rows in (Document.objects, Chunk.objects, Run.objects))


def unfinished() -> Iterator[str]:
    for document in Document.objects.exclude(state__in=FINAL):
        yield f"document {document.url} is {document.state}: {document.error}"
    for run in Run.objects.exclude(state=Run.State.FINISHED).exclude(error="The source is being deleted."):
        yield f"run {run} is {run.state}: {run.error}"
    if others := Chunk.objects.exclude(state=Chunk.State.INDEXED).count():
        yield f"{others} chunks are not indexed"


def told(workload: Workload, milvus: Milvus) -> Iterator[str]:
    """Whether the files, the rows and Milvus tell the same, by the marks in their texts."""
    written, rows, found = files(workload), texts_of_rows(), texts_of_milvus(milvus)
    for url in sorted(written.keys() | rows.keys() | found.keys()):
        if not written.get(url, set()) == rows.get(url, set()) == found.get(url, set()):
            yield (
                f"{url}: the file says {sorted(written.get(url, ()))}, its rows {sorted(rows.get(url, ()))}, "
                f"Milvus {sorted(found.get(url, ()))}"
            )


def files(workload: Workload) -> dict[str, set[str]]:
    paths = [path for source in workload.sources for path in workload.files(source)]
    return {Path(path).as_uri(): marks(path.read_text()) for path in paths}


def texts_of_rows() -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for url, text in Chunk.objects.values_list("document__url", "text"):
        found[url] |= marks(text)
    return dict(found)


def texts_of_milvus(milvus: Milvus) -> dict[str, set[str]]:
    urls = dict(Document.objects.values_list("id", "url"))
    found: dict[str, set[str]] = defaultdict(set)
    for row in milvus.rows:
        found[urls.get(row["document_id"], f"document {row['document_id']}")] |= marks(row["text"])
    return dict(found)


def foreign_vectors(milvus: Milvus) -> Iterator[str]:
    """The stub's vectors are made of the text, so that it can be seen whether each belongs to its row."""
    for row in milvus.rows:
        if not np.allclose(row["dense"], dense_of(embedding_text(row["heading"], row["text"])), atol=0.01):
            yield f"the vector of {row['key']} is another text's"


def left_in_redis(stack: Stack) -> Iterator[str]:
    """Records, claims and dead letters; single values are locks and notes."""
    with stack.redis() as client:
        for key in client.scan_iter(f"{settings.EMBEDDINGS_KEY}*"):
            if client.type(key) != b"string":
                yield f"Redis still has {key.decode()} ({client.type(key).decode()})"


def some(found: set[str]) -> str:
    return json.dumps(sorted(found)[:EXAMPLES])


def depths(stack: Stack) -> dict[str, Any]:
    """What Redis holds that somebody has to come for: messages, those of dead workers among them, and records."""
    with stack.redis() as client:
        queues = [name for queue in ("cpu", "gpu", "index") for name in (queue, *steps(queue))]
        messages = sum(client.llen(name) for name in queues)
        kept = [k for k in client.scan_iter(f"{settings.EMBEDDINGS_KEY}*") if client.type(k) != b"string"]
        return {"messages": messages, "unacked": client.hlen("unacked"), "buffer": len(kept)}


def steps(queue: str) -> list[str]:
    """kombu keeps a list for each priority."""
    return [f"{queue}\x06\x16{step}" for step in settings.PRIORITY_STEPS]
