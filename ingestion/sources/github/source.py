"""A repository on GitHub as a source; documents are the addresses at which people read its files.

The target is ``github:owner/repo[@ref][/path]``: a branch, tag or commit, and a folder or file of the repository;
without a ref, the default branch. A slash within a ref is written %2F, because the first plain slash ends it
(``github:django/django@stable%2F5.2.x/docs``). Addresses of github.com are accepted too.

Listing takes two calls of the API, of which none counts with a token while the repository is unchanged: where the ref
points (a conditional request) and, for a commit not seen before, its whole tree. All contents come in one archive per
commit, which is downloaded once a document has changed and shared by the workers of a machine. A document's address
contains the ref as given and is therefore the same for later commits; its version is the hash by which git names its
content.

Hidden files and folders (unless the target leads there), links, submodules, and unknown formats are left out. Globs
apply to the path below the target's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from urllib.parse import quote, unquote, urlsplit

from django.conf import settings

from ingestion.exceptions import AddressRefused, PageGone, SourceError
from ingestion.fetching.urls import MAX_URL_CHARS
from ingestion.sources.github import archives
from ingestion.sources.github.api import COMMIT, Entry, Head, Repository, html_url
from ingestion.sources.github.snapshots import Snapshots, entries_of, tidy
from ingestion.sources.globs import wanted
from ingestion.sources.local import files
from ingestion.sources.web import crawler
from ingestion.types import Listed, Listing, Page, SourceSpec, Validators

SHORT = re.compile(r"github:(?P<name>[^/@]+/[^/@]+?)(?:\.git)?(?:@(?P<ref>[^/]+))?(?:/(?P<path>.*))?", re.IGNORECASE)
WEB = re.compile(
    r"https?://(?:www\.)?(?P<host>[^/]+)/(?P<name>[^/]+/[^/]+?)(?:\.git)?(?:/(?:tree|blob)/(?P<ref>[^/]+)(?:/(?P<path>.*))?)?/?"
)
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,99}/(?!\.{1,2}$)[a-z0-9._-]{1,100}")
# What git allows in a ref's name, and no more (git-check-ref-format).
REF = re.compile(r"(?!.*(?:\.\.|@\{|//|\.lock$|[/.]$))[^\x00-\x20\x7f~^:?*\[\\/-][^\x00-\x20\x7f~^:?*\[\\]{0,249}")
DEFAULT_BRANCH = "HEAD"
FORM = "write github:owner/repo[@ref][/path], with %2F for a slash within the ref"
# A worker on another machine than the one that listed asks by itself where the ref points, and again after this time: a
# refresh may have begun meanwhile. With one machine, that is one call in a long run.
FRESH_SECONDS = 600.0
EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Target:
    """A parsed target; an empty ``ref`` is the default branch, an empty ``path`` the whole repository."""

    name: str
    ref: str
    path: str

    def __str__(self) -> str:
        ref = f"@{quote(self.ref, safe='')}" if self.ref else ""
        return f"github:{self.name}{ref}{'/' if self.path else ''}{quote(self.path)}"

    def repository(self, spec: SourceSpec) -> Repository:
        """Return the API client of the repository, which keeps to the source's pace."""
        return Repository(self.name, spec.crawl_policy)

    def snapshots(self) -> Snapshots:
        """Return what this machine keeps of the repository."""
        host = urlsplit(settings.GITHUB_API_URL).netloc.replace(":", "_")
        return Snapshots(f"{host}+{self.name.replace('/', '+')}")

    @property
    def shown_ref(self) -> str:
        """Return the ref as addresses contain it."""
        return self.ref or DEFAULT_BRANCH

    @property
    def prefix(self) -> str:
        """Return the beginning of all addresses of files."""
        return f"{html_url()}/{self.name}/blob/{quote(self.shown_ref)}/"

    def address(self, path: str) -> str:
        """Return the address at which people read the file at ``path``."""
        return self.prefix + quote(path)

    def below(self, path: str) -> str:
        """Return ``path`` relative to the target's, to which globs apply, or "" when it lies outside."""
        if path == self.path:
            return PurePosixPath(path).name
        return path.removeprefix(f"{self.path}/") if not self.path or path.startswith(f"{self.path}/") else ""


# --- The kind -----------------------------------------------------------------------------------------


def normalise(target: str) -> str:
    """Return the target as ``github:owner/repo[@ref][/path]``; only a listing shows whether it exists."""
    return str(parse(target))


def list_documents(spec: SourceSpec) -> Listing:
    """Return the documents of the commit that the ref points to."""
    target = parse(spec.target)
    commit = crawler.patiently(partial(_commit, spec, target, fresh_for=0))
    choice = _Choice(spec, target, crawler.patiently(partial(_index, spec, target, commit)))
    tidy()
    cap = spec.max_pages or len(choice.entries)
    documents = [Listed(target.address(entry.path), entry.sha) for entry in choice.entries[:cap]]
    return Listing(documents, complete=True, notes=tuple(choice.notes(cap)))


def prepare(spec: SourceSpec) -> None:
    """Download the archive of the listed commit, unless this machine has it."""
    target = parse(spec.target)
    crawler.patiently(lambda: _files(spec, target, _commit(spec, target, fresh_for=FRESH_SECONDS)))


def follow(spec: SourceSpec, page_url: str, links: Sequence[str]) -> list[str]:
    """Return nothing: the tree names all files of the source."""
    return []


def fetch(spec: SourceSpec, url: str, known: Validators = Validators()) -> Page:
    """Return the file at the commit that the ref points to, with git's hash of it as its ETag.

    ``known`` is ignored: the file is on this machine's disk, or comes in one archive with all the others.
    """
    target = parse(spec.target)
    path = unquote(url.removeprefix(target.prefix))
    if target.address(path) != url or not archives.is_plain(path) or not target.below(path):
        raise AddressRefused(f"{url} is no file below {target}; ingest its source again")
    commit = _commit(spec, target, fresh_for=FRESH_SECONDS)
    root = _files(spec, target, commit)
    file = root / path
    if not file.is_file():
        # The repository keeps it out of its archives (``export-ignore``).
        hashes = {entry.path: entry.sha for entry in _index(spec, target, commit)}
        if not hashes.get(path):
            raise PageGone(f"{url} does not exist any more (at commit {commit[:12]})")
        file.parent.mkdir(parents=True, exist_ok=True)
        target.repository(spec).download_blob(hashes[path], file)
    page = files.read_page(root, file, url)
    return replace(page, etag=archives.git_hash(page.body))


# --- Targets ------------------------------------------------------------------------------------------


def parse(target: str) -> Target:
    """Return the parts of a target, in its short form or as an address of the site. Raise SourceError."""
    match = SHORT.fullmatch(target.strip())
    if not match:  # perhaps the address of a repository on the web, or of a folder or file of it
        match = WEB.fullmatch(target.strip().partition("#")[0].partition("?")[0])
        known = ("github.com", urlsplit(html_url()).netloc)
        match = match if match and match["host"].lower() in known else None
    if not match or not NAME.fullmatch(match["name"].lower()):
        raise SourceError(f"{target!r} names no repository; {FORM}.")
    ref, path = unquote(match["ref"] or ""), "/".join(filter(None, unquote(match["path"] or "").split("/")))
    if ref and not REF.fullmatch(ref):
        raise SourceError(f"{target!r}: {ref!r} can be no branch, tag or commit; {FORM}.")
    if path and not archives.is_plain(path):
        raise SourceError(f"{target!r}: {path!r} is no path in a repository; {FORM}.")
    return Target(match["name"].lower(), "" if ref == DEFAULT_BRANCH else ref, path)


# --- Commits ------------------------------------------------------------------------------------------


def _commit(spec: SourceSpec, target: Target, *, fresh_for: float) -> str:
    """Return the commit that the ref points to; an answer younger than ``fresh_for`` seconds is used again."""
    snapshots = target.snapshots()
    kept = snapshots.reference(target.shown_ref)
    if kept and kept.age < fresh_for:
        return kept.head.commit
    head = Head(target.ref)
    if not COMMIT.fullmatch(target.ref):
        head = target.repository(spec).head(target.shown_ref, known=kept.head if kept else None)
    snapshots.keep_reference(target.shown_ref, head)
    return head.commit


def _index(spec: SourceSpec, target: Target, commit: str) -> list[Entry]:
    """Return the documents and submodules of a commit."""
    snapshots = target.snapshots()
    index = snapshots.index(commit)
    if index is None:
        index = target.repository(spec).tree(commit)
        if index is None:  # too many for one answer of the API: the archive is listed instead
            index = entries_of(_files(spec, target, commit))
        snapshots.keep_index(commit, index)
    return index


def _files(spec: SourceSpec, target: Target, commit: str) -> Path:
    """Return the folder with the documents of a commit, downloaded if necessary."""
    return target.snapshots().files(commit, partial(target.repository(spec).download, commit))


class _Choice:
    """The entries of a commit that are documents of the source, and those that were left out."""

    def __init__(self, spec: SourceSpec, target: Target, index: Sequence[Entry]) -> None:
        self._spec, self._target = spec, target
        self._left_out: dict[str, list[str]] = {}
        covered = [entry for entry in index if target.below(entry.path)]
        if not covered:
            raise SourceError(f"{target} holds no documents of a known format; check the path.")
        self.entries = [entry for entry in covered if self._is_wanted(entry)]

    def notes(self, cap: int) -> Iterator[str]:
        """Yield sentences that say what was left out, besides what is hidden or excluded."""
        if len(self.entries) > cap:
            yield f"Only the first {cap} documents are taken (max_pages)."
        for reason, paths in self._left_out.items():
            more = f" and {len(paths) - EXAMPLES} more" if len(paths) > EXAMPLES else ""
            yield f"{reason}: {', '.join(path[:200] for path in paths[:EXAMPLES])}{more}."

    def _is_wanted(self, entry: Entry) -> bool:
        """Return whether an entry is a document of the source.

        Unless it is hidden or the globs do not want it, note why it is left out: a submodule, or too large or too long
        an address.
        """
        name = self._target.below(entry.path)
        if any(part.startswith(".") for part in name.split("/")) or not wanted(self._spec, name):
            return False
        if not entry.sha:
            reason = "Submodules are left out; add their repositories as sources of their own"
        elif entry.size > settings.FETCH_MAX_BYTES:
            reason = f"Files above {settings.FETCH_MAX_BYTES} bytes (FETCH_MAX_BYTES) are left out"
        elif len(self._target.address(entry.path)) > MAX_URL_CHARS:
            reason = f"Addresses above {MAX_URL_CHARS} characters are left out"
        else:
            return True
        self._left_out.setdefault(reason, []).append(entry.path)
        return False
