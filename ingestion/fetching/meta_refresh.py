"""An HTML page that only sends its readers on -> the address that it sends them to.

In: a page of any source. Out: the address in its ``<meta http-equiv="refresh">``, or the one that its script goes to
and its few words link to; "" for a page that is to be read: one that sends nobody on, that reloads itself, or with
words to read before the time is over. Only the beginning of the page is parsed; no script is run, nothing is fetched.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urldefrag, urlsplit

from ingestion.references import resolved
from ingestion.types import Page

# Faster than anybody reads: the page is never seen, whatever is on it.
AT_ONCE_SECONDS = 1.0
# Such a page says "You are being redirected. If that does not happen, follow this link." in up to 40 words; pictures
# of a slide show and news that refresh themselves have more, or take longer.
LONGEST_SECONDS, MOST_WORDS = 30.0, 60
PARSED_BYTES = 64 * 1024
HTML_TYPES = ("text/html", "application/xhtml+xml")

_GOES = r"\blocation(?:\.href)?\s*(?:=|\.(?:replace|assign)\s*\()\s*"
_SIGN = re.compile(rf"http-equiv\s*=\s*[\"']?\s*refresh|{_GOES}[\"']".encode(), re.IGNORECASE)
# As browsers read it: seconds, a separator, perhaps "url=", and an address with or without quotation marks.
_CONTENT = re.compile(
    r"\s*(?P<seconds>\d{0,9})[\d.]{0,20}(?:\s*[;,]\s*|\s+)(?:url\s*=\s*)?(?:\"(?P<a>[^\"]*)|'(?P<b>[^']*)|(?P<c>.*))",
    re.IGNORECASE | re.DOTALL,
)
_LOCATION = re.compile(rf"{_GOES}([\"'])([^\"'\s<>]+)\1")
_SEEN = "descendant-or-self::text()[not(ancestor::script or ancestor::style or ancestor::title)]"
_LINKS = "//a/@href | //link[@rel='canonical']/@href"


def target(page: Page) -> str:
    """Return the absolute address that a page sends its readers to, or "" when it is to be read itself."""
    start = page.body[:PARSED_BYTES]
    if page.content_type not in HTML_TYPES or not _SIGN.search(start):
        return ""
    from lxml import etree  # only workers that read pages need it

    tree = etree.fromstring(start, etree.HTMLParser(remove_comments=True, remove_pis=True, encoding="utf-8"))
    if tree is None:
        return ""
    is_short = len(start) == len(page.body) and len(" ".join(tree.xpath(_SEEN)).split()) <= MOST_WORDS
    base = next(iter(tree.xpath("//base/@href")), "")
    if found := _resolve(page.url, base, _refresh(tree, is_short=is_short)):
        return found
    if not is_short:
        return ""
    links = {_resolve(page.url, base, link) for link in tree.xpath(_LINKS)}
    gone_to = _LOCATION.findall(" ".join(tree.xpath("//script/text()")))
    return next((url for _, link in gone_to if (url := _resolve(page.url, base, link)) and url in links), "")


def _refresh(tree: Any, *, is_short: bool) -> str:
    """Return the reference of the first meta refresh that leaves no time to read the page, or little on a short page.

    Return an empty string when there is none.
    """
    for element in tree.iter("meta"):
        match = _CONTENT.match(element.get("content", ""))
        if element.get("http-equiv", "").strip().lower() != "refresh" or match is None:
            continue
        seconds = float(match["seconds"] or 0)
        is_seen = seconds > AT_ONCE_SECONDS or any(True for _ in element.iterancestors("noscript"))
        if not is_seen or (seconds <= LONGEST_SECONDS and is_short):
            return (match["a"] or match["b"] or match["c"] or "").strip()
    return ""


def _resolve(url: str, base: str, reference: str) -> str:
    """Return the address of a reference; "" for the page itself, a script, or what is no address."""
    try:
        found = urldefrag(resolved(resolved(url, base), reference)).url
        scheme = urlsplit(found).scheme
    except ValueError:
        return ""
    return found if scheme in ("http", "https", "file", "") and found != url else ""
