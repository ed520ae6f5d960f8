"""HTML → Markdown of the main content, without navigation, scripts and permalinks.

Links inside the same site keep their words only (the addresses are in ``links``; in the text they would
cost tokens and say nothing), links elsewhere keep their address.
Raises ``PageSuspect`` for what a server calls a page and no reader would.
"""

from __future__ import annotations

from ingestion import outline
from ingestion.extractors import head, suspects
from ingestion.extractors.characters import clean
from ingestion.extractors.content import Survey, main_content
from ingestion.extractors.html_converter import Converter
from ingestion.extractors.links import file_name
from ingestion.extractors.tree import parse
from ingestion.types import Extracted


def read(url: str, text: str) -> Extracted:
    tree = parse(text)
    survey = Survey(tree, url)
    titles = [survey.head.title, *(heading.words() for heading in survey.headings if heading.tag in ("h1", "h2"))]
    main = main_content(survey)
    converter = Converter(url, survey.anchors, page_chars=len(text))
    markdown = clean(converter.convert(main)).strip()  # entities may name controls
    suspects.check(url, tree, titles=titles, words=len(markdown.split()), passwords=survey.passwords)
    title = outline.first_heading(markdown, deepest=1) or survey.head.title or file_name(url)
    return Extracted(
        title=title,
        markdown=markdown,
        links=head.links(survey.head, survey.links),
        anchors=outline.anchors(markdown, title, converter.anchor_of),
        canonical=survey.head.canonical,
        indexable=survey.head.indexable,
    )
