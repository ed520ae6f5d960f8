"""The paragraphs in the parts of an Office file, to see which of them pandoc left out.

Pandoc reads the body of a document and the shapes of slides, but no diagrams, charts and grouped shapes, and some notes
of the speaker. Those are kept; what stands on every page and what reviewers wrote is left out and counted.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator

from lxml import etree

from ingestion.extraction.dropped import DroppedWords
from ingestion.extraction.pandoc import archive as archives

# Part of the archive → the heading below which its paragraphs are kept.
KEPT = {
    re.compile(r"word/document\.xml|word/(?:foot|end)notes\.xml|ppt/slides/slide\d+\.xml"): "Further text",
    re.compile(r"(?:word|ppt)/(?:diagrams/data\d*|charts/chart\d*)\.xml"): "Diagrams and charts",
    re.compile(r"ppt/notesSlides/notesSlide\d+\.xml"): "Speaker notes",
}
DROPPED = {
    re.compile(r"word/(?:header|footer)\d*\.xml"): "page header or footer",
    re.compile(r"(?:word|ppt/comments|ppt)/comments?\d*\.xml"): "comment of a reviewer",
}
_WORD = re.compile(r"\w+")
_NUMBER = re.compile(r"\d+")


def left_out(url: str, archive: zipfile.ZipFile, shown: str, dropped: DroppedWords) -> Iterator[str]:
    """Yield Markdown for the paragraphs with words that are not in ``shown``, below headings of their own."""
    words = set(_WORD.findall(shown))
    names = sorted(archive.namelist(), key=lambda name: [int(n) for n in _NUMBER.findall(name)])
    for pattern, heading in KEPT.items():
        found = [p for name in names if pattern.fullmatch(name) for p in paragraphs(url, archive, name)]
        lost = dict.fromkeys(p for p in found if not words.issuperset(_WORD.findall(p)))
        if lost:
            yield f"## {heading}"
            yield from lost
    for pattern, rule in DROPPED.items():
        for name in names:
            if pattern.fullmatch(name):
                dropped.add(rule, "\n".join(paragraphs(url, archive, name)))


def paragraphs(url: str, archive: zipfile.ZipFile, name: str) -> Iterator[str]:
    """Yield the text of each paragraph in a part, and the labels of a chart; numbers of slides are none."""
    for element in archives.elements(url, archive, name, "p", "strCache"):
        is_cache = etree.QName(element).localname == "strCache"
        texts = ("".join(v.itertext()) for v in element.iter("{*}v" if is_cache else "{*}t"))
        text = " ".join((" " if is_cache else "").join(texts).split())
        if text and not text.isdecimal():
            yield text
