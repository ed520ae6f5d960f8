"""The files that this machine keeps of repositories: where a ref pointed, a commit's index, and its documents.

Below ``DATA_DIR/archives``, which only its owner may enter, because the archive of a private repository holds
whatever the token may read, there is a folder for each repository::

    refs/<hash>              the commit that a ref pointed to; the file's time says when that was asked
    commits/<sha>/index      paths, hashes and sizes of the commit's documents
    commits/<sha>/files/     the documents: all of them or no folder
    commits/<sha>/failure    why there is no folder, and until when it is not tried again
    lock                     held while documents are being unpacked or old commits deleted

All worker processes of a machine share it; one that finds the lock held raises HostBusy instead of waiting. Another
machine has its own. Everything may be deleted at any time: it is then downloaded again.
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
from ingestion.fetching.responses import MAX_RETRY_AFTER_SECONDS
from ingestion.media_types import may_be_document
from ingestion.sources.github import archives
from ingestion.sources.github.api import Entry, Head

# How often those who find the lock held look again; an archive of 10 MB takes 1-3 s.
LOOK_AGAIN_SECONDS = 1.0
# How long an archive is not downloaded again after a failure that passes, and after one that a person has to correct;
# without these each document of the repository would download the same bad archive.
MENDING_SECONDS = 10.0
BROKEN_SECONDS = 600.0
LONGEST_WAIT_SECONDS = max(BROKEN_SECONDS, MAX_RETRY_AFTER_SECONDS)
# Machines that share this folder differ by less; what is dated further ahead is from before the clock was set back.
CLOCK_SECONDS = 60.0
GONE = "gone-"
UNUSED_SECONDS = 30 * 24 * 3600.0  # a ref that no source has asked for; refreshes are more frequent


@dataclass(frozen=True, slots=True)
class Reference:
    """The commit that a ref pointed to ``age`` seconds ago."""

    head: Head
    age: float


class Snapshots:
    """The folder of one repository; ``name`` is valid as a file name."""

    def __init__(self, name: str) -> None:
        self._folder = _root() / name

    # --- Refs -----------------------------------------------------------------------------------------

    def reference(self, ref: str) -> Reference | None:
        """Return where the ref pointed when it was last asked, or None."""
        return _read_reference(self._ref(ref))

    def keep_reference(self, ref: str, head: Head) -> None:
        """Keep where the ref points now."""
        _write(self._ref(ref), json.dumps({"ref": ref, **head._asdict()}))

    def _ref(self, ref: str) -> Path:
        """Return the path of the file that keeps where a ref pointed. The ref may hold any characters."""
        return self._folder / "refs" / hashlib.blake2b(ref.encode(), digest_size=16).hexdigest()

    # --- Commits --------------------------------------------------------------------------------------

    def index(self, commit: str) -> list[Entry] | None:
        """Return the documents of a commit, or None when they are not kept."""
        try:
            return [Entry(*entry) for entry in json.loads((self._commit(commit) / "index").read_text())]
        except (OSError, ValueError, TypeError):
            return None

    def keep_index(self, commit: str, entries: Sequence[Entry]) -> None:
        """Keep the list of a commit's documents."""
        rows = [(entry.path, entry.sha, entry.size) for entry in entries]
        _write(self._commit(commit) / "index", json.dumps(rows))

    def files(self, commit: str, download: Callable[[Path], None]) -> Path:
        """Return the folder with all documents of a commit; the first process that needs it downloads the archive.

        ``download`` saves the archive at a path. Raise HostBusy while another process downloads it, and for a while
        after a failure the error of that failure.
        """
        files = self._commit(commit) / "files"
        if files.is_dir():
            return files
        with self._locked():
            if not files.is_dir():
                self._raise_last_failure(commit)
                self._fill(commit, download)
        return files

    def _commit(self, commit: str) -> Path:
        """Return the path of the folder of a commit, which may not exist yet."""
        return self._folder / "commits" / commit

    def _fill(self, commit: str, download: Callable[[Path], None]) -> None:
        """Download the archive of a commit and unpack it into its folder ``files``, which appears in one step.

        Raise the error of the download or of the archive, which is kept for the next who asks, and FetchFailed when the
        disk takes no more.
        """
        folder = self._commit(commit)
        try:
            try:
                with _temporary_folder(folder / ".new") as new:
                    download(new / "archive")
                    self._unpack(new / "archive", new / "files")
                    (new / "files").replace(folder / "files")
            except OSError as error:
                raise FetchFailed(f"{folder} cannot be written ({error.strerror}); make room in DATA_DIR") from error
        except IngestionError as error:
            # Kept, so that the next document need not find it out again at the price of a call or of a download.
            lasting = not isinstance(error, TransientError)
            wait = BROKEN_SECONDS if lasting else getattr(error, "retry_after", None) or MENDING_SECONDS
            failure = {"error": str(error), "lasting": lasting, "until": time.time() + wait}
            with suppress(OSError):
                _write(folder / "failure", json.dumps(failure))
            raise

    def _unpack(self, archive: Path, files: Path) -> None:
        """Unpack those files of an archive that may be documents into the folder ``files``, which is created.

        Raise FetchFailed when it is damaged, SourceError when it is beyond a limit; both name the repository.
        """
        bounds = archives.Bounds(total=settings.GITHUB_MAX_ARCHIVE_BYTES, file=settings.FETCH_MAX_BYTES)
        try:
            archives.unpack(archive, files, wanted=may_be_document, bounds=bounds)
        except IngestionError as error:
            error.args = (f"{self._folder.name}: {error}",)
            raise

    def _raise_last_failure(self, commit: str) -> None:
        """Raise the error of the last download until it is to be tried again."""
        try:
            failure = json.loads((self._commit(commit) / "failure").read_text())
            error, lasting, left = failure["error"], failure["lasting"], failure["until"] - time.time()
        except (OSError, ValueError, KeyError, TypeError):
            return
        if left > LONGEST_WAIT_SECONDS + CLOCK_SECONDS:  # the clock was set back since
            return
        if left > 0 and lasting:
            raise SourceError(error)
        if left > 0:
            raise HostBusy(f"The last try failed: {error}", retry_after=left)

    # --- The lock and deleting ------------------------------------------------------------------------

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the repository's lock. Raise HostBusy when another process holds it.

        The lock ends with the process at the latest; its file is never deleted, since another process may hold it.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "lock").open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                message = f"Another worker is downloading {self._folder.name}"
                raise HostBusy(message, retry_after=LOOK_AGAIN_SECONDS) from None
            yield

    def tidy(self) -> None:
        """Delete the commits that no ref points to, and refs that were not used for long.

        A folder is renamed before it is deleted, so that it vanishes in one step for those who read.
        """
        with suppress(HostBusy, OSError), self._locked():
            oldest = time.time() - UNUSED_SECONDS
            kept = set()
            for path in _children(self._folder / "refs"):
                if path.stat().st_mtime < oldest:
                    path.unlink()
                elif reference := _read_reference(path):
                    kept.add(reference.head.commit)
            commits = self._folder / "commits"
            for folder in _children(commits):
                if folder.name not in kept and not folder.name.startswith(GONE):
                    folder.rename(commits / f"{GONE}{folder.name}")
            for folder in _children(commits, f"{GONE}*"):
                shutil.rmtree(folder, ignore_errors=True)


def entries_of(files: Path) -> list[Entry]:
    """Return the index of a commit whose documents are in the folder ``files``."""
    paths = (Path(folder) / name for folder, _, names in os.walk(files) for name in names)
    bodies = ((path.relative_to(files).as_posix(), path.read_bytes()) for path in sorted(paths))
    return [Entry(name, archives.git_hash(body), len(body)) for name, body in bodies]


def tidy() -> None:
    """Delete what no source uses any more, of all repositories."""
    for folder in _children(_root()):
        Snapshots(folder.name).tidy()


def _root() -> Path:
    """Return the folder ``DATA_DIR/archives``; where it is missing, create it for its owner alone."""
    root = Path(os.path.realpath(settings.DATA_DIR)) / "archives"
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    return root


def _children(folder: Path, pattern: str = "[!.]*") -> list[Path]:
    """Return what lies directly in a folder and matches the glob, sorted; all but hidden names by default."""
    return sorted(folder.glob(pattern))


def _read_reference(path: Path) -> Reference | None:
    """Return the commit in a file of ``refs`` and its age, or None when the file is missing or damaged.

    The age is infinite when the file's time is more than CLOCK_SECONDS ahead of the clock.
    """
    try:
        found = json.loads(path.read_text())
        age = time.time() - path.stat().st_mtime
        # One from the future was written before the clock was set back: nobody knows how old it is.
        return Reference(Head(found["commit"], found["etag"]), age if age > -CLOCK_SECONDS else math.inf)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(path: Path, text: str) -> None:
    """Write a file so that whoever reads it meanwhile finds the old one or the new one, both whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(text)
    part.replace(path)


@contextmanager
def _temporary_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder and delete it afterwards; before, delete what a killed worker left in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
