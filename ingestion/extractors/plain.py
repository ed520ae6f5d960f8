"""Plain text → the same text with its underlined titles as headings; its first line names it if it is short."""

from __future__ import annotations

from ingestion.extractors.inline import BARE_LINK
from ingestion.extractors.links import absolute, file_name
from ingestion.extractors.markdown import atx_headings
from ingestion.types import Extracted

MAX_TITLE_CHARS = 120
# Readers of markup take up to 20 µs for a paragraph, were it one letter: 10 MB of those would take a minute and a
# half. The longest page of Python's documentation has 5 000 lines. What has more than this is kept as it is written,
# and its headings, fences and tables are still seen.
MAX_LINES = 150_000


def is_all_that_can_be_read(text: str) -> bool:
    """Whether a text has too many lines for a reader of markup."""
    return text.count("\n") > MAX_LINES


def read(url: str, text: str) -> Extracted:
    text = text.strip("\n")
    first = text.lstrip().partition("\n")[0].strip()
    title = first if 0 < len(first) <= MAX_TITLE_CHARS else file_name(url)
    return Extracted(title=title, markdown=atx_headings(text), links=absolute(url, BARE_LINK.findall(text)))
