"""HTML → Markdown of the main content, without navigation, scripts and permalinks.

Links inside the same site keep their words only (the addresses are in ``links``; in the text they would
cost tokens and say nothing), links elsewhere keep their address.
Raises ``ErrorPage`` for an error page, a login or an empty shell that was sent as a page.
"""

from __future__ import annotations

from ingestion import markdown_outline
from ingestion.extraction.dropped import DroppedWords
from ingestion.extraction.html import article, error_pages, metadata
from ingestion.extraction.html.main_content import main_content
from ingestion.extraction.html.page_index import PageIndex
from ingestion.extraction.html.parser import parse
from ingestion.extraction.html.to_markdown import Converter
from ingestion.extraction.links import file_name
from ingestion.extraction.sanitize import clean
from ingestion.types import Extracted


def read(url: str, text: str) -> Extracted:
    """Return the page's main content as Markdown, with its title, links and anchors."""
    tree = parse(text)
    index = PageIndex(tree, url)
    if frames := index.head.frames:  # the text beside them is for readers without frames
        return Extracted(index.head.title, "", links=metadata.links(index.head, index.links), frames=frames)
    titles = [index.head.title, *(heading.words() for heading in index.headings if heading.tag in ("h1", "h2"))]
    dropped = DroppedWords()
    main = main_content(index, dropped)
    converter = Converter(url, index.anchors, page_chars=len(text), dropped=dropped)
    markdown = clean(converter.convert(main)).strip()  # entities may name controls
    if index.generator is None:
        markdown = article.without_boxes(markdown, index.body, dropped)
    error_pages.check(url, tree, titles=titles, words=len(markdown.split()), passwords=index.passwords)
    title = markdown_outline.first_heading(markdown, deepest=1) or index.head.title or file_name(url)
    return Extracted(
        title=title,
        markdown=markdown,
        links=metadata.links(index.head, index.links),
        anchors=markdown_outline.anchors(markdown, title, converter.anchor_of),
        canonical=index.head.canonical,
        indexable=index.head.indexable,
        dropped=dropped.totals(),
    )
