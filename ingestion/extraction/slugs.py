"""Words of a heading → the fragment that leads to it, as GitHub makes it."""

from __future__ import annotations

import re
from collections.abc import Callable

_NOT_SLUG = re.compile(r"[^\w\- ]")


def github_slugger() -> Callable[[str], str]:
    """Return a function from a heading's words to GitHub's fragment; the second of the same words ends in ``-1``."""
    seen: dict[str, int] = {}

    def slug(words: str) -> str:
        """Return the fragment of a heading's words, and note it: the second of the same ends in ``-1``, and so on."""
        name = fragment = _NOT_SLUG.sub("", words.lower()).replace(" ", "-")
        while fragment in seen:
            seen[name] += 1
            fragment = f"{name}-{seen[name]}"
        seen[fragment] = 0
        return fragment

    return slug
