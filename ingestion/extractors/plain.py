"""Plain text → the same text with its underlined titles as headings; its first line names it if it is short."""

from __future__ import annotations

from ingestion.extractors.inline import BARE_LINK
from ingestion.extractors.links import absolute, file_name
from ingestion.extractors.markdown import atx_headings
from ingestion.types import Extracted

MAX_TITLE_CHARS = 120


def read(url: str, text: str) -> Extracted:
    text = text.strip("\n")
    first = text.lstrip().partition("\n")[0].strip()
    title = first if 0 < len(first) <= MAX_TITLE_CHARS else file_name(url)
    return Extracted(title=title, markdown=atx_headings(text), links=absolute(url, BARE_LINK.findall(text)))
