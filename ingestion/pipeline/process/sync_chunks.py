"""The Chunk rows of a document brought in line with the chunks of its text: new ones wait for the embedder,
equal ones keep their vectors, vanished ones are to be removed."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

from ingestion.models import Chunk, Document
from ingestion.pipeline.state.fingerprints import embedding_digest
from ingestion.types import TextChunk, embedding_text

CONTENT_FIELDS = ("position", "heading", "anchor", "start", "end", "tokens")


def reconcile(document: Document, chunks: Sequence[TextChunk]) -> bool:
    """Make the Chunk rows say what the document holds now. True when text came or went."""
    wanted = dict(zip(chunk_keys(document, chunks), enumerate(chunks), strict=True))
    stored = {row.key: row for row in document.chunks.all()}
    vanished = [row.pk for key, row in stored.items() if key not in wanted and row.state not in Chunk.LEAVING]
    Chunk.objects.filter(id__in=vanished).remove()
    kept = [revived(row, *wanted[key]) for key, row in stored.items() if key in wanted]
    Chunk.objects.bulk_update(kept, ["state", "attempts", "error", *CONTENT_FIELDS], batch_size=200)
    fresh = [new_row(document, key, *wanted[key]) for key in wanted if key not in stored]
    Chunk.objects.bulk_create(fresh, batch_size=500)
    return bool(vanished or fresh)


def revived(row: Chunk, position: int, piece: TextChunk) -> Chunk:
    """A stored chunk at its place in the new text. A row that was leaving stays; once its vector may
    be gone, or was never made, it waits for the embedder again."""
    if row.state == Chunk.State.REMOVING:
        row.state = Chunk.State.INDEXED
    elif row.state in (Chunk.State.DELETING, Chunk.State.FAILED):
        row.state, row.attempts, row.error = Chunk.State.WAITING, 0, ""
    update_position(row, position, piece)
    return row


def new_row(document: Document, key: str, position: int, piece: TextChunk) -> Chunk:
    digest = embedding_digest(piece.heading, piece.text)
    row = Chunk(document=document, key=key, digest=digest, text=piece.text)
    update_position(row, position, piece)
    return row


def update_position(row: Chunk, position: int, piece: TextChunk) -> None:
    row.position, row.start, row.end, row.tokens = position, piece.start, piece.end, piece.tokens
    row.heading, row.anchor = piece.heading[:1000], piece.anchor[:500]


def chunk_keys(document: Document, chunks: Sequence[TextChunk]) -> list[str]:
    """128 bits of BLAKE2b over where the text stands, what the model reads, and which repetition it is.
    The position is not part of it: a paragraph added above leaves all other keys as they are."""
    seen: Counter[str] = Counter()
    keys = []
    for piece in chunks:
        text = embedding_text(piece.heading, piece.text)
        seen[text] += 1
        parts = f"{document.source_id}\0{document.url}\0{text}\0{seen[text]}"
        keys.append(hashlib.blake2b(parts.encode(errors="replace"), digest_size=16).hexdigest())
    return keys
