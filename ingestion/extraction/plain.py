"""Plain text → the same text with its underlined titles as headings; its first line names it if it is short."""

from __future__ import annotations

from ingestion.extraction.links import BARE_LINK, absolute, file_name
from ingestion.extraction.markdown.reader import atx_headings
from ingestion.types import Extracted

MAX_TITLE_CHARS = 120
# Readers of markup take up to 20 µs for a line, however short: 10 MB of one-letter paragraphs would take a minute and
# a half. What has more lines than this, or many that are so short, is kept as it is written; its headings, fences and
# tables are still seen. The longest page of Python's documentation has 5 000 lines; a line of documentation has, blank
# ones included, 20 to 45 characters.
MAX_LINES = 150_000
MANY_LINES, LEAST_MEAN_CHARS = 10_000, 10


def is_all_that_can_be_read(text: str) -> bool:
    """Whether a text has too many lines for a reader of markup, or too many for its length."""
    lines = text.count("\n")
    return lines > MAX_LINES or (lines > MANY_LINES and len(text) < LEAST_MEAN_CHARS * lines)


def read(url: str, text: str) -> Extracted:
    text = text.strip("\n")
    first = text.lstrip().partition("\n")[0].strip()
    title = first if 0 < len(first) <= MAX_TITLE_CHARS else file_name(url)
    return Extracted(title=title, markdown=atx_headings(text), links=absolute(url, BARE_LINK.findall(text)))
