"""A website as a source: its first page, and what belongs to it on the same host below the same path.

A sitemap that names what the first page links to is the listing of the site. Otherwise its pages are starting points
besides the first page, and links are followed. A redirect must lie within the scope and be allowed by robots.txt, like
any link; ``url_scope`` says which addresses are pages of the source.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator, Sequence
from functools import cache, partial
from itertools import islice
from urllib.parse import urljoin

from ingestion.exceptions import FetchFailed, IngestionError, TransientError
from ingestion.sources.web import crawler
from ingestion.sources.web.sitemap import Reading, bound_note, listed_documents
from ingestion.sources.web.url_scope import (
    comparison_key,
    document_of,
    normalise_in_source,
    normalise_url,
    resolve_link,
    scope_of,
)
from ingestion.types import Listing, Page, SourceSpec, Validators

# Besides the first page. A sitemap with fewer does not list a documentation: Read the Docs names versions only.
LEAST_PAGES = 5
# Of the links on a first page one in so many may be missing in the sitemap, such as an index or a licence.
MAY_LACK_ONE_IN = 10
# Links of one page that are followed, in their order; each costs 0.2 ms. Python's index of everything has 17 000.
MAX_LINKS = 20_000
HTML = ("text/html", "application/xhtml+xml")


def normalise(target: str) -> str:
    """Return the normalised address of the first page."""
    return normalise_url(target)


def list_documents(spec: SourceSpec) -> Listing:
    """Return the first page and those that sitemaps name; complete when these cover the first page's links."""
    start = normalise_in_source(spec, spec.target)
    pages, notes, is_complete = {start: ""}, list[str](), True
    links = cache(partial(_links_of, spec, start))
    for reading in _readings(spec, start, notes):
        pages |= reading.documents
        notes += reading.notes(silent=[f"outside {scope_of(spec).prefix}"])
        is_complete &= reading.complete
        if reading.documents and len(pages) > LEAST_PAGES and _covers(pages, links(), notes):
            return _listing(spec, pages, notes, complete=is_complete)
    return _listing(spec, pages, notes, complete=False)


def _listing(spec: SourceSpec, pages: dict[str, str], notes: list[str], *, complete: bool) -> Listing:
    """Return the listing of ``pages`` (address to version), of the first ``max_pages`` when the source has a bound.

    It is complete when ``complete`` is true and no page was cut off; a note about those that were is added to
    ``notes``. Equal notes are listed once.
    """
    bounded = dict(islice(pages.items(), spec.max_pages or None))
    if len(bounded) < len(pages):
        notes.append(bound_note(spec.max_pages))
    return Listing(listed_documents(bounded), complete=complete and bounded == pages, notes=tuple(dict.fromkeys(notes)))


def follow(spec: SourceSpec, page_url: str, links: Sequence[str]) -> list[str]:
    """Return those of a page's links that are other documents of the source and allowed by robots.txt, once each."""
    found = dict.fromkeys(document_of(spec, link) for link in links[:MAX_LINKS])
    return [url for url in found if url and url != page_url and not crawler.is_forbidden(url)]


def fetch(spec: SourceSpec, url: str, known: Validators = Validators()) -> Page | None:
    """Return the page at ``url``, or None when it is the one that ``known`` describes."""
    return crawler.fetch(spec, url, known)


# --- The sitemap as a listing ---------------------------------------------------------------------------


def _readings(spec: SourceSpec, start: str, notes: list[str]) -> Iterator[Reading]:
    """Yield the sitemaps that robots.txt names, then those at the paths where generators usually write one."""
    try:
        named = crawler.sitemaps(start)
    except FetchFailed as error:
        named = ()
        notes.append(f"Sitemap: {error}.")
    if named:
        yield Reading(spec).read(named)
    usual = dict.fromkeys(urljoin(start, path) for path in ("sitemap.xml", "/sitemap.xml"))
    for address in list(usual)[: 1 if named else 2]:
        if address not in named:
            reading = Reading(spec).read([address])
            # Nothing says that there is a sitemap at this address, so that only errors that pass are worth a note.
            reading.errors = [e for e in reading.errors if reading.documents or isinstance(e, TransientError)]
            yield reading


def _covers(pages: Collection[str], links: frozenset[str], notes: list[str]) -> bool:
    """Return whether the sitemaps name the pages that the first page links to; if not, add a note."""
    named = set(map(comparison_key, pages))
    unnamed = sorted(link for link in links if comparison_key(link) not in named)
    if links and len(unnamed) <= len(links) // MAY_LACK_ONE_IN:
        return True
    if unnamed:
        notes.append(
            f"The sitemap lacks {len(unnamed)} of {len(links)} pages that the first page links to, for example "
            f"{unnamed[0]}, so links are followed as well."
        )
    return False


def _links_of(spec: SourceSpec, start: str) -> frozenset[str]:
    """Return the documents that the first page links to; none when it cannot be read, which its own fetch reports."""
    try:
        page = crawler.patiently(partial(crawler.fetch, spec, start))
    except IngestionError:
        return frozenset()
    if page is None or page.content_type not in HTML:
        return frozenset()
    return frozenset(follow(spec, start, list(_hrefs(page))))


def _hrefs(page: Page) -> Iterator[str]:
    """Yield the addresses of a page's links, except its translations and links marked nofollow."""
    from bs4 import BeautifulSoup  # only workers that read pages need it
    from bs4.filter import SoupStrainer

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of XHTML, which is read as HTML on purpose
        tree = BeautifulSoup(page.body, "lxml", from_encoding="utf-8", parse_only=SoupStrainer(["base", "link", "a"]))
    base = resolve_link(page.url, next((str(tag["href"]) for tag in tree.find_all("base", href=True)), ""))
    translations = {resolve_link(base, str(tag["href"])) for tag in tree.find_all("link", href=True, hreflang=True)}
    for tag in tree.find_all("a", href=True):
        address = resolve_link(base, str(tag["href"]))
        if address not in translations and "nofollow" not in tag.get_attribute_list("rel"):
            yield address
