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
from ingestion.extraction.sanitize import clean

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
# What stands between the texts of a paragraph.
BETWEEN = {"br": " ", "cr": " ", "tab": " ", "ptab": " ", "noBreakHyphen": "-"}
MATH = "http://schemas.openxmlformats.org/officeDocument/2006/math"
_WORD = re.compile(r"\w+")
# What Markdown may have within a word: numbers of notes, marks of emphasis, links.
_MARKS = re.compile(r"\[\d+\]|[*`^~\[]|\]\([^()\s]*\)")
_NUMBER = re.compile(r"\d+")


def left_out(url: str, archive: zipfile.ZipFile, shown: str, dropped: DroppedWords) -> Iterator[str]:
    """Yield Markdown for the paragraphs with words that are not in ``shown``, below headings of their own."""
    words = {*_WORD.findall(shown), *_WORD.findall(_MARKS.sub("", shown))}
    names = sorted(archive.namelist(), key=lambda name: [int(n) for n in _NUMBER.findall(name)])
    for pattern, heading in KEPT.items():
        found = [p for name in names if pattern.fullmatch(name) for p in paragraphs(url, archive, name)]
        lost = dict.fromkeys(text for text, sought in found if not words.issuperset(_WORD.findall(sought)))
        if lost:
            yield f"## {heading}"
            yield from lost
    for pattern, rule in DROPPED.items():
        for name in names:
            if pattern.fullmatch(name):
                dropped.add(rule, "\n".join(text for text, _ in paragraphs(url, archive, name)))


def paragraphs(url: str, archive: zipfile.ZipFile, name: str) -> Iterator[tuple[str, str]]:
    """Yield the text of each paragraph in a part, and the labels of a chart; numbers of slides are none.

    With it goes what of it is to be looked for: all but the formulas of Word, whose signs have names in Markdown.
    """
    for element in archives.elements(url, archive, name, "p", "strCache"):
        if etree.QName(element).localname == "strCache":
            parts = [(" " + "".join(v.itertext()), False) for v in element.iter("{*}v")]
        else:
            parts = [_part(each) for each in element.iter("{*}t", *(f"{{*}}{mark}" for mark in BETWEEN))]
        text = _words("".join(text for text, _ in parts))
        has_lost_formulas = not name.startswith("word/")  # pandoc reads no formulas of slides
        if text and not text.isdecimal():
            yield text, _words("".join(text for text, is_formula in parts if has_lost_formulas or not is_formula))


def _part(element: etree._Element) -> tuple[str, bool]:
    """Return the text of a part of a paragraph, or what it puts between others, and whether it is of a formula."""
    named = etree.QName(element)
    return BETWEEN.get(named.localname) or "".join(element.itertext()), named.namespace == MATH


def _words(text: str) -> str:
    """Return a text on one line, spelled as in the Markdown."""
    return " ".join(clean(text).split())
