"""Chunks of a document's text -> Chunk rows.

In: a document and the chunks that it has now. Out: rows; new ones wait for the embedder, equal ones keep their vectors,
vanished ones are to be removed. Does not touch Milvus or the document's own row.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

from django.conf import settings

from ingestion.models import Chunk, Document
from ingestion.pipeline.state.fingerprints import embedding_digest
from ingestion.types import TextChunk, embedding_text

CONTENT_FIELDS = ("position", "heading", "anchor", "start", "end", "tokens")


def reconcile(document: Document, chunks: Sequence[TextChunk]) -> bool:
    """Add, update and remove Chunk rows until they match ``chunks``. Return whether any chunk is new or vanished."""
    wanted = dict(zip(chunk_keys(document, chunks), enumerate(chunks), strict=True))
    # Locked: what becomes of a row depends on its state, which the embedder and the drain change.
    stored = {row.key: row for row in document.chunks.select_for_update(no_key=True)}
    vanished = [row.pk for key, row in stored.items() if key not in wanted and row.state not in Chunk.LEAVING]
    Chunk.objects.filter(id__in=vanished).remove()
    kept, fresh = [], []
    for key, (position, chunk) in wanted.items():
        row = stored.get(key)
        if row is None:
            digest = embedding_digest(chunk.heading, chunk.shown)
            wanted_context = bool(settings.CONTEXT_MODEL)
            row = Chunk(document=document, key=key, digest=digest, text=chunk.shown, context_wanted=wanted_context)
            fresh.append(row)
        else:
            kept.append(row)
        if row.state == Chunk.State.REMOVING:  # its vector is still there
            row.state = Chunk.State.INDEXED
        elif row.state in (Chunk.State.DELETING, Chunk.State.FAILED):  # its vector may be gone, or was never made
            row.state, row.attempts, row.error = Chunk.State.WAITING, 0, ""
        row.position, row.start, row.end, row.tokens = position, chunk.start, chunk.end, chunk.tokens
        row.heading, row.anchor = chunk.heading[:1000], chunk.anchor[:500]
    Chunk.objects.bulk_update(kept, ["state", "attempts", "error", *CONTENT_FIELDS], batch_size=200)
    Chunk.objects.bulk_create(fresh, batch_size=500)
    return bool(vanished or fresh)


def chunk_keys(document: Document, chunks: Sequence[TextChunk]) -> list[str]:
    """Return the chunks' keys: 128 bits of BLAKE2b over source, address, embedded text and number of its repetition.

    The position is not part of it: a paragraph added above leaves all other keys as they are.
    """
    seen: Counter[str] = Counter()
    keys = []
    for chunk in chunks:
        text = embedding_text(chunk.heading, chunk.shown)
        seen[text] += 1
        parts = f"{document.source_id}\0{document.url}\0{text}\0{seen[text]}"
        keys.append(hashlib.blake2b(parts.encode(errors="replace"), digest_size=16).hexdigest())
    return keys
