"""The text of a robots.txt -> what it lets us fetch, how slowly, and which sitemaps it names.

In: bytes of any kind and the name of a crawler. Out: ``Rules``; never an error. Lines are grouped by RFC 9309, with the
tolerance of Google's parser (misspelled fields, a blank instead of the colon). Protego normalises and orders the rules,
and ``robots_paths`` compares them with an address.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, urljoin

from protego import Protego

from ingestion.fetching.robots_paths import Paths
from ingestion.robots_directives import product_token

MAX_BYTES = 512 * 1024  # RFC 9309 asks for 500 KiB at least
MAX_CRAWL_DELAY_SECONDS = 60.0  # longer ones are mistakes: 600 pages would take a day
MAX_SITEMAPS = 100
# Answers that a process keeps, because the navigation is the same on every page. About 3 MB.
ANSWERS_CACHED = 10_000

FIELD = re.compile(
    r"""[\s\udc80-\udcff]*(?: (?P<agent>user[-\ ]?agent)
             | (?P<rule>allow|diss?all?ow|diasllow|disallaw|crawl[-\ ]delay)
             | (?P<sitemap>site-?maps?)
        ) (?: \s*: | \s(?![^#]*:(?:\s|$)) | \s*$ ) \s* (?P<value>[^#]*)""",
    re.IGNORECASE | re.VERBOSE,
)
LINE_END = re.compile(r"\r\n|\r|\n")
# Characters that Python takes for the end of a line, and the web does not.
OTHER_LINE_ENDS = re.compile(r"[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
NOT_UTF8 = re.compile(r"[\udc80-\udcff]")


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one robots.txt for one crawler."""

    paths: Paths
    crawl_delay: float
    sitemaps: tuple[str, ...]

    def allow(self, url: str) -> bool:
        """Return whether the crawler may fetch ``url``, an address of the site."""
        return _allow(self.paths, url)


@lru_cache(maxsize=ANSWERS_CACHED)
def _allow(paths: Paths, url: str) -> bool:
    """Return whether the rules let the crawler fetch ``url``; the last ANSWERS_CACHED answers are kept."""
    return paths.allow(url)


def parse(body: bytes, agent: str, site: str = "") -> Rules:
    """Return the rules for ``agent``, a product token, or those for everybody when it is not named.

    ``site`` is the address that relative addresses of sitemaps refer to.
    """
    if len(body) > MAX_BYTES:  # whole lines only: half a rule at the cut could forbid or allow too much
        body = body[:MAX_BYTES].rpartition(b"\n")[0]
    text = OTHER_LINE_ENDS.sub(lambda match: quote(match[0]), body.decode("utf-8-sig", "surrogateescape"))
    fields = [match for line in LINE_END.split(text) if (match := FIELD.match(line))]
    kept = list(_groups_for(agent.lower(), fields))
    name = agent.lower() if f"user-agent: {agent.lower()}" in kept else "*"
    rules = Protego.parse("\n".join(kept))
    delay = min(rules.crawl_delay(name) or 0.0, MAX_CRAWL_DELAY_SECONDS)
    named = (NOT_UTF8.sub(_escaped, match["value"]).strip() for match in fields if match["sitemap"])
    sitemaps = dict.fromkeys(_absolute(site, address) for address in named if address)
    on_the_web = [url for url in sitemaps if url.startswith(("http://", "https://"))]
    return Rules(Paths(rules, name), delay, tuple(on_the_web[:MAX_SITEMAPS]))


def _escaped(byte: re.Match[str]) -> str:
    r"""Return a byte that is not UTF-8 as an address holds it: /caf\xe9 is /caf%E9."""
    return f"%{ord(byte[0]) - 0xDC00:02X}"


def _groups_for(agent: str, found: list[re.Match[str]]) -> Iterator[str]:
    """Yield the lines of the groups for ``agent`` and of those for everybody.

    In Protego, the rules for other crawlers would cost memory: 250 KB of names above 250 KB of rules are 5 * 10^8
    pairs. It also ends a group at a field that it does not know, and takes "Foo Bar" for a name.
    """
    ours = naming = False
    for match in found:
        if match["agent"]:
            name = product_token(match["value"]).lower()
            ours = name in (agent, "*") or (ours and naming)
            naming = True
            if name in (agent, "*"):
                yield f"user-agent: {name}"
        elif match["rule"]:
            naming = False
            if ours:
                yield f"{match['rule']}: {NOT_UTF8.sub(_escaped, match['value'])}"


def _absolute(site: str, name: str) -> str:
    """Return the absolute address of a sitemap that a robots.txt names, or "" when it is malformed."""
    try:
        return urljoin(f"{site}/", name)
    except ValueError:
        return ""
