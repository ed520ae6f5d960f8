"""A repository's archive (tar.gz) -> its documents in a folder.

In: a file on disk, as a forge makes it: one folder at the top, the repository inside. Out: those regular files
that are wanted, at their paths in the repository. Links, devices and files above the bound are passed over.
An archive is read once, from its start to its end, in pieces: memory grows neither with its size nor with
the number of its files. What leads out of the folder, is damaged, or unpacks out of proportion raises
FetchFailed or SourceError, and the folder is then to be thrown away.
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
    """In bytes: of all files together, and of one."""

    total: int
    file: int


def unpack(archive: Path, folder: Path, *, wanted: Callable[[str], bool], bounds: Bounds) -> None:
    """Write the wanted files below ``folder``, which is made."""
    folder.mkdir(parents=True)
    with _opened(archive) as unpacked:
        for path, size in _bounded(_files(unpacked, wanted), bounds):
            _write(unpacked, size, folder / path)


def git_hash(body: bytes) -> str:
    """The name that git gives to a file's content."""
    return hashlib.sha1(b"blob %d\0%b" % (len(body), body), usedforsecurity=False).hexdigest()


def is_plain(path: str) -> bool:
    """Whether a path stays below where it starts, wherever that is."""
    return "\0" not in path and {"", ".", ".."}.isdisjoint(path.split("/"))


class _Unpacked:
    """The unpacked bytes, read forward only, with every single read and their sum bounded."""

    def __init__(self, file: gzip.GzipFile, limit: int) -> None:
        self._file, self._limit = file, limit
        self.tell = file.tell

    def read(self, size: int) -> bytes:
        if size > MAX_READ_BYTES:
            raise ValueError(f"a name of {size} bytes")
        piece = self._file.read(size)
        if self._file.tell() > self._limit:
            raise SourceError(f"its archive unpacks to more than {MAX_RATIO} times its size, which is refused")
        return piece

    def pieces(self, size: int) -> Iterator[bytes]:
        """The next ``size`` bytes, all of them."""
        while size > 0:
            piece = self.read(min(size, COPY_BYTES))
            if not piece:
                raise EOFError("it ends early")
            size -= len(piece)
            yield piece

    def seek(self, position: int) -> None:
        """Pass over what nobody wants, piece by piece, so that a bomb is noticed on the way."""
        for _ in self.pieces(position - self.tell()):
            continue

    def finish(self) -> None:
        """Read what follows the last file: gzip's checksum stands at the very end."""
        while self.read(COPY_BYTES):
            continue


@contextmanager
def _opened(archive: Path) -> Iterator[_Unpacked]:
    limit = max(RATIO_FREE_BYTES, MAX_RATIO * archive.stat().st_size)
    try:
        with gzip.open(archive) as file:
            unpacked = _Unpacked(file, limit)
            yield unpacked
            unpacked.finish()
    except DAMAGE as error:
        raise FetchFailed(f"its archive is damaged ({error}); it will be downloaded again") from error


def _files(unpacked: _Unpacked, wanted: Callable[[str], bool]) -> Iterator[tuple[str, int]]:
    """Paths below the archive's top folder, and sizes; what follows in ``unpacked`` is the file's content."""
    with tarfile.open(fileobj=unpacked, mode="r:") as tar:  # type: ignore[call-overload]
        while (member := tar.next()) is not None:
            tar.members.clear()  # it remembers every file that it has passed: 100 MB for 100 000
            path = member.name.partition("/")[2]
            if member.isreg() and not member.issparse() and wanted(path):
                yield _judged(path), member.size


def _judged(path: str) -> str:
    if not is_plain(path):
        raise ValueError(f"it holds the path {path[:200]!r}")
    return path


def _bounded(files: Iterator[tuple[str, int]], bounds: Bounds) -> Iterator[tuple[str, int]]:
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
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        for piece in unpacked.pieces(size):
            file.write(piece)
