"""The file of a backup: a zip archive with a manifest that names every member with its SHA-256.

In: bytes by name. Out: the file, complete or not at all, readable by its owner alone. Knows no rows and no vectors.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import msgspec

from ingestion.exceptions import BackupRefused

FORMAT = 1
MANIFEST = "manifest.json"
# Vectors hardly shrink, and texts to a third; higher levels take three times as long for a tenth less.
COMPRESSION = 1
READ_BYTES = 1024 * 1024
DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, msgspec.MsgspecError, KeyError)


class Manifest(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What a backup holds. ``migrations`` are the last ones applied, by application; ``rows`` are counts by model."""

    format: int
    made_at: str
    migrations: dict[str, str]
    rows: dict[str, int]
    uploads: int
    vectors: int
    collection: str
    sha256: dict[str, str]


class Hashing:
    """A stream that is written to and hashed on the way."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream = stream
        self.hash = hashlib.sha256()

    def write(self, data: bytes | str) -> int:
        """Write bytes, or text as UTF-8, which is what Django's serializers write."""
        raw = data.encode() if isinstance(data, str) else data
        self.hash.update(raw)
        return self.stream.write(raw)


class Writer:
    """A backup that is being written."""

    def __init__(self, file: zipfile.ZipFile) -> None:
        self.file = file
        self.sha256: dict[str, str] = {}

    @contextmanager
    def member(self, name: str) -> Iterator[Hashing]:
        """Yield a stream that writes the member ``name``, and keep its SHA-256 at the end."""
        with self.file.open(name, "w", force_zip64=True) as stream:
            hashing = Hashing(stream)
            yield hashing
        self.sha256[name] = hashing.hash.hexdigest()


@contextmanager
def written(path: Path) -> Iterator[Writer]:
    """Yield a writer of a backup; the file is at ``path`` only once the block has ended without an error.

    Raises BackupRefused when there is a file already, or when it cannot be written.
    """
    if path.exists():
        raise BackupRefused(f"{path} is there already. Name another file, or move that one away.")
    fresh = path.with_name(f"{path.name}.part")
    try:
        fresh.unlink(missing_ok=True)
        fresh.touch(mode=0o600)
        with zipfile.ZipFile(fresh, "w", zipfile.ZIP_DEFLATED, compresslevel=COMPRESSION) as file:
            yield Writer(file)
        with fresh.open("rb+") as stream:
            os.fsync(stream.fileno())
        fresh.rename(path)
    except OSError as error:
        raise BackupRefused(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        fresh.unlink(missing_ok=True)


class Reader:
    """A backup whose members are what its manifest says."""

    def __init__(self, file: zipfile.ZipFile, manifest: Manifest) -> None:
        self.file = file
        self.manifest = manifest

    def names(self, prefix: str) -> list[str]:
        """Return the names of the members that begin with ``prefix``, sorted."""
        return sorted(name for name in self.manifest.sha256 if name.startswith(prefix))

    def open(self, name: str) -> IO[bytes]:
        """Return the stream of a member."""
        return self.file.open(name)


@contextmanager
def read(path: Path) -> Iterator[Reader]:
    """Yield the backup once every byte of it was compared with its checksum. Raises BackupRefused."""
    try:
        file = zipfile.ZipFile(path)
    except FileNotFoundError as error:
        raise BackupRefused(f"There is no file {path}.") from error
    except DAMAGE as error:
        raise BackupRefused(f"{path} is no backup, or cut short: {error}.") from error
    with file:
        yield Reader(file, verified(path, file))


def verified(path: Path, file: zipfile.ZipFile) -> Manifest:
    """Return the manifest. Raises BackupRefused for a damaged file, and for one of another format."""
    try:
        found = msgspec.json.decode(file.read(MANIFEST))
        if found.get("format") != FORMAT:
            raise BackupRefused(f"{path} has the format {found.get('format')}, and this version reads {FORMAT}.")
        manifest = msgspec.convert(found, Manifest)
        if manifest.sha256.keys() != set(file.namelist()) - {MANIFEST}:
            raise BackupRefused(f"{path} is damaged: its members are not those of its manifest.")
        for name, wanted in manifest.sha256.items():
            if digest(file, name) != wanted:
                raise BackupRefused(f"{path} is damaged: {name} is not what was saved. Use another backup.")
    except DAMAGE as error:
        raise BackupRefused(f"{path} is damaged: {error}. Use another backup.") from error
    return manifest


def digest(file: zipfile.ZipFile, name: str) -> str:
    """Return the SHA-256 of a member."""
    with file.open(name) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]
