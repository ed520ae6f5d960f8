"""Words of a heading → the fragment that leads to it, as GitHub and as docutils make them."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable

_NOT_SLUG = re.compile(r"[^\w\- ]")
_NOT_ID = re.compile(r"[^a-z0-9]+")


def github_slugger() -> Callable[[str], str]:
    """Return a function from a heading's words to GitHub's fragment; the second of the same words ends in ``-1``."""
    seen: Counter[str] = Counter()

    def slug(words: str) -> str:
        name = _NOT_SLUG.sub("", words.lower()).replace(" ", "-")
        seen[name] += 1
        return name if seen[name] == 1 else f"{name}-{seen[name] - 1}"

    return slug


def identifier(words: str) -> str:
    """Return the id that docutils makes of a name."""
    ascii_words = unicodedata.normalize("NFKD", words.lower()).encode("ascii", "ignore").decode()
    return _NOT_ID.sub("-", ascii_words).strip("-").lstrip("0123456789-")


class Identifiers:
    """The ids that docutils gives to a document's sections; ``names`` are the labels in it.

    docutils numbers a name that is taken, by a label or by another section, in an order that the text does not tell.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.taken = {identifier(name) for name in names}

    def of(self, words: str, labels: list[str]) -> str:
        """Return the id of the next section, or of its first label where the id is taken; empty without either."""
        name = identifier(words)
        fresh = name not in self.taken
        self.taken.add(name)
        return name if fresh else next(filter(None, map(identifier, labels)), "")
