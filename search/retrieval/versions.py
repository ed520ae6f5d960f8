"""Versions of products, as sources name them: which one is the newest, and which label means which.

In: labels such as "5.2", "v5.1.3", "2024.04", "stable", "main". Out: an order of them. Numbers are compared as
``packaging.version`` does; words for what is being worked on ("main", "dev", "6.0a1") come before every release,
because readers use releases, and words for the newest release ("latest", "stable") after them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from packaging.version import InvalidVersion, Version

UNRELEASED = frozenset(("main", "master", "dev", "devel", "develop", "development", "next", "nightly", "edge", "trunk"))
NEWEST = frozenset(("latest", "stable", "current"))
NUMBER = re.compile(r"(\d+)")

# What comes first counts most: 0 unreleased, 1 neither number nor known word, 2 a release, 3 the newest by its name.
Age = tuple[Any, ...]


def age(label: str) -> Age:
    """Return a key to sort versions by, given a version's label; that of a newer one is larger."""
    word = label.strip().casefold()
    if word in UNRELEASED:
        return (0,)
    if word in NEWEST:
        return (3,)
    try:
        version = Version(word)
    except InvalidVersion:
        parts = NUMBER.split(word)
        return 1, tuple((part.isdecimal(), int(part) if part.isdecimal() else part) for part in parts)
    return (0, version) if version.is_prerelease else (2, version)


def is_version(label: str, asked: str) -> bool:
    """Return whether a label is the version that is asked for: "5.2" asks for "v5.2", "5.2.0" and "5.2.19"."""
    if label.casefold() == asked.casefold():
        return True
    try:
        held, wanted = Version(label), Version(asked)
    except InvalidVersion:
        return False
    return held == wanted or held.release[: len(wanted.release)] == wanted.release


def page_of_all_versions(url: str, target: str, version: str) -> str:
    """Return what the addresses of a page have in common in all versions of a product.

    That is its path below the source's target, or its address. The first directory that is named after the version, as
    "v5.2" and "django-5.2.19" are, has a star for it; numbers in other places tell pages apart.
    """
    root = Path(target).as_uri() + "/" if target.startswith("/") else urljoin(target, ".")
    number = rf"{re.escape(version.lstrip('vV'))}(?:\.\d+)*"
    own = re.compile(rf"(?<=/)((?:[^/\d]*[-_.@~])?[vV]?){number}((?:[-_.][^/\d]*)?/)")
    return own.sub(r"\1*\2", url, count=1).removeprefix(own.sub(r"\1*\2", root, count=1))
