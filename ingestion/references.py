r"""References as they stand in pages, sitemaps and redirects → absolute addresses, read as browsers read them.

In: the address of the page and a reference on it. Out: an address with its blanks escaped, "\" before the query as
"/", and without line breaks and tabs. Whether anything may be fetched from it is decided elsewhere.
"""

from __future__ import annotations

import re
from urllib.parse import urljoin

# What browsers leave out of an address, and where its query or fragment begins: https://url.spec.whatwg.org/
_BREAKS = re.compile(r"[\t\n\r]")
_QUERY = re.compile(r"[?#].*")


def resolved(base: str, reference: str) -> str:
    """Return the absolute address of a reference on the page ``base``. Raises ValueError where it is malformed."""
    whole = _BREAKS.sub("", reference.strip())
    query = _QUERY.search(whole)
    path, rest = (whole[: query.start()], query[0]) if query else (whole, "")
    return urljoin(base, path.replace("\\", "/") + rest).replace(" ", "%20")
