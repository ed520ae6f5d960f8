"""A repository's archive (tar.gz) -> its documents in a folder.

In: a file on disk, as GitHub makes it: one folder at the top, the repository inside. Out: those regular files that are
wanted, at their paths in the repository. Links, devices and files above the size limit are skipped. An archive is read
once, from its start to its end, in pieces: memory grows neither with its size nor with the number of its files. An
archive that leads out of the folder, is damaged, or unpacks out of proportion raises FetchFailed or SourceError, and
the folder is then to be deleted.
"""

from __future__ import annotations

import gzip
import hashlib
import logging
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ingestion.exceptions import FetchFailed, SourceError

logger = logging.getLogger(__name__)

# Sources compress 3-6 times (Django's 4.7), generated JSON up to 30; gzip's own limit is 1 030.
MAX_RATIO = 200
RATIO_FREE_BYTES = 1024 * 1024
# tarfile takes a long name that precedes a file in one read of the size that it claims.
MAX_READ_BYTES = 1024 * 1024
COPY_BYTES = 64 * 1024
DAMAGE = (
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
    EOFError,
    ValueError,
    NotADirectoryError,
    FileExistsError,
    RecursionError,
)


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most bytes that all files together may have, and that one may have."""

    total: int
    file: int


def unpack(archive: Path, folder: Path, *, wanted: Callable[[str], bool], bounds: Bounds) -> None:
    """Write the wanted files below ``folder``, which is created. ``wanted`` is asked with each path."""
    folder.mkdir(parents=True)
    with _opened(archive) as unpacked:
        for path, size in _bounded(_files(unpacked, wanted), bounds):
            _write(unpacked, size, folder / path)


def git_hash(body: bytes) -> str:
    """Return the hash by which git names a file's content."""
    return hashlib.sha1(b"blob %d\0%b" % (len(body), body), usedforsecurity=False).hexdigest()


def is_plain(path: str) -> bool:
    """Return whether a relative path stays below its start."""
    return "\0" not in path and {"", ".", ".."}.isdisjoint(path.split("/"))


class _Unpacked:
    """The unpacked bytes, read forward only, with every single read and their sum bounded."""

    def __init__(self, file: gzip.GzipFile, limit: int) -> None:
        self._file, self._limit = file, limit
        self.tell = file.tell

    def read(self, size: int) -> bytes:
        """Return the next ``size`` bytes or fewer. Raise when one read or all together would be too large."""
        if size > MAX_READ_BYTES:
            raise ValueError(f"a name of {size} bytes")
        piece = self._file.read(size)
        if self._file.tell() > self._limit:
            raise SourceError(f"its archive unpacks to more than {MAX_RATIO} times its size, which is refused")
        return piece

    def pieces(self, size: int) -> Iterator[bytes]:
        """Yield the next ``size`` bytes in pieces. Raise EOFError when there are fewer."""
        while size > 0:
            piece = self.read(min(size, COPY_BYTES))
            if not piece:
                raise EOFError("it ends early")
            size -= len(piece)
            yield piece

    def seek(self, position: int) -> None:
        """Skip to a later position, piece by piece, so that a decompression bomb is noticed on the way."""
        for _ in self.pieces(position - self.tell()):
            continue

    def finish(self) -> None:
        """Read the archive to its very end, so that gzip's checksum, which stands there, is verified."""
        while self.read(COPY_BYTES):
            continue


@contextmanager
def _opened(archive: Path) -> Iterator[_Unpacked]:
    """Yield the unpacked bytes of an archive; when the block ends, read the rest, so that the checksum is verified.

    Raise FetchFailed when it is damaged, or the block finds that it is, SourceError when it unpacks out of proportion.
    """
    limit = max(RATIO_FREE_BYTES, MAX_RATIO * archive.stat().st_size)
    try:
        with gzip.open(archive) as file:
            unpacked = _Unpacked(file, limit)
            yield unpacked
            unpacked.finish()
    except DAMAGE as error:
        raise FetchFailed(f"its archive is damaged ({error}); it will be downloaded again") from error


def _files(unpacked: _Unpacked, wanted: Callable[[str], bool]) -> Iterator[tuple[str, int]]:
    """Yield the path below the archive's top folder and the size of each wanted file.

    The file's content then comes next in ``unpacked``.
    """
    with tarfile.open(fileobj=unpacked, mode="r:") as tar:  # type: ignore[call-overload]
        while (member := tar.next()) is not None:
            tar.members.clear()  # it remembers every file that it has passed: 100 MB for 100 000
            path = member.name.partition("/")[2]
            if member.isreg() and not member.issparse() and wanted(path):
                if not is_plain(path):
                    raise ValueError(f"it holds the path {path[:200]!r}")
                yield path, member.size


def _bounded(files: Iterator[tuple[str, int]], bounds: Bounds) -> Iterator[tuple[str, int]]:
    """Yield the files, as path and size in bytes, without those above ``bounds.file``, which are logged.

    Raise SourceError when the others have more than ``bounds.total`` bytes together.
    """
    room = bounds.total
    for path, size in files:
        if size > bounds.file:
            logger.warning("%r is left out of an archive: it has more than %d bytes", path, bounds.file)
            continue
        room -= size
        if room < 0:
            raise SourceError(f"its documents have more than {bounds.total} bytes together, which is refused")
        yield path, size


def _write(unpacked: _Unpacked, size: int, path: Path) -> None:
    """Write the next ``size`` bytes of the archive to a new file, and create the folders above it.

    Raise EOFError when the archive ends before, FileExistsError or NotADirectoryError when the path is taken.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        for piece in unpacked.pieces(size):
            file.write(piece)
