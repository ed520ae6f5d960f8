"""A list of page addresses as a source: a text file, on disk or on the web, with one address per line.

Blank lines and lines that begin with ``#`` are skipped, and so are bullets and comments after `` #``. In a file with
Markdown links (llms.txt) the links are taken, relative to the list's own address, and prose is skipped. Each address is
a document; links on the pages are not followed, and redirects only within their host. A line that cannot be used is
listed under ``line:<number>?<its text>``, and fetching it says what is wrong.
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
from ingestion.media_types import FILE_TYPES
from ingestion.sources.globs import wanted
from ingestion.sources.local.files import existing_path, opened, read_unchanged, saved_path
from ingestion.sources.web import crawler
from ingestion.sources.web.url_scope import normalise_url
from ingestion.types import Listed, Listing, Page, SourceSpec, Validators

WEB = re.compile(r"https?:", re.IGNORECASE)
# Each stops at what may begin the next match, so that no input makes it quadratic.
_PLAIN = r"[^\s<>()\]\[]"
MARKDOWN_LINK = re.compile(rf"\]\(\s*(?:<([^<>\n]+)>|<?({_PLAIN}+(?:\({_PLAIN}*\){_PLAIN}*)*))")
BULLET = re.compile(r"^(?:[-*+]|\d{1,6}[.)])\s+")
COMMENT = re.compile(r"(?<!\s)\s+#.*$")
SHOWN_CHARS = 160  # of a bad line: enough to find it, and 12 characters each at the most when quoted
BAD_LINE = re.compile(r"line:(\d+)\?(.*)", re.DOTALL)


def normalise(target: str) -> str:
    """Return the canonical address of a list on the web, or the absolute path of an existing file."""
    if WEB.match(target):
        return canonical(target)
    path = existing_path(target)
    if not path.is_file():
        raise SourceError(f"{path} is no file; give a text file with one address per line, or its web address.")
    return str(path)


def list_documents(spec: SourceSpec) -> Listing:
    """Return all addresses of the list. Raise SourceError when it holds nothing but lines that cannot be used."""
    found = list(dict.fromkeys(_documents(spec)))
    bad_lines = [bad for bad in map(BAD_LINE.fullmatch, found) if bad]
    if bad_lines and len(bad_lines) == len(found):  # thousands of bad lines and no address are another kind of file
        number, text = bad_lines[0].groups()
        raise SourceError(f"{spec.target} names no address. Line {number}: {_fault(spec, unquote(text))}")
    cap = spec.max_pages or len(found)
    capped = len(found) > cap
    return Listing(
        documents=map(Listed, found[:cap]),
        complete=True,
        notes=(f"Only the first {cap} of {len(found)} addresses are taken (max_pages).",) if capped else (),
    )


def follow(spec: SourceSpec, page_url: str, links: Sequence[str]) -> list[str]:
    """Return nothing: the list names all pages of the source."""
    return []


def fetch(spec: SourceSpec, url: str, known: Validators = Validators()) -> Page | None:
    """Fetch one page of the list, or return None while it is the known version."""
    bad = BAD_LINE.fullmatch(url)
    if bad:
        raise UnsupportedContent(f"Line {bad[1]} of {spec.target} is left out: {_fault(spec, unquote(bad[2]))}")
    return fetcher.fetch_if_changed(
        url,
        known=known,
        check_url=partial(_require_allowed, spec, url),
        slot=lambda hop: politeness.slot(hop, spec.crawl_policy, token=url),
        content_types=FILE_TYPES,  # somebody who lists a PDF wants it read
    )


# --- The list -----------------------------------------------------------------------------------------


def _documents(spec: SourceSpec) -> Iterator[str]:
    """Yield the address of each line or link of the list that the globs want, in order; some may come twice.

    Yield ``line:<number>?<its text>``, with the text quoted and cut to SHOWN_CHARS characters, for what is no address.
    Raise the errors of reading the list.
    """
    text = _read(spec)
    has_links = MARKDOWN_LINK.search(text) is not None
    for number, line in enumerate(text.split("\n"), 1):
        for reference in _references(line.strip(), has_links=has_links):
            address = _address(spec, reference)
            if not address:
                yield f"line:{number}?{quote(reference[:SHOWN_CHARS])}"
            elif wanted(spec, address):
                yield address


def _references(line: str, *, has_links: bool) -> list[str]:
    """Return the addresses that a line gives, right or wrong; none when it is a comment or prose."""
    if not line or line.startswith("#"):
        return []
    linked = [(bracketed or plain).strip().replace(" ", "%20") for bracketed, plain in MARKDOWN_LINK.findall(line)]
    text = COMMENT.sub("", BULLET.sub("", line))
    if linked or (has_links and not WEB.match(text)):
        # Neither fragments of the list itself nor links of other schemes, such as mail.
        pages = (reference for reference in linked if not reference.startswith("#"))
        return [page for page in pages if WEB.match(page) or ":" not in page.split("/")[0]]
    return [text.strip("<>")]


def _address(spec: SourceSpec, reference: str) -> str:
    """Return the normalised address of a reference, or "" when it is none."""
    try:
        return normalise_url(_absolute(spec, reference))
    except AddressRefused:
        return ""


def _absolute(spec: SourceSpec, reference: str) -> str:
    """Return the address that a reference leads to from a list on the web; of a list on disk, return it as it is.

    Raise AddressRefused when it is malformed.
    """
    try:
        return urljoin(spec.target, reference) if WEB.match(spec.target) else reference
    except ValueError as error:
        raise AddressRefused(f"{reference!r} is not a web address ({error}); correct it") from None


def _fault(spec: SourceSpec, reference: str) -> str:
    """Return what is wrong with a reference."""
    try:
        normalise_url(_absolute(spec, reference))
    except AddressRefused as fault:
        return str(fault)
    return f"{reference!r}… is longer than {MAX_URL_CHARS} characters"


def _read(spec: SourceSpec) -> str:
    """Return the text of the list, fetched or read from disk: UTF-16 if it has that mark, else UTF-8.

    Bytes that are neither become U+FFFD. Raise the errors of ``fetcher.fetch`` for a list on the web; for one on disk,
    SourceError when it is not there, FetchFailed or PageRefused when it cannot be read, UnsupportedContent when it is
    binary or too large.
    """
    if WEB.match(spec.target):
        request = partial(
            fetcher.fetch,
            spec.target,
            check_url=partial(_require_allowed, spec, spec.target),
            slot=lambda hop: politeness.slot(hop, spec.crawl_policy, token=spec.target),
            content_types=("text/plain", "text/markdown", "text/x-markdown"),
        )
        body = crawler.patiently(request).body
    else:
        normalise(spec.target)
        path = saved_path(spec.target)
        absence = partial(FetchFailed, f"{path} is not there; put it back or delete the source")
        with opened(path, absence=absence) as file:
            body = read_unchanged(path, file)
        refuse_binary(str(path), body)
    encoding = "utf-16" if body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    return body.decode(encoding, "replace")


def _require_allowed(spec: SourceSpec, url: str, hop: str) -> None:
    """Raise AddressRefused for a redirect of ``url`` to another host, and for what robots.txt forbids."""
    if urlsplit(hop).hostname != urlsplit(url).hostname:
        raise AddressRefused(f"{url} redirects to another host; list {hop} instead")
    crawler.require_allowed(spec, hop)
