"""GitHub's REST API, as far as a source needs it: a ref's commit, a commit's tree, an archive, a single blob.

In: a repository and a name. Out: the API's answer, or an error that says what to do. A spent rate limit raises
Throttled, which makes every worker leave the API alone until the limit is reset. ``GITHUB_TOKEN`` is sent to
``GITHUB_API_URL`` and never to another host: archives come from one that the API names in a redirect.

robots.txt is about crawling a site's pages and does not apply to an API that is made to be called; its rate limit does.
Nothing is kept here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote, urlsplit

from django.conf import settings

from ingestion.exceptions import (
    AddressRefused,
    FetchFailed,
    HostBusy,
    PageGone,
    PageRefused,
    SourceError,
    TransientError,
    UnsupportedContent,
)
from ingestion.fetching import fetcher, politeness
from ingestion.media_types import may_be_document
from ingestion.types import CrawlPolicy, Page, Validators

T = TypeVar("T")
COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
STATUS = re.compile(r"HTTP (\d{3})")
QUERY = re.compile(r"\?[^\s;,)]+")
# 45 000 entries. Python holds the text and its bytes at once, and at most as much again for the entries that are
# documents: a worker stays below 150 MB. For a larger repository the archive itself is listed.
MAX_TREE_BYTES = 16 * 1024 * 1024
FILE_MODES = {"100644", "100755", "100664"}  # neither links (120000) nor submodules (160000)
SUBMODULE = "160000"
# GitHub's limits on bursts may answer 403 without saying when to come back, like a lack of rights; its manual asks to
# wait for a minute then (docs.github.com/rest, "Exceeding the rate limit").
FORBIDDEN = 403
SECONDARY_LIMIT_SECONDS = 60.0
ADVICE = {
    401: "GITHUB_TOKEN is not valid; renew it",
    403: "GITHUB_TOKEN may not read this repository or organisation, or GitHub wants fewer calls; it is tried again",
    409: "the repository is empty",
    422: "this ref does not exist; a slash within it is written %2F",
    451: "GitHub has blocked the repository for legal reasons",
}


class Head(NamedTuple):
    """The commit that a ref points to, and the ETag of that answer."""

    commit: str
    etag: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """A document of a commit, or with an empty ``sha`` a submodule; ``size`` is in bytes."""

    path: str
    sha: str
    size: int


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository, whose ``name`` is owner/repo."""

    name: str
    policy: CrawlPolicy

    # --- Calls ----------------------------------------------------------------------------------------

    def head(self, ref: str, *, known: Head | None = None) -> Head:
        """Return the commit that a ref points to. Raise FetchFailed for an answer that is no commit.

        With a token, an answer that it still is the ``known`` commit does not count against the limit of requests.
        """
        request = partial(fetcher.fetch_if_changed, known=Validators(etag=known.etag if known else ""))
        accept = "application/vnd.github.sha"  # in JSON a commit comes with the changes it made, which may be MBs
        page = self._ask(request, f"commits/{quote(ref, safe='')}", accept=accept)
        commit = page.body.decode(errors="replace").strip() if page else ""
        if COMMIT.fullmatch(commit):
            return Head(commit, page.etag if page else "")
        if page or not known:
            raise FetchFailed(f"{self.name}: no commit was answered; check that GITHUB_API_URL is GitHub's REST API")
        return known

    def tree(self, commit: str) -> list[Entry] | None:
        """Return the documents and submodules of a commit, or None when there are too many for one answer."""
        request = partial(fetcher.fetch, max_bytes=MAX_TREE_BYTES)
        try:
            return _entries(self._ask(request, f"git/trees/{commit}?recursive=1"))
        except UnsupportedContent:
            return None

    def download(self, commit: str, path: Path) -> None:
        """Save the repository at a commit as a tar.gz archive, in one call."""
        try:
            self._save(f"tarball/{commit}", path, "*/*", max_bytes=settings.GITHUB_MAX_ARCHIVE_BYTES)
        except UnsupportedContent as error:
            raise SourceError(
                f"{self.name}: the archive cannot be used, or has more than {settings.GITHUB_MAX_ARCHIVE_BYTES} bytes; "
                f"raise GITHUB_MAX_ARCHIVE_BYTES or ingest a checkout as a folder ({_without_query(error)})"
            ) from error

    def download_blob(self, sha: str, path: Path) -> None:
        """Save one file, which the repository keeps out of its archives."""
        self._save(f"git/blobs/{sha}", path, "application/vnd.github.raw+json", max_bytes=settings.FETCH_MAX_BYTES)

    # --- Requests -------------------------------------------------------------------------------------

    def _ask(self, request: Callable[..., T], path: str, *, accept: str = "application/vnd.github+json") -> T:
        """Return what ``request``, a function of ``fetcher``, returns for ``path``, relative to the repository.

        ``accept`` is the media type to ask for. Redirects must stay on the API's host. Raise SourceError when the
        repository or the ref is missing or refused, HostBusy without a slot, FetchFailed for failures that pass, and
        UnsupportedContent for an answer that is too large or no text.
        """
        slot, headers = self._slot(path), _headers(accept)
        with self._explained():
            return request(self._url(path), check_url=_check_url, slot=slot, content_types=(), headers=headers)

    def _save(self, path: str, file: Path, accept: str, *, max_bytes: int) -> None:
        """Save the API's answer to a request for ``path`` as ``file``.

        The API may redirect to another host, which ``ssrf_guard`` checks like any other.
        """
        slot, headers = self._slot(path), _headers(accept)
        with self._explained():
            fetcher.download(self._url(path), file, slot=slot, headers=headers, max_bytes=max_bytes)

    def _url(self, path: str) -> str:
        """Return the API's address of ``path``, which is relative to that of the repository."""
        return f"{settings.GITHUB_API_URL.rstrip('/')}/repos/{self.name}/{path}"

    def _slot(self, path: str) -> fetcher.Slot:
        """Return the function that gives a request for ``path`` its slot, at the pace of the source."""
        return partial(politeness.slot, policy=self.policy, token=self._url(path))

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn the errors of a page into those of the repository, without the queries of addresses.

        A document is not gone because its repository is, and a query may hold a temporary token.
        """
        try:
            yield
        except PageGone as error:
            why = (
                "GITHUB_TOKEN may not read it" if settings.GITHUB_TOKEN else "it is private and GITHUB_TOKEN is not set"
            )
            raise SourceError(
                f"{self.name}: the repository or the ref does not exist (HTTP 404), or {why}; "
                "a slash within a ref is written %2F"
            ) from error
        except PageRefused as error:
            found = STATUS.search(str(error))
            status = int(found[1]) if found else 0
            if status == FORBIDDEN:
                failure = f"{self.name}: {ADVICE[status]} (HTTP 403)"
                raise FetchFailed(failure, retry_after=SECONDARY_LIMIT_SECONDS) from error
            advice = f"{self.name}: {ADVICE[status]} (HTTP {status})" if status in ADVICE else _without_query(error)
            raise SourceError(advice) from error
        except AddressRefused as error:
            raise SourceError(f"{self.name}: {_without_query(error)}") from error
        except HostBusy:
            raise
        except TransientError as error:
            error.args = (_without_query(error),)
            raise


def html_url() -> str:
    """Return the site where people read the repositories: github.com, or that of a GitHub Enterprise."""
    parts = urlsplit(settings.GITHUB_API_URL)
    path = parts.path.rstrip("/").removesuffix("/api/v3")
    return f"{parts.scheme}://{parts.netloc.removeprefix('api.')}{path}"


def _headers(accept: str) -> dict[str, str]:
    """Return the headers of a call that accepts this media type, with GITHUB_TOKEN when it is set."""
    headers = {"Accept": accept, "X-GitHub-Api-Version": "2022-11-28"}
    return headers | ({"Authorization": f"Bearer {settings.GITHUB_TOKEN}"} if settings.GITHUB_TOKEN else {})


def _check_url(url: str) -> None:
    """Raise AddressRefused outside the API, within which a redirect leads to a repository that was renamed."""
    if urlsplit(url).netloc != urlsplit(settings.GITHUB_API_URL).netloc:
        raise AddressRefused(f"{url} is not on the host of GITHUB_API_URL; correct the setting")


def _without_query(error: Exception) -> str:
    """Return the text of an error without the queries of the addresses in it, which may hold a token."""
    return QUERY.sub("", str(error))


# --- Trees --------------------------------------------------------------------------------------------


def _entries(page: Page) -> list[Entry] | None:
    """Return the documents and submodules in the API's answer, or None when GitHub cut the tree short.

    Raise FetchFailed when the answer is no tree.
    """
    try:
        tree = json.loads(page.body, object_hook=_entry)
        entries, truncated = tree["tree"], tree["truncated"]
    except (ValueError, KeyError, TypeError) as error:
        raise FetchFailed(f"{page.url} answered no tree; check that GITHUB_API_URL is GitHub's REST API") from error
    return None if truncated else [entry for entry in entries if entry is not None]


def _entry(found: dict[str, Any]) -> Any:
    """Return the Entry of a JSON object of a tree, or None when it is of no use, so that such objects never pile up.

    The outermost object, which holds the tree, is returned as it is.
    """
    if "tree" in found:
        return found
    mode, path = found.get("mode"), found.get("path", "")
    if mode == SUBMODULE:
        return Entry(path, "", 0)
    return Entry(path, found["sha"], found.get("size", 0)) if mode in FILE_MODES and may_be_document(path) else None
