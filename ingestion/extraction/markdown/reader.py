"""Markdown of any dialect → plain Markdown, with the links and the anchors of its headings.

markdown-it reads CommonMark and tables, ``dialects`` what MkDocs, GitHub, Docusaurus, MyST, Hugo and others add to it;
the HTML of both is read as that of a page is. Files that a page includes cannot be read here: a line names those that
hold code. Code is never changed inside. A text with more markup than anybody writes is kept as it is written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain

from ingestion import markdown_outline
from ingestion.extraction import plain
from ingestion.extraction.dropped import DroppedWords
from ingestion.extraction.html.anchors import anchors as anchors_of
from ingestion.extraction.html.parser import Node, parse
from ingestion.extraction.html.to_markdown import HEADINGS, Converter
from ingestion.extraction.links import BARE_LINK, absolute, file_name
from ingestion.extraction.markdown import front_matter
from ingestion.extraction.markdown.dialect import Page
from ingestion.extraction.markdown.parser import TooMuchMarkup, to_html
from ingestion.extraction.markdown.templates import LITERAL
from ingestion.extraction.sanitize import clean
from ingestion.extraction.slugs import github_slugger
from ingestion.types import Extracted

# A component or an import, not a tag of HTML in capitals, and not in indented code.
_JSX = re.compile(r"^ {0,3}</?[A-Z]\w*[a-z][\w.]*[\s/>]|^import [^\n]{1,200}? from ['\"]|\{/\*", re.MULTILINE)


def read(url: str, text: str) -> Extracted:
    """Return the page as Markdown."""
    title, body = front_matter.split(text)
    dropped = DroppedWords()
    is_jsx = url.lower().endswith(".mdx") or bool(_JSX.search(_prose(body)))
    try:
        html, definitions = to_html(Page(body, is_jsx, dropped))
    except TooMuchMarkup:
        return plain.read(url, text)
    defined = [definition["href"] for definition in definitions.values()]
    return assembled(url, title, [parse(html).root], dropped, size=len(html), links=defined)


def assembled(
    url: str, title: str, parts: list[Node], dropped: DroppedWords, *, size: int, links: Iterable[str] = ()
) -> Extracted:
    """Return the parts of a page as one document in Markdown.

    Its title is ``title``, else its first heading, else the name of the file. ``size`` is the length of the page in
    characters; ``links`` are addresses besides those in the parts.
    """
    headings = [node for part in parts for node in part.walk() if node.tag in HEADINGS]
    for heading in headings:
        _leave_out_pictures(heading, dropped)
    converter = Converter(url, anchors_of(headings), page_chars=size, dropped=dropped)
    markdown = clean("\n\n".join(filter(None, map(converter.convert, parts)))).replace(LITERAL, "").strip()
    title = title or markdown_outline.first_heading(markdown) or file_name(url)
    slug = github_slugger()
    return Extracted(
        title=title,
        markdown=markdown,
        links=absolute(url, chain(chain.from_iterable(map(_links, parts)), links)),
        anchors=markdown_outline.anchors(markdown, title, lambda words: converter.anchor_of(words) or slug(words)),
        dropped=dropped.totals(),
    )


def _prose(body: str) -> str:
    """Return the text without its fences."""
    blocks = markdown_outline.blocks(body)
    return "".join(body[block.start : block.end] for block in blocks if block.kind != markdown_outline.FENCE)


def _leave_out_pictures(heading: Node, dropped: DroppedWords) -> None:
    """Leave the descriptions of logos and badges out of a heading that has words of its own."""
    if not heading.words():
        return
    for picture in (node for node in heading.walk() if node.get("alt") and node.tag == "img"):
        dropped.add("pictures in headings", picture.attributes.pop("alt", ""))


def _links(part: Node) -> Iterator[str]:
    """Yield the addresses of links, and those that stand in the text, in order, code left out."""
    waiting: list[Node | str] = [part]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            yield from BARE_LINK.findall(item)
        elif item.tag not in ("pre", "code"):
            if item.tag == "a":
                yield item.get("href")
            waiting += reversed(item.children)
