"""An HTML page that only sends its readers on -> the address that it sends them to.

In: a page of any source. Out: the address in its ``<meta http-equiv="refresh">``, or "" for a page that is to be read:
one without such an element, one that reloads itself, or one with words to read before the time is over. Only the
beginning of the page is parsed, and nothing is fetched.
"""

from __future__ import annotations

import re
from urllib.parse import urldefrag, urljoin, urlsplit

from ingestion.types import Page

# Faster than anybody reads: the page is never seen, whatever is on it.
AT_ONCE_SECONDS = 1.0
# Such a page says "You are being redirected. If that does not happen, follow this link." in up to 40 words; pictures
# of a slide show and news that refresh themselves have more, or take longer.
LONGEST_SECONDS, MOST_WORDS = 30.0, 60
PARSED_BYTES = 64 * 1024
HTML_TYPES = ("text/html", "application/xhtml+xml")

_SIGN = re.compile(rb"http-equiv\s*=\s*[\"']?\s*refresh", re.IGNORECASE)
# As browsers read it: seconds, a separator, perhaps "url=", and an address with or without quotation marks.
_CONTENT = re.compile(
    r"\s*(?P<seconds>\d*)[\d.]*(?:\s*[;,]\s*|\s+)(?:url\s*=\s*)?(?:\"(?P<a>[^\"]*)|'(?P<b>[^']*)|(?P<c>.*))",
    re.IGNORECASE | re.DOTALL,
)
_UNSEEN = "descendant-or-self::text()[not(ancestor::script or ancestor::style or ancestor::title)]"


def target(page: Page) -> str:
    """Return the absolute address that a page sends its readers to, or "" when it is to be read itself."""
    start = page.body[:PARSED_BYTES]
    if page.content_type not in HTML_TYPES or not _SIGN.search(start):
        return ""
    from lxml import etree  # only workers that read pages need it

    tree = etree.fromstring(start, etree.HTMLParser(remove_comments=True, remove_pis=True, encoding="utf-8"))
    for element in tree.iter("meta") if tree is not None else ():
        match = _CONTENT.match(element.get("content", ""))
        if element.get("http-equiv", "").strip().lower() != "refresh" or match is None:
            continue
        seconds = float(match["seconds"] or 0)
        is_seen = seconds > AT_ONCE_SECONDS or any(True for _ in element.iterancestors("noscript"))
        words = len(" ".join(tree.xpath(_UNSEEN)).split()) if is_seen else 0
        is_short = len(start) == len(page.body) and words <= MOST_WORDS
        if not is_seen or (seconds <= LONGEST_SECONDS and is_short):
            base = next((each.get("href") for each in tree.iter("base") if each.get("href")), "")
            return _resolve(page.url, base, (match["a"] or match["b"] or match["c"] or "").strip())
    return ""


def _resolve(url: str, base: str, reference: str) -> str:
    """Return the address of a reference; "" for the page itself, a script, or what is no address."""
    try:
        found = urldefrag(urljoin(urljoin(url, base), reference)).url
        scheme = urlsplit(found).scheme
    except ValueError:
        return ""
    found = found.replace(" ", "%20")
    return found if scheme in ("http", "https", "file", "") and found != url else ""
