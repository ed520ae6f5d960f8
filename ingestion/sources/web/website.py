"""A website as a source: its first page, and what belongs to it on the same host below the same path.

A sitemap that names what the first page links to is the list of the site. Otherwise its pages are a start
beside the first one, and links are followed. A redirect is held to the scope and to robots.txt like any
link; what is a page of the source at all is for ``addresses`` to say.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator, Sequence
from functools import cache, partial
from itertools import islice
from urllib.parse import urljoin

from ingestion.exceptions import FetchFailed, IngestionError, TransientError
from ingestion.sources.web import crawler
from ingestion.sources.web.sitemap import Reading, bound_note, listed
from ingestion.sources.web.url_scope import (
    as_in_source,
    document_of,
    joined,
    same_place,
    scope_of,
    spelled,
)
from ingestion.types import Listing, Page, SourceSpec, Validators

# Beside the first page. A sitemap with fewer is no list of a documentation: Read the Docs names versions only.
LEAST_PAGES = 5
# First pages link to an odd page that sitemaps leave out, such as an index or a licence: one in so many.
MAY_LACK_ONE_IN = 10
# Links of one page that are looked at, in their order; each costs 0.2 ms. Python's index of everything has 17 000.
MAX_LINKS = 20_000
HTML = ("text/html", "application/xhtml+xml")


def normalise(target: str) -> str:
    return spelled(target)


def list_documents(spec: SourceSpec) -> Listing:
    start = as_in_source(spec, spec.target)
    pages, notes, is_whole = {start: ""}, list[str](), True
    links = cache(partial(_links_of, spec, start))
    for reading in _readings(spec, start, notes):
        pages |= reading.documents
        notes += reading.notes(silent=[f"outside {scope_of(spec).prefix}"])
        is_whole &= reading.complete
        if reading.documents and len(pages) > LEAST_PAGES and _covers(pages, links(), notes):
            return _listing(spec, pages, notes, complete=is_whole)
    return _listing(spec, pages, notes, complete=False)


def _listing(spec: SourceSpec, pages: dict[str, str], notes: list[str], *, complete: bool) -> Listing:
    bounded = dict(islice(pages.items(), spec.max_pages or None))
    if len(bounded) < len(pages):
        notes.append(bound_note(spec.max_pages))
    return Listing(listed(bounded), complete=complete and bounded == pages, notes=tuple(dict.fromkeys(notes)))


def follow(spec: SourceSpec, page_url: str, links: Sequence[str]) -> list[str]:
    found = dict.fromkeys(document_of(spec, link) for link in links[:MAX_LINKS])
    return [url for url in found if url and url != page_url and not crawler.is_forbidden(url)]


def fetch(spec: SourceSpec, url: str, known: Validators = Validators()) -> Page | None:
    return crawler.fetch(spec, url, known)


# --- The sitemap as a list ------------------------------------------------------------------------------


def _readings(spec: SourceSpec, start: str, notes: list[str]) -> Iterator[Reading]:
    """What robots.txt names; then the places where generators of documentation and of sites write one."""
    try:
        named = crawler.sitemaps(start)
    except FetchFailed as error:
        named = ()
        notes.append(f"Sitemap: {error}.")
    if named:
        yield Reading(spec).read(named)
    usual = dict.fromkeys(urljoin(start, path) for path in ("sitemap.xml", "/sitemap.xml"))
    for place in list(usual)[: 1 if named else 2]:
        if place not in named:
            yield _guessed(spec, place)


def _guessed(spec: SourceSpec, place: str) -> Reading:
    """Nobody said that there is a sitemap here, so that only passing trouble is worth a note."""
    reading = Reading(spec).read([place])
    reading.errors = [error for error in reading.errors if reading.documents or isinstance(error, TransientError)]
    return reading


def _covers(pages: Collection[str], links: frozenset[str], notes: list[str]) -> bool:
    """Whether the sitemap's pages are those that the first page links to."""
    places = set(map(same_place, pages))
    unnamed = sorted(link for link in links if same_place(link) not in places)
    if links and len(unnamed) <= len(links) // MAY_LACK_ONE_IN:
        return True
    if unnamed:
        notes.append(
            f"The sitemap lacks {len(unnamed)} of {len(links)} pages that the first page links to, for example "
            f"{unnamed[0]}, so links are followed as well."
        )
    return False


def _links_of(spec: SourceSpec, start: str) -> frozenset[str]:
    """The documents that the first page links to; none when it cannot be read, which its own visit will tell."""
    try:
        page = crawler.patiently(partial(crawler.fetch, spec, start))
    except IngestionError:
        return frozenset()
    if page is None or page.content_type not in HTML:
        return frozenset()
    return frozenset(follow(spec, start, list(_hrefs(page))))


def _hrefs(page: Page) -> Iterator[str]:
    """Addresses of a page's links, but for its translations and what nobody is meant to follow."""
    from bs4 import BeautifulSoup  # only workers that read pages need it
    from bs4.filter import SoupStrainer

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of XHTML, which is read as HTML on purpose
        tree = BeautifulSoup(page.body, "lxml", from_encoding="utf-8", parse_only=SoupStrainer(["base", "link", "a"]))
    base = joined(page.url, next((str(tag["href"]) for tag in tree.find_all("base", href=True)), ""))
    translations = {joined(base, str(tag["href"])) for tag in tree.find_all("link", href=True, hreflang=True)}
    for tag in tree.find_all("a", href=True):
        address = joined(base, str(tag["href"]))
        if address not in translations and "nofollow" not in tag.get_attribute_list("rel"):
            yield address
