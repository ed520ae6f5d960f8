"""reStructuredText → Markdown, with the fragments that Sphinx gives to sections and documented objects."""

from __future__ import annotations

from ingestion import outline
from ingestion.extractors.inline import BARE_LINK
from ingestion.extractors.links import absolute, file_name
from ingestion.extractors.rst_reader import Reader
from ingestion.types import Extracted


def read(url: str, text: str) -> Extracted:
    lines = [line.rstrip() for line in text.expandtabs(8).split("\n")]
    reader = Reader(lines, text)
    markdown = "\n\n".join(reader.render(lines))
    title = outline.first_heading(markdown) or file_name(url)
    links = absolute(url, [*reader.inline.links, *BARE_LINK.findall(text)])
    return Extracted(title, markdown, links, outline.anchors(markdown, title, reader.anchor_of))
