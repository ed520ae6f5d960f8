"""Which words of a visible source are missing from the Markdown that a reader made of it."""

from __future__ import annotations

import re
from collections import Counter

_WORD = re.compile(r"\w+")


def lost_words(visible: str, markdown: str) -> Counter[str]:
    """Return the words of ``visible`` that ``markdown`` holds less often, in lower case, with how many are missing."""
    return Counter(_WORD.findall(visible.lower())) - Counter(_WORD.findall(markdown.lower()))
