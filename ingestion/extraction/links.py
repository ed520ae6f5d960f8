"""Addresses as they stand in a page → absolute http(s) addresses without fragments, in order, each once."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

# An address in running text.
BARE_LINK = re.compile(r"https?://[^\s<>()\[\]{}`\"'|\\]+(?<![.,;:!?])")


def absolute(base: str, references: Iterable[str]) -> tuple[str, ...]:
    """References that cannot be parsed, or lead to another scheme, are left out."""
    targets = dict.fromkeys(reference.partition("#")[0].strip() for reference in references)
    resolved = (_resolve(base, target) for target in targets)
    return tuple(dict.fromkeys(link for link in resolved if link))


def _resolve(base: str, reference: str) -> str:
    try:
        link = urldefrag(urljoin(base, reference)).url
        parts = urlsplit(link)
    except ValueError:
        return ""
    return link if parts.scheme in ("http", "https") and parts.netloc else ""


def same_host(base: str, reference: str) -> bool:
    """Whether the reference stays on the site of ``base``; a fragment or a relative path does."""
    try:
        host = urlsplit(reference).netloc
    except ValueError:
        return True
    return not host or host == urlsplit(base).netloc


def file_name(url: str) -> str:
    """The last part of the path, to name a page that does not name itself."""
    parts = urlsplit(url)
    return PurePosixPath(unquote(parts.path)).name or parts.netloc
