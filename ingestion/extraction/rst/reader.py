"""reStructuredText → Markdown, read by docutils and written by the converter of HTML pages.

Titles and documented objects (``.. method::`` …) become headings with the fragments that Sphinx gives them, code keeps
its language, notes a line with their name and then their text. Comments are dropped, as are lists of pages and index
entries, whose words are counted. Files that a page includes cannot be read here: a line names them.
"""

from __future__ import annotations

from ingestion import markdown_outline
from ingestion.extraction.html.to_markdown import Converter
from ingestion.extraction.links import BARE_LINK, absolute, file_name
from ingestion.extraction.rst.page import Page
from ingestion.extraction.sanitize import clean
from ingestion.types import Extracted


def read(url: str, text: str) -> Extracted:
    """Return a page of reStructuredText as Markdown."""
    # docutils takes 50 ms and 5 MB; most processes import this module and read no page.
    from ingestion.extraction.rst.parser import parse
    from ingestion.extraction.rst.to_html import HtmlTree

    page = Page()
    tree = HtmlTree(parse(text, page), page)
    converter = Converter(url, tree.anchors, page_chars=len(text), dropped=page.dropped)
    markdown = clean(converter.convert(tree.root)).strip()
    title = markdown_outline.first_heading(markdown) or file_name(url)
    links = absolute(url, [*tree.references.links(), *BARE_LINK.findall(tree.root.text())])
    anchors = markdown_outline.anchors(markdown, title, converter.anchor_of)
    return Extracted(title, markdown, links, anchors, dropped=page.dropped.totals())
