"""Rows, uploads and vectors -> the file of a backup, also while everything works.

The rows are those of one moment. A vector that leaves Milvus between that moment and its reading is embedded again
after a restore, so nothing has to stop. Raises BackupRefused, and the store's errors where Milvus does not answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
from django.conf import settings
from django.utils import timezone

from ingestion.backup import archive, rows
from ingestion.backup.archive import FORMAT, MANIFEST, Manifest, Writer
from ingestion.buffer import codec
from ingestion.models import Chunk, Collection
from ingestion.pipeline.embed.push_vectors import Embedded, record_of
from ingestion.pipeline.index.audit import batched
from ingestion.vector_store.store import open_store

# As many as a drain writes at once; about 6 MB in a member.
VECTORS_AT_ONCE = 1000


def save(path: Path, *, with_vectors: bool) -> Manifest:
    """Write a backup to ``path`` and return its manifest. Raises BackupRefused when it cannot be written there."""
    with archive.written(path) as file, rows.snapshot() as using:
        counts = {}
        for model in rows.models():
            label = model._meta.label_lower
            with file.member(f"rows/{label}.jsonl") as stream:
                counts[label] = rows.dump(model, using, stream)
        searched = Collection.objects.using(using).filter(active=True).first()
        manifest = Manifest(
            format=FORMAT,
            made_at=timezone.now().isoformat(timespec="seconds"),
            migrations=rows.migrations(),
            rows=counts,
            uploads=save_uploads(file),
            vectors=save_vectors(file, searched, using) if searched and with_vectors else 0,
            collection=searched.name if searched else "",
            sha256=file.sha256,
        )
        file.file.writestr(MANIFEST, msgspec.json.encode(manifest))
    return manifest


def save_uploads(file: Writer) -> int:
    """Write the uploaded files and return how many. Links are left out, as listings leave them out."""
    root, saved = settings.DATA_DIR / "uploads", 0
    for path in sorted(root.rglob("*")):
        if path.is_file() and not path.is_symlink():
            with file.member(f"uploads/{path.relative_to(root).as_posix()}") as stream, path.open("rb") as source:
                while data := source.read(archive.READ_BYTES):
                    stream.write(data)
            saved += 1
    return saved


def save_vectors(file: Writer, searched: Collection, using: str) -> int:
    """Write the vectors of all indexed chunks, as the records that the embedder makes, and return how many."""
    saved = 0
    for number, records in enumerate(vectors(searched, using)):
        with file.member(f"vectors/{number:06}.msgpack") as stream:
            stream.write(msgspec.msgpack.encode(records))
        saved += len(records)
    return saved


def vectors(searched: Collection, using: str) -> Iterator[list[bytes]]:
    """Yield lists of records of the chunks whose vectors Milvus holds."""
    store = open_store(searched.name, searched.dimension)
    indexed = Chunk.objects.using(using).filter(state=Chunk.State.INDEXED).order_by("pk").select_related("document")
    for chunks in batched(indexed.defer("document__markdown").iterator(VECTORS_AT_ONCE), VECTORS_AT_ONCE):
        held = store.vectors([chunk.key for chunk in chunks])
        records = [
            codec.pack(record_of(Embedded(chunk, held[chunk.key]), searched.name))
            for chunk in chunks
            if chunk.key in held
        ]
        if records:
            yield records
