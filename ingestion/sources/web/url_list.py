"""A list of page addresses as a source: a text file, on disk or on the web, with one address per line.

Blank lines and lines that begin with ``#`` are passed over, bullets and what follows `` #`` too. In a file with
Markdown links (llms.txt) the links are taken, relative ones from the list's own address, and prose is passed
over. Each address is a document; links on the pages are not followed, and redirects only within their
host. A line that cannot be used is listed under ``line:<number>?<its text>``, and fetching it says what is wrong.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Sequence
from functools import partial
from urllib.parse import quote, unquote, urljoin, urlsplit

from ingestion.exceptions import AddressRefused, FetchFailed, SourceError, UnsupportedContent
from ingestion.fetching import fetcher, politeness
from ingestion.fetching.responses import refuse_binary
from ingestion.fetching.urls import MAX_URL_CHARS, canonical
from ingestion.sources.globs import wanted
from ingestion.sources.local.files import FORMATS, content, existing, opened, saved
from ingestion.sources.web import crawler
from ingestion.sources.web.url_scope import spelled
from ingestion.types import Listed, Listing, Page, SourceSpec, Validators

# Somebody who lists a PDF wants it read; crawls pass over them.
CONTENT_TYPES = frozenset({*FORMATS.values(), "application/xhtml+xml"})
WEB = re.compile(r"https?:", re.IGNORECASE)
# Each stops at what may begin the next match, so that no input makes it quadratic.
MARKDOWN_LINK = re.compile(r"\]\(\s*<?([^\s<>()\]\[]+)")
BULLET = re.compile(r"^(?:[-*+]|\d{1,6}[.)])\s+")
COMMENT = re.compile(r"\s+#.*$")
SHOWN_CHARS = 160  # of a bad line: enough to find it, and 12 characters each at the most when quoted
BAD_LINE = re.compile(r"line:(\d+)\?(.*)", re.DOTALL)


def normalise(target: str) -> str:
    """A canonical web address, or the absolute path of an existing file."""
    if WEB.match(target):
        return canonical(target)
    path = existing(target)
    if not path.is_file():
        raise SourceError(f"{path} is no file; give a text file with one address per line, or its web address.")
    return str(path)


def list_documents(spec: SourceSpec) -> Listing:
    found = list(dict.fromkeys(_documents(spec)))
    _refuse_useless(spec, found)
    cap = spec.max_pages or len(found)
    capped = len(found) > cap
    return Listing(
        documents=map(Listed, found[:cap]),
        complete=True,
        notes=(f"Only the first {cap} of {len(found)} addresses are taken (max_pages).",) if capped else (),
    )


def follow(spec: SourceSpec, page_url: str, links: Sequence[str]) -> list[str]:
    """The list says it all."""
    return []


def fetch(spec: SourceSpec, url: str, known: Validators = Validators()) -> Page | None:
    bad = BAD_LINE.fullmatch(url)
    if bad:
        raise UnsupportedContent(f"Line {bad[1]} of {spec.target} is left out: {_fault(spec, unquote(bad[2]))}")
    return fetcher.fetch_if_changed(
        url,
        known=known,
        check_url=partial(_permit, spec, url),
        slot=lambda hop: politeness.slot(hop, spec.crawl_policy, token=url),
        content_types=CONTENT_TYPES,
    )


# --- The list -----------------------------------------------------------------------------------------


def _documents(spec: SourceSpec) -> Iterator[str]:
    text = _read(spec)
    has_links = MARKDOWN_LINK.search(text) is not None
    for number, line in enumerate(text.split("\n"), 1):
        for reference in _references(line.strip(), has_links=has_links):
            address = _address(spec, reference)
            if not address:
                yield f"line:{number}?{quote(reference[:SHOWN_CHARS])}"
            elif wanted(spec, address):
                yield address


def _refuse_useless(spec: SourceSpec, found: list[str]) -> None:
    """Thousands of bad lines and no address are another kind of file."""
    if found and all(map(BAD_LINE.fullmatch, found)):
        bad = BAD_LINE.fullmatch(found[0])
        raise SourceError(
            f"{spec.target} names no address. Line {bad[1]}: {_fault(spec, unquote(bad[2]))}" if bad else ""
        )


def _references(line: str, *, has_links: bool) -> list[str]:
    """What a line names, right or wrong; nothing when it is a comment or prose."""
    if not line or line.startswith("#"):
        return []
    linked = MARKDOWN_LINK.findall(line)
    text = COMMENT.sub("", BULLET.sub("", line))
    if linked or has_links and not WEB.match(text):
        return [reference for reference in linked if _leads_to_page(reference)]
    return [text.strip("<>")]


def _leads_to_page(reference: str) -> bool:
    """Not to a place in the list itself, nor to mail."""
    return not reference.startswith("#") and (WEB.match(reference) is not None or ":" not in reference.split("/")[0])


def _address(spec: SourceSpec, reference: str) -> str:
    try:
        return spelled(_absolute(spec, reference))
    except AddressRefused:
        return ""


def _absolute(spec: SourceSpec, reference: str) -> str:
    try:
        return urljoin(spec.target, reference) if WEB.match(spec.target) else reference
    except ValueError as error:
        raise AddressRefused(f"{reference!r} is not a web address ({error}); correct it") from None


def _fault(spec: SourceSpec, reference: str) -> str:
    try:
        spelled(_absolute(spec, reference))
    except AddressRefused as fault:
        return str(fault)
    return f"{reference!r}… is longer than {MAX_URL_CHARS} characters"


def _read(spec: SourceSpec) -> str:
    body = _download(spec) if WEB.match(spec.target) else _load(spec)
    encoding = "utf-16" if body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    return body.decode(encoding, "replace")


def _load(spec: SourceSpec) -> bytes:
    normalise(spec.target)
    path = saved(spec.target)
    with opened(path, absence=partial(FetchFailed, f"{path} is not there; put it back or delete the source")) as file:
        body = content(path, file)
    refuse_binary(str(path), body)
    return body


def _download(spec: SourceSpec) -> bytes:
    request = partial(
        fetcher.fetch,
        spec.target,
        check_url=partial(_permit, spec, spec.target),
        slot=lambda hop: politeness.slot(hop, spec.crawl_policy, token=spec.target),
        content_types=("text/plain", "text/markdown", "text/x-markdown"),
    )
    return crawler.patiently(request).body


# --- Requests -----------------------------------------------------------------------------------------


def _permit(spec: SourceSpec, url: str, hop: str) -> None:
    if urlsplit(hop).hostname != urlsplit(url).hostname:
        raise AddressRefused(f"{url} redirects to another host; list {hop} instead")
    crawler.permit(spec, hop)
