"""What this machine keeps of repositories: where a ref led, what a commit holds, and its documents.

Below ``DATA_DIR/archives``, which only its owner may enter, because the archive of a private repository holds
whatever the token may read, there is a folder for each repository::

    refs/<hash>              where a ref led; the file's time is when that was asked
    commits/<sha>/index      paths, hashes and sizes of the commit's documents
    commits/<sha>/files/     the documents; there as a whole or not at all
    commits/<sha>/failure    why they are not, and until when nobody needs to try again
    lock                     held while documents are being put there, or old commits deleted

All worker processes of a machine share it. Whoever finds the lock held is told HostBusy rather than made to wait.
Another machine has its own. Everything may be deleted at any time: it is asked for again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from ingestion.exceptions import FetchFailed, HostBusy, IngestionError, SourceError, TransientError
from ingestion.sources.github import archives
from ingestion.sources.github.api import Entry, Head, is_document

# How often those who find the lock held look again; an archive of 10 MB takes 1-3 s.
LOOK_AGAIN_SECONDS = 1.0
# A repository is asked for its archive again after a failure that waiting may mend, and after one that a person
# has to mend; without these each of its documents would download the same bad archive.
MENDING_SECONDS = 10.0
BROKEN_SECONDS = 600.0
# Machines that share this folder differ by less; what is dated further ahead is from before the clock was set back.
CLOCK_SECONDS = 60.0
GONE = "gone-"
UNUSED_SECONDS = 30 * 24 * 3600.0  # a ref that no source has asked for; refreshes are more frequent


@dataclass(frozen=True, slots=True)
class Reference:
    """Where a ref led ``age`` seconds ago."""

    head: Head
    age: float


class Snapshots:
    """The folder of one repository; ``name`` is valid as a file name."""

    def __init__(self, name: str) -> None:
        self._folder = _root() / name

    # --- Refs -----------------------------------------------------------------------------------------

    def reference(self, ref: str) -> Reference | None:
        return _read_reference(self._ref(ref))

    def refer(self, ref: str, head: Head) -> None:
        """Note where the ref leads now."""
        _write(self._ref(ref), json.dumps({"ref": ref, **head._asdict()}))

    def _ref(self, ref: str) -> Path:
        return self._folder / "refs" / hashlib.blake2b(ref.encode(), digest_size=16).hexdigest()

    # --- Commits --------------------------------------------------------------------------------------

    def index(self, commit: str) -> list[Entry] | None:
        try:
            return [Entry(*entry) for entry in json.loads((self._commit(commit) / "index").read_text())]
        except (OSError, ValueError, TypeError):
            return None

    def keep_index(self, commit: str, entries: Sequence[Entry]) -> None:
        rows = [(entry.path, entry.sha, entry.size) for entry in entries]
        _write(self._commit(commit) / "index", json.dumps(rows))

    def files(self, commit: str, download: Callable[[Path], None]) -> Path:
        """The folder with all documents of a commit. The first who needs it downloads the archive."""
        files = self._commit(commit) / "files"
        if files.is_dir():
            return files
        with self._locked():
            if not files.is_dir():
                self._refuse_after_failure(commit)
                self._fill(commit, download)
        return files

    def _commit(self, commit: str) -> Path:
        return self._folder / "commits" / commit

    def _fill(self, commit: str, download: Callable[[Path], None]) -> None:
        place = self._commit(commit)
        try:
            with _workshop(place / ".new") as workshop:
                download(workshop / "archive")
                self._unpack(workshop / "archive", workshop / "files")
                (workshop / "files").replace(place / "files")
        except IngestionError as error:
            self._note_failure(commit, error)
            raise
        except OSError as error:
            raise FetchFailed(f"{place} cannot be written ({error.strerror}); make room in DATA_DIR") from error

    def _unpack(self, archive: Path, files: Path) -> None:
        bounds = archives.Bounds(total=settings.GITHUB_MAX_ARCHIVE_BYTES, file=settings.FETCH_MAX_BYTES)
        try:
            archives.unpack(archive, files, wanted=is_document, bounds=bounds)
        except IngestionError as error:
            error.args = (f"{self._folder.name}: {error}",)
            raise

    # --- Failures -------------------------------------------------------------------------------------

    def _note_failure(self, commit: str, error: IngestionError) -> None:
        """So that the next document need not find it out again, at the price of a call or of a download."""
        lasting = not isinstance(error, TransientError)
        wait = BROKEN_SECONDS if lasting else getattr(error, "retry_after", None) or MENDING_SECONDS
        failure = {"error": str(error), "lasting": lasting, "until": time.time() + wait}
        _write(self._commit(commit) / "failure", json.dumps(failure))

    def _refuse_after_failure(self, commit: str) -> None:
        try:
            failure = json.loads((self._commit(commit) / "failure").read_text())
            error, lasting, left = failure["error"], failure["lasting"], failure["until"] - time.time()
        except (OSError, ValueError, KeyError, TypeError):
            return
        if left > BROKEN_SECONDS + CLOCK_SECONDS and lasting:  # the clock was set back since
            return
        if left > 0 and lasting:
            raise SourceError(error)
        if left > 0:
            raise HostBusy(f"The last try failed: {error}", retry_after=left)

    # --- Order ----------------------------------------------------------------------------------------

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Ends with the process at the latest; a lock file is never deleted, since another may hold it."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "lock").open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                words = f"Another worker is downloading {self._folder.name}"
                raise HostBusy(words, retry_after=LOOK_AGAIN_SECONDS) from None
            yield

    def tidy(self) -> None:
        """Delete what no ref leads to. A folder is renamed first: it vanishes in one step for those who read."""
        with suppress(HostBusy, OSError), self._locked():
            commits = self._folder / "commits"
            kept = {reference.head.commit for reference in map(_read_reference, self._used_refs()) if reference}
            for place in _children(commits):
                if place.name not in kept and not place.name.startswith(GONE):
                    place.rename(commits / f"{GONE}{place.name}")
            for place in _children(commits, f"{GONE}*"):
                shutil.rmtree(place, ignore_errors=True)

    def _used_refs(self) -> list[Path]:
        refs = {path: path.stat().st_mtime for path in _children(self._folder / "refs")}
        for path, used in refs.items():
            if used < time.time() - UNUSED_SECONDS:
                path.unlink()
        return [path for path, used in refs.items() if used >= time.time() - UNUSED_SECONDS]


def entries_of(files: Path) -> list[Entry]:
    """The index of a commit as its unpacked documents show it."""
    paths = (Path(folder) / name for folder, _, names in os.walk(files) for name in names)
    return [_entry(files, path) for path in sorted(paths)]


def _entry(files: Path, path: Path) -> Entry:
    body = path.read_bytes()
    return Entry(path.relative_to(files).as_posix(), archives.git_hash(body), len(body))


def tidy() -> None:
    """Delete what no source uses any more, of any repository."""
    for folder in _children(_root()):
        Snapshots(folder.name).tidy()


def _root() -> Path:
    root = Path(os.path.realpath(settings.DATA_DIR)) / "archives"
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    return root


def _children(folder: Path, pattern: str = "[!.]*") -> list[Path]:
    return sorted(folder.glob(pattern))


def _read_reference(path: Path) -> Reference | None:
    try:
        found = json.loads(path.read_text())
        age = time.time() - path.stat().st_mtime
        # One from the future was noted before the clock was set back: nobody knows how old it is.
        return Reference(Head(found["commit"], found["etag"]), age if age > -CLOCK_SECONDS else math.inf)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(path: Path, text: str) -> None:
    """Whole or not at all, whoever reads it meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(text)
    part.replace(path)


@contextmanager
def _workshop(folder: Path) -> Iterator[Path]:
    """An empty folder that goes when the work is done; what a killed worker left in it goes before."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
