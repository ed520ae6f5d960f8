"""Files that staff upload, kept in a folder of their own below ``DATA_DIR/uploads``; the target is its name.

Documents are ``upload:<folder>/<path>`` addresses, so that the data can be moved. The web server and the workers must
see the same ``DATA_DIR``. A zip archive is unpacked, archives inside it are not. Files without an accepted format are
left out; an archive that is damaged, encrypted, or beyond a limit is refused as a whole. Nothing is put into the folder
before the whole upload has been read.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import stat
import struct
import time
import unicodedata
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Protocol
from urllib.parse import quote_from_bytes, unquote_to_bytes

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.utils.text import slugify

from ingestion.exceptions import AddressRefused, SourceError, UnsupportedContent
from ingestion.sources.local import files
from ingestion.sources.local.nofollow import open_nofollow
from ingestion.types import Listing, Page, SourceSpec, Validators

FOLDER = re.compile(r"[a-z0-9][a-z0-9-]{0,99}")
ARCHIVE = ".zip"
MAX_ENTRIES = 10_000  # Java's whole API reference has 9 000 pages
# Deflate reaches 1032:1. Generated HTML compresses up to 40:1; more than 200:1 is a bomb, or nothing to read.
MAX_RATIO = 200
RATIO_FROM_BYTES = 64 * 1024  # a small archive of a repetitive log is no bomb: 12 MB at the most
# LZMA's header says how much memory unpacking takes, up to 4 GB; common programs use these two by default.
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
ENCRYPTED = 0x1
UTF8_NAME = 0x800
# An entry takes about 130 bytes of an archive's directory, which is read at once, and each becomes an object.
MAX_DIRECTORY_BYTES = 4 * 1024 * 1024
# What zipfile raises for damaged files, whether by accident or on purpose.
DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, ValueError)
MAX_NAME_BYTES = 200  # file systems allow 255; the rest is for "-2" and the like
READ_BYTES = 1024 * 1024
ABANDONED_SECONDS = 24 * 3600.0  # no upload takes a day; what is older was left by a process that was killed
EXAMPLES = 5
NOT_IN_NAMES = re.compile(r'[\x00-\x1f\x7f-\x9f<>:"|?*\ud800-\udfff\u202a-\u202e\u2066-\u2069]')


@dataclass
class Stored:
    """The result of an upload; ``left_out`` has a sentence for each file that was not stored."""

    added: int = 0
    replaced: int = 0
    left_out: list[str] = field(default_factory=list)

    def sentence(self) -> str:
        """Return the result in words, with some examples: an archive may hold thousands of pictures."""
        counts = f"{self.added} added, {self.replaced} replaced, {len(self.left_out)} left out."
        more = f" … and {len(self.left_out) - EXAMPLES} more." if len(self.left_out) > EXAMPLES else ""
        return " ".join([counts, *self.left_out[:EXAMPLES]]) + more


# --- The kind -----------------------------------------------------------------------------------------


def normalise(target: str) -> str:
    """Return the name of a folder of uploads, as ``new_folder`` makes it. Raise SourceError for any other."""
    if not FOLDER.fullmatch(target):
        raise SourceError(f"{target!r} is no folder of uploads; upload the files in the admin, which names it.")
    return target


def list_documents(spec: SourceSpec) -> Listing:
    """Return the files in the source's folder."""
    root = _root(normalise(spec.target))
    if root.is_symlink():
        raise SourceError(f"{root} is a link by now; put the folder of the uploads back in its place.")
    if not root.is_dir():
        raise SourceError(f"{root} is not there; upload the files again, or give workers the web server's DATA_DIR.")
    return files.list_folder(spec, root, lambda path: _address(spec, root, path))


def follow(spec: SourceSpec, page_url: str, links: Sequence[str]) -> list[str]:
    """Return nothing: files are found by listing, never by links."""
    return []


def fetch(spec: SourceSpec, url: str, known: Validators = Validators()) -> Page:
    """Return the file as it is now; ``known`` is ignored."""
    root, prefix = _root(normalise(spec.target)), f"upload:{spec.target}/"
    path = files.real_path(f"{root}/{os.fsdecode(unquote_to_bytes(url.removeprefix(prefix)))}")
    if not url.startswith(prefix) or not path.is_relative_to(root):
        raise AddressRefused(f"{url} is no file of {spec.target}; ingest its source again")
    return files.read_page(root, path, url)


# --- Storing ------------------------------------------------------------------------------------------


def new_folder(name: str) -> str:
    """Return a free target for a source of this name."""
    return f"{slugify(name)[:60].strip('-_').replace('_', '-') or 'files'}-{secrets.token_hex(4)}"


def store(target: str, uploads: Iterable[UploadedFile[Any]], *, replace_all: bool = False) -> Stored:
    """Put files into the source's folder and unpack archives. Return what was done.

    A file of the same name is replaced, with ``replace_all`` everything. When that cannot be done, raise SourceError
    and change nothing.
    """
    root = _root(normalise(target))
    with _temporary_folder() as temporary:
        intake = _Intake(temporary / "new")
        for upload in uploads:
            intake.take(upload)
        if not intake.names:
            raise SourceError(f"Nothing was stored. {' '.join(intake.left_out) or 'Choose at least one file.'}")
        with _turn(root.parent):
            if not replace_all:
                return _merge(intake, root)
            with suppress(FileNotFoundError):
                root.rename(temporary / "old")
            intake.folder.rename(root)
        return Stored(added=len(intake.names), left_out=intake.left_out)


def remove(target: str) -> None:
    """Delete a source's folder, which is renamed first and thus gone even if deleting is interrupted."""
    with _temporary_folder() as temporary, suppress(FileNotFoundError):
        _root(normalise(target)).rename(temporary / "old")


def _root(target: str) -> Path:
    """Return the absolute path of the folder of uploads with this name, which may not exist."""
    return Path(os.path.realpath(settings.DATA_DIR / "uploads")) / target


@contextmanager
def _turn(folder: Path) -> Iterator[None]:
    """Wait until no other upload moves its files within ``folder``; those of two would be mixed, or lost."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    """Yield a folder beside those of sources and delete it afterwards; its name can be no target's."""
    path = _root(f".{secrets.token_hex(8)}")
    try:
        path.mkdir(parents=True)
        yield path
    except OSError as error:
        raise SourceError(f"The files cannot be stored ({error.strerror}); look at the disk of DATA_DIR.") from error
    finally:
        shutil.rmtree(path, ignore_errors=True)
        _delete_abandoned(path.parent)


def _delete_abandoned(folder: Path) -> None:
    """Delete the temporary folders in ``folder`` that have not changed for ABANDONED_SECONDS."""
    for temporary in folder.glob(".*"):
        with suppress(FileNotFoundError):
            if temporary.stat().st_mtime < time.time() - ABANDONED_SECONDS:
                shutil.rmtree(temporary, ignore_errors=True)


def _merge(intake: _Intake, root: Path) -> Stored:
    """Move the files of an upload to their places, one after the other."""
    done = Stored(left_out=intake.left_out)
    for name in intake.names:
        target = root / name
        try:
            existed = target.is_file()
            _move(intake.folder / name, target)
        except OSError as error:  # a folder or a link in the place of a file or a folder
            done.left_out.append(f"{name}: {error.strerror}; rename it.")
            continue
        done.replaced += existed
        done.added += not existed
    return done


def _move(file: Path, target: Path) -> None:
    """Move a file to exactly this path, without following any link."""
    if files.real_path(str(target.parent)) == target.parent:
        target.parent.mkdir(parents=True, exist_ok=True)
    folder = open_nofollow(target.parent)
    try:
        os.replace(file, target.name, dst_dir_fd=folder)
    finally:
        os.close(folder)


class Readable(Protocol):
    """An uploaded file, or one inside an archive."""

    def read(self, size: int = ..., /) -> bytes:
        """Return up to ``size`` bytes, none at the end."""


class _Intake:
    """The files of one upload, stored under safe names in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names: dict[str, None] = {}
        self.left_out: list[str] = []
        self._copies: Counter[str] = Counter()
        self._room = settings.UPLOAD_MAX_BYTES
        folder.mkdir()

    def take(self, upload: UploadedFile[Any]) -> None:
        """Store an uploaded file, or the files of an archive. Raise SourceError when the archive or the size is bad."""
        name = upload.name or "file"
        if PurePosixPath(name).suffix.lower() == ARCHIVE:
            self._unpack(name, upload)
        else:
            self._keep(name, upload)

    def _unpack(self, name: str, upload: UploadedFile[Any]) -> None:
        """Store the files of the zip archive ``upload``, which people know as ``name``.

        Raise SourceError when it is damaged, encrypted or beyond a limit.
        """
        try:
            with zipfile.ZipFile(_Bounded(upload)) as archive:
                entries = [entry for entry in archive.infolist() if not entry.is_dir()]
                _check_archive(name, entries)
                for entry in entries:
                    self._take_entry(archive, entry)
        except DAMAGE as error:
            raise SourceError(f"{name} is damaged or no zip archive ({error}); make it anew.") from error

    def _take_entry(self, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
        """Store one file of an archive; a link is left out, with a note.

        Raise zipfile's errors when it is damaged, SourceError when the upload is too large.
        """
        name = entry.filename
        if not entry.flag_bits & UTF8_NAME:
            # zipfile reads names without the UTF-8 flag as code page 437; most of them are UTF-8 all the same.
            with suppress(UnicodeError):
                name = name.encode("cp437").decode()
        if stat.S_ISLNK(entry.external_attr >> 16):
            self.left_out.append(f"{name[:200]!r} is a link, not a file.")
            return
        with archive.open(entry) as file:
            self._keep(name, file)

    def _keep(self, name: str, file: Readable) -> None:
        """Store a file under a safe name, numbered when another file of this upload has that, and add it to ``names``.

        A file that is hidden, of no accepted format or in the way of another is not stored; why is added to
        ``left_out``. Raise SourceError when the upload is too large.
        """
        try:
            safe = wish = safe_name(name)
            path = PurePosixPath(wish)
            while safe in self.names:  # name-2, name-3 … when other files of this upload have it
                self._copies[wish] += 1
                safe = str(path.with_name(f"{path.stem}-{self._copies[wish] + 1}{path.suffix}"))
            files.content_type_of(safe, error=UnsupportedContent)
            self._write(safe, file)
            if files.is_other_data(self.folder / safe):
                (self.folder / safe).unlink()
                raise UnsupportedContent(f"{safe} is no OpenAPI document, the only YAML or JSON that is read.")
        except UnsupportedContent as error:
            self.left_out.append(str(error))
        except (FileExistsError, NotADirectoryError):
            self.left_out.append(f"{safe} is the name of a file and of a folder; rename one of them.")
        else:
            self.names[safe] = None

    def _write(self, name: str, file: Readable) -> None:
        """Write a file to its place in the folder of the upload, and create the folders above it.

        Raise SourceError when all files together are larger than UPLOAD_MAX_BYTES, FileExistsError or
        NotADirectoryError when the path is taken.
        """
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as stored:
            while piece := file.read(READ_BYTES):
                self._room -= len(piece)
                if self._room < 0:
                    raise SourceError(
                        f"The upload is larger than {settings.UPLOAD_MAX_BYTES} bytes when unpacked; "
                        "upload it in parts or raise UPLOAD_MAX_BYTES."
                    )
                stored.write(piece)


# --- Archives -----------------------------------------------------------------------------------------


class _Bounded:
    """A file whose every read is bounded: zipfile reads an archive's whole directory in one."""

    def __init__(self, file: UploadedFile[Any]) -> None:
        self._file = file
        self.seek, self.tell, self.seekable, self.close = file.seek, file.tell, file.seekable, file.close

    def read(self, size: int = -1) -> bytes:
        """Return the next ``size`` bytes or fewer. Raise SourceError when that is more than a directory may have."""
        if size > MAX_DIRECTORY_BYTES:
            raise SourceError(f"{self._file.name} has a directory of {size} bytes; divide the archive.")
        return bytes(self._file.read(size))


def _check_archive(name: str, entries: list[zipfile.ZipInfo]) -> None:
    """Raise SourceError for an archive beyond a limit, before anything is unpacked.

    The sizes that it declares are enough: zipfile does not unpack more than them.
    """
    if len(entries) > MAX_ENTRIES:
        raise SourceError(f"{name} holds more than {MAX_ENTRIES} files; divide it.")
    if any(entry.flag_bits & ENCRYPTED for entry in entries):
        raise SourceError(f"{name} is encrypted; upload it without a password.")
    if any(entry.compress_type not in METHODS for entry in entries):
        raise SourceError(f"{name} is compressed in an unusual way; make it anew as an ordinary zip archive.")
    size, packed = sum(e.file_size for e in entries), sum(e.compress_size for e in entries)
    if size > MAX_RATIO * max(packed, RATIO_FROM_BYTES):
        raise SourceError(f"{name} would unpack to more than {MAX_RATIO} times its size; upload its files instead.")


def safe_name(name: str) -> str:
    """Return a name as a safe relative path. Raise UnsupportedContent if it leads elsewhere or is hidden."""
    text = unicodedata.normalize("NFC", NOT_IN_NAMES.sub("", name.replace("\\", "/")))
    parts = [part.strip() for part in text.split("/") if part.strip() not in ("", ".")]
    if text.startswith("/") or ".." in parts or not parts:
        raise UnsupportedContent(f"{name[:200]!r} leads out of its folder; rename it.")
    if any(part.startswith(".") or part == "__MACOSX" for part in parts):
        raise UnsupportedContent(f"{files.printable(text[:200])} is hidden.")
    return "/".join([*map(_short, parts[:-1]), _short(parts[-1])])


def _short(part: str) -> str:
    """Return a name cut to the length that file systems allow, with its suffix."""
    path = PurePosixPath(part)
    room = MAX_NAME_BYTES - len(path.suffix.encode())
    if room <= 0 or len(part.encode()) <= MAX_NAME_BYTES:
        return part.encode()[:MAX_NAME_BYTES].decode(errors="ignore")
    return path.stem.encode()[:room].decode(errors="ignore") + path.suffix


def _address(spec: SourceSpec, root: Path, path: str) -> str:
    """Return the ``upload:`` address of the file at ``path``, an absolute path below ``root``."""
    return f"upload:{spec.target}/{quote_from_bytes(os.fsencode(path.removeprefix(f'{root}/')))}"
