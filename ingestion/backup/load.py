"""The file of a backup -> rows, uploads and vectors, in the place of what is there.

In: a file that ``archive`` has verified. Out: the system as it was; what was on its way then is on its way again. The
workers must not run: Redis is emptied, and its queues with it. A restore that is interrupted is begun anew: until its
end the rows are those from before, or the restored ones whose missing vectors the audit finds.

Raises BackupRefused, and the errors of Redis and Milvus.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import msgspec
from django.conf import settings
from django.db import IntegrityError, transaction

from ingestion.backup import archive, rows
from ingestion.backup.archive import Manifest, Reader
from ingestion.coordination import heartbeat, redis_client
from ingestion.exceptions import BackupRefused
from ingestion.models import Chunk, Collection
from ingestion.pipeline.index.audit import Report, audit
from ingestion.pipeline.index.drain import readable
from ingestion.pipeline.state.transitions import advance
from ingestion.vector_store.store import open_store

# A job of Beat's that was done within this time: somebody works.
WORKING_SECONDS = 30.0
# Chunks that were with the embedder or in Redis, whose records and claims a backup does not hold.
ON_THEIR_WAY = (Chunk.State.EMBEDDING, Chunk.State.BUFFERED)

Progress = Callable[[str], None]


def load(path: Path, *, replace: bool, progress: Progress) -> tuple[Manifest, Report | None]:
    """Restore a backup. Return its manifest, and the report of the audit at the end, or None when another audit works.

    Raises BackupRefused. ``replace``: rows that are there already may be replaced.
    """
    progress("comparing the file with its checksums")
    with archive.read(path) as file:
        require_fit(file.manifest)
        if rows.is_filled() and not replace:
            raise BackupRefused("There are rows already, which a restore replaces. Add --yes if that is meant.")
        require_rest()
        load_rows(file, progress)
        load_uploads(file)
        progress(f"{file.manifest.uploads} uploaded files")
        with redis_client.available() as client:
            client.flushdb()
        load_vectors(file, progress)
        progress("comparing the index with the rows")
        return file.manifest, audit(repair=True)


def require_fit(manifest: Manifest) -> None:
    """Raise BackupRefused for a backup that was made with other database migrations than are applied here."""
    here = rows.migrations()
    if manifest.migrations != here:
        there = manifest.migrations
        differ = sorted(app for app in here.keys() | there.keys() if here.get(app) != there.get(app))
        made = ", ".join(f"{app} {there.get(app, 'none')} (here {here.get(app, 'none')})" for app in differ)
        raise BackupRefused(
            f"The backup was made with other tables: {made}. Restore it with the version that made it, then update."
        )


def require_rest() -> None:
    """Raise BackupRefused while workers run: they would write beside the restore."""
    workers, ages = heartbeat.workers(), heartbeat.job_ages()
    if workers or any(age < WORKING_SECONDS for age in ages.values()):
        raise BackupRefused(
            "Workers run. Stop Beat, the workers and the web server first (Ctrl-C in `manage.py up`; docker compose "
            f"stop beat cpu-worker gpu-worker index-worker web), and wait {WORKING_SECONDS:.0f} s."
        )


def load_rows(file: Reader, progress: Progress) -> None:
    """Replace all rows by the backup's, or none. Raises BackupRefused when its rows do not fit one another."""
    models = rows.models()
    try:
        with transaction.atomic():
            rows.empty(models)
            for model in models:
                label = model._meta.label_lower
                with file.open(f"rows/{label}.jsonl") as stream:
                    number = sum(1 for _ in rows.load(stream))
                if number:
                    progress(f"{number} rows of {label}")
            settle()
            rows.continue_ids(models)
    except IntegrityError as error:
        raise BackupRefused(f"The rows of the backup do not fit one another: {error}.") from error


def settle() -> None:
    """Let what was on its way begin again: claims and records did not outlive their Redis.

    Chunks at the embedder or in the buffer wait again. Chunks that were leaving the index are deleted, as are the rows
    of collections that are not searched.
    """
    Chunk.objects.filter(state__in=ON_THEIR_WAY).back_to_waiting()
    Chunk.objects.filter(state__in=Chunk.LEAVING).delete()  # Milvus will not have them
    Collection.objects.filter(active=False).delete()  # the embedder makes another one when it needs it
    advance()


def load_uploads(file: Reader) -> None:
    """Replace the uploaded files by the backup's. Raises BackupRefused for a path that leads out of their folder."""
    root, fresh = settings.DATA_DIR / "uploads", settings.DATA_DIR / "uploads.restored"
    shutil.rmtree(fresh, ignore_errors=True)
    for name in file.names("uploads/"):
        parts = PurePosixPath(name).parts[1:]
        if ".." in parts or not parts:
            raise BackupRefused(f"The backup names a file outside of the uploads: {name}.")
        path = fresh.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with file.open(name) as source, path.open("wb") as target:
            shutil.copyfileobj(source, target)
    shutil.rmtree(root, ignore_errors=True)
    if fresh.exists():
        fresh.rename(root)


def load_vectors(file: Reader, progress: Progress) -> None:
    """Make the searched collection anew and fill it with the backup's vectors.

    What the backup holds no vector of is left to the audit, which has it embedded again.
    """
    searched = Collection.objects.searched()
    if searched is None:
        return
    store = open_store(searched.name, searched.dimension)
    if store.exists():
        store.drop()
    store.ensure()
    written = 0
    for name in file.names("vectors/"):
        with file.open(name) as stream:
            records = msgspec.msgpack.decode(stream.read(), type=list[bytes])
        written += store.upsert(readable(records, store))
        progress(f"{written} of {file.manifest.vectors} vectors")
