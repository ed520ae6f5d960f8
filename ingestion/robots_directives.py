"""What a page asks of crawlers, in a meta element or an X-Robots-Tag header -> the directives that are for us.

In: the text of one element or of one header line. Out: directives in lower case, such as "noindex". Those under the
name of another crawler are left out. Does not decide what follows from them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from django.conf import settings

NO_INDEX = frozenset({"noindex", "none"})
NO_FOLLOW = frozenset({"nofollow", "none"})
EVERYBODY = frozenset({"*", "robots"})

# "FooBot/1.2", "FooBot 1.2" and "FooBot*" all name FooBot.
_TOKEN = re.compile(r"\*|[\w.-]+")
_WORD = re.compile(r"([\w*./-]+)[ \t]*(:?)")
_SEPARATOR = re.compile(r"[,;\s]+")
# Directives with a value, which may be "none"; before any other colon stands the name of a crawler.
_VALUED = re.compile(r"max-(?:snippet|image-preview|video-preview)\s*:\s*[\w-]*|unavailable_after\s*:[^,;]*")


def product_token(user_agent: str) -> str:
    """Return the name by which a site calls the sender of this User-Agent header."""
    match = _TOKEN.match(user_agent)
    return match[0] if match else ""


def is_for_us(crawler: str) -> bool:
    """Return whether directives under this name are for us: for everybody, or under the name in USER_AGENT."""
    name = product_token(crawler.strip()).lower()
    return name in EVERYBODY or name == product_token(settings.USER_AGENT).lower()


def of_meta(name: str, content: str) -> set[str]:
    """Return the directives for us of a meta element; none of one with another name than a crawler's."""
    return set(filter(None, _SEPARATOR.split(_VALUED.sub("", content.lower())))) if is_for_us(name) else set()


def of_header(line: str) -> set[str]:
    """Return the directives for us of one X-Robots-Tag header, in which a crawler's name may stand before its own."""
    return set(_of_header(_VALUED.sub("", line.lower())))


def _of_header(line: str) -> Iterator[str]:
    """Yield the directives for us of one X-Robots-Tag header, which is given in lower case.

    Those behind another crawler's name and a colon are left out, up to a name of ours.
    """
    ours = True
    for word, colon in _WORD.findall(line):
        if not colon and ours:
            yield word
        elif colon and not word[0].isdigit():  # rather than the hour of a date
            ours = is_for_us(word)
