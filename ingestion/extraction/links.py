"""Addresses as they stand in a page → absolute http(s) addresses without fragments, in order, each once."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath
from urllib.parse import unquote, urldefrag, urlsplit

from ingestion.references import resolved

# An address in running text.
BARE_LINK = re.compile(r"https?://[^\s<>()\[\]{}`\"'|\\]+(?<![.,;:!?])")


def absolute(base: str, references: Iterable[str]) -> tuple[str, ...]:
    """Return the addresses that references on the page ``base`` lead to, in order, each once, without fragments.

    References that cannot be parsed, or lead to another scheme than http and https, are left out.
    """
    targets = dict.fromkeys(reference.partition("#")[0].strip() for reference in references)
    addresses = (_resolve(base, target) for target in targets)
    return tuple(dict.fromkeys(link for link in addresses if link))


def _resolve(base: str, reference: str) -> str:
    """Return the absolute address of a reference on the page ``base``, without its fragment.

    It is an empty string if it cannot be parsed, has no host, or has another scheme than http and https.
    """
    try:
        link = urldefrag(resolved(base, reference)).url
        parts = urlsplit(link)
    except ValueError:
        return ""
    return link if parts.scheme in ("http", "https") and parts.netloc else ""


def same_host(base: str, reference: str) -> bool:
    """Return whether the reference stays on the host of ``base``, as a fragment or a relative path does."""
    try:
        host = urlsplit(reference).netloc
    except ValueError:
        return True
    return not host or host == urlsplit(base).netloc


def file_name(url: str) -> str:
    """Return the last part of the path, or the host: the title of a page that has none."""
    parts = urlsplit(url)
    return PurePosixPath(unquote(parts.path)).name or parts.netloc
