"""The Markdown of an article on a page of unknown make → without the boxes that only a second reader recognizes.

``boilerplate`` finds the element; what still stands in it beside the article (teasers, bylines, calls to subscribe) is
left out where trafilatura leaves it out too. On 29 labelled articles the first alone had a mean F1 of .969, both
together .972, trafilatura alone .914 (.918 and .934 where it favours recall and precision). Documentation is not
judged, because trafilatura drops code, tables and definitions; nor is a page of whose text it misses half.
"""

from __future__ import annotations

import re
from itertools import groupby, islice

from lxml import html

from ingestion.extraction.dropped import DroppedWords
from ingestion.extraction.html.parser import Node
from ingestion.extraction.sanitize import clean
from ingestion.markdown_outline import HEADING, blocks

# trafilatura's time grows with the square of the elements beside each other (20,000 cells take 5 s), and of the
# attributes of one (100,000 take 183 s); it is given a copy of the page with few of both.
MAX_ELEMENTS = 5_000
MAX_CHARS = 500_000
MAX_ATTRIBUTE_CHARS = 300
ATTRIBUTES = frozenset({"class", "href", "id", "itemprop", "role"})
# A page with fewer words in paragraphs is a note, a list or a form, of which trafilatura drops the most.
MIN_WORDS, LINE_WORDS = 100, 10
# With less than this share of our words, it has missed the text. From 0.3 to 0.8 the articles are read alike.
MIN_SHARE = 0.5
# A block stays if so much of it stands in the other text, counted in runs of three words.
MIN_COMMON = 0.5
RUN = 3
_WORD = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|\w+")
_TARGET = re.compile(r"\]\([^()\s]*\)")
Runs = set[tuple[str, ...]]


def without_boxes(markdown: str, page: Node, dropped: DroppedWords) -> str:
    """Return the Markdown of ``page`` without the blocks that trafilatura takes for no part of the article."""
    if not _may_be_article(markdown, page):
        return markdown
    text = _words(_text_of_article(page))
    if len(text) < MIN_SHARE * len(_words(markdown)):
        return markdown
    known = {tuple(text[at : at + size]) for size in range(1, RUN + 1) for at in range(len(text))}
    kept: list[str] = []
    lost: list[str] = []
    headings: list[str] = []  # those above the block that have no text of their own so far
    for start, end, kind in blocks(markdown):
        block = markdown[start:end].strip()
        if kind == HEADING:
            headings.append(block)
        elif block and (not kept or _is_known(block, known)):
            kept += [*headings, block]
            headings = []
        elif block:
            kept += headings[:-1]
            lost += [*headings[-1:], block]
            headings = []
    dropped.add("boxes beside the article", " ".join(lost))
    return "\n\n".join(kept + headings)


def _may_be_article(markdown: str, page: Node) -> bool:
    """Return whether a page holds prose without code and tables, in a size that people write."""
    if "`" in markdown or "\n| " in markdown or len(markdown) > MAX_CHARS:
        return False
    if next(islice(page.walk(), MAX_ELEMENTS, None), None) or len(page.text()) > MAX_CHARS:
        return False
    lines = map(_words, markdown.split("\n\n"))
    return sum(len(words) for words in lines if len(words) >= LINE_WORDS) >= MIN_WORDS


def _text_of_article(page: Node) -> str:
    """Return the text that trafilatura takes for the article of a page, empty if it finds none."""
    import trafilatura  # takes 0.4 s and 20 MB, and most pages do without

    return trafilatura.extract(_copy(page), include_comments=False, favor_recall=True) or ""


def _is_known(block: str, known: Runs) -> bool:
    """Return whether at least half of the different runs of three words in a block are among ``known``.

    A shorter block is a single run; one without words is never known.
    """
    words = _words(block)
    runs = {tuple(words[at : at + RUN]) for at in range(max(1, len(words) - RUN + 1))}
    return len(runs & known) >= MIN_COMMON * len(runs)


def _words(text: str) -> list[str]:
    """Return the words of Markdown in small letters, in order, without the addresses of links.

    Each character of Thai, Lao, Burmese, Chinese, Japanese and Korean is a word, except in a run of letters and digits
    that begins with others.
    """
    return _WORD.findall(_TARGET.sub("]", text.lower()))


def _copy(body: Node) -> html.HtmlElement:
    """Return the page as a tree of lxml, with the attributes that tell what an element is."""
    root, copied = html.Element("html"), html.Element("body")
    root.append(copied)
    waiting = [(body, copied)]
    while waiting:
        node, copied = waiting.pop()
        before: html.HtmlElement | None = None
        for is_text, run in groupby(node.children, lambda child: isinstance(child, str)):
            if not is_text:
                inner = [(child, _copy_of(child)) for child in run if isinstance(child, Node)]
                copied.extend(copy for _, copy in inner)
                before = inner[-1][1]
                waiting += inner
            elif before is None:
                copied.text = clean("".join(map(str, run)))
            else:
                before.tail = clean("".join(map(str, run)))
    return root


def _copy_of(node: Node) -> html.HtmlElement:
    """Return an lxml element with the tag of ``node`` and its attributes of ``ATTRIBUTES``, without its content.

    The tag is ``span`` if it has other characters than ASCII letters and digits; values are cut to
    ``MAX_ATTRIBUTE_CHARS`` characters.
    """
    copied = html.Element(node.tag if node.tag.isalnum() and node.tag.isascii() else "span")
    for name in ATTRIBUTES & node.attributes.keys():
        copied.set(name, clean(node.get(name))[:MAX_ATTRIBUTE_CHARS])
    return copied
