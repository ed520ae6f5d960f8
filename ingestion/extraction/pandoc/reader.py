"""AsciiDoc, Org, RTF, Word, PowerPoint, OpenDocument and EPUB → Markdown, through pandoc.

Pandoc reads each document in a process of its own, with limits on time and memory; in its sandbox it opens no file and
no address. Its HTML goes through the one writer of Markdown. What pandoc is known to leave out is added before
(``asciidoc``) or after (``office_parts``); workbooks have a reader of their own (``spreadsheet``).
Raises ``UnsupportedContent`` for a document that is damaged, protected or too large, and ``ToolMissing`` where pandoc
is not installed.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from zipfile import ZipFile

from ingestion import markdown_outline
from ingestion.exceptions import ToolMissing, UnsupportedContent
from ingestion.extraction import child_process, plain
from ingestion.extraction.admonitions import KNOWN
from ingestion.extraction.dropped import DroppedWords
from ingestion.extraction.html.anchors import anchors
from ingestion.extraction.html.parser import Node, detach, parse
from ingestion.extraction.html.to_markdown import HEADINGS, Converter
from ingestion.extraction.links import absolute, file_name
from ingestion.extraction.pandoc import archive as archives
from ingestion.extraction.pandoc import asciidoc, office_parts
from ingestion.extraction.sanitize import clean
from ingestion.types import Extracted

# The default heap has no bound; 170 KB of AsciiDoc take 170 MB.
MEMORY = "-M768m"
# Git's 290 texts take 0.3 s each, the longest (170 KB) 0.7 s; 100 000 cells of one table take more than a minute.
TEXT_SECONDS, FILE_SECONDS = 10, 40  # of processor time
OPTIONS = (
    "--to=html5",
    "--standalone",
    "--sandbox",
    "--wrap=none",
    "--mathml",
    "--syntax-highlighting=none",
    "--quiet",
)


def read_text(url: str, text: str, *, markup: str) -> Extracted:
    """Return a text of a language that pandoc reads as Markdown; as it is written if pandoc cannot read it in time."""
    source = asciidoc.prepared(text) if markup == "asciidoc" else text
    try:
        return _extracted(url, _pandoc(source.encode(), markup, TEXT_SECONDS))
    except child_process.ChildFailed:
        return plain.read(url, text)


def read_rtf(url: str, body: bytes) -> Extracted:
    """Return a file in rich text format as Markdown; change the mark of footnotes, with which pandoc ignores them."""
    return _extracted(url, _page(url, body.replace(rb"{\*\footnote", rb"{\footnote"), "rtf"))


def read_archive(url: str, body: bytes, *, markup: str) -> Extracted:
    """Return a document that is a zip archive as Markdown, with what pandoc leaves out."""
    with archives.opened(url, body) as archive:
        return _extracted(url, _page(url, body, markup), archive)


def _page(url: str, body: bytes, markup: str) -> str:
    """Return the HTML page that pandoc makes of a file. Raise UnsupportedContent if it cannot read the file."""
    try:
        return _pandoc(body, markup, FILE_SECONDS)
    except child_process.ChildFailed as error:
        # The last line of what pandoc says then is advice to raise the limit.
        reason = "it needs more memory than a document may have" if "-M<size>" in str(error) else error
        raise UnsupportedContent(f"{url} cannot be read as {markup} ({reason}); repair, split or exclude it") from None


def _pandoc(source: bytes, markup: str, seconds: int) -> str:
    """Return what pandoc makes of a document, as an HTML page. Raises ChildFailed."""
    command = [pandoc_path(), "+RTS", MEMORY, "-RTS", *OPTIONS, f"--from={markup}"]
    return child_process.run(command, source, cpu_seconds=seconds).decode()


@cache
def pandoc_path() -> str:
    """Return the path of pandoc in pypandoc_binary, without importing it. Raise ToolMissing if it is not installed."""
    package = importlib.util.find_spec("pypandoc")
    path = Path(package.origin).parent / "files" / "pandoc" if package and package.origin else None
    if path is None or not path.is_file():
        raise ToolMissing("pandoc is not installed; install pypandoc_binary, which requirements.txt names")
    return str(path)


def _extracted(url: str, page: str, archive: ZipFile | None = None) -> Extracted:
    """Return pandoc's HTML page as Markdown, followed by the text in the archive that pandoc left out.

    Raise UnsupportedContent if there is no text.
    """
    dropped = DroppedWords()
    root = parse(page).root
    nodes = list(root.walk())
    body = next((node for node in nodes if node.tag == "body"), root)
    _adapt(nodes)
    headings = [node for node in nodes if node.tag in HEADINGS]
    named = next((node for node in headings if node.parent and node.parent.get("id") == "title-block-header"), None)
    if named and named.parent:  # the sections of a document with a title stand below it
        for heading in headings:
            heading.tag = heading.tag if heading is named else f"h{min(6, int(heading.tag[1]) + 1)}"
        named.parent.attributes.pop("id", None)
    # Programs for Office files lead to no heading by an address.
    converter = Converter(url, {} if archive else anchors(headings), page_chars=len(page), dropped=dropped)
    markdown = clean(converter.convert(body)).strip()
    title = markdown_outline.first_heading(markdown) or file_name(url)
    if archive:
        more = [*office_parts.left_out(url, archive, markdown, dropped)]
        markdown = clean("\n\n".join(filter(None, [markdown, *more])))
    if not markdown:
        raise UnsupportedContent(f"no text in {url}")
    return Extracted(
        title=title,
        markdown=markdown,
        links=absolute(url, [node.get("href") for node in nodes if node.tag == "a"]),
        anchors=markdown_outline.anchors(markdown, title, converter.anchor_of),
        dropped=dropped.totals(),
    )


def _adapt(nodes: list[Node]) -> None:
    """Change pandoc's notes, titles and languages of code, in place, to the form that ``Converter`` knows."""
    for node in nodes:
        if node.tag == "pre" and node.classes:
            node.attributes["data-lang"] = node.get("class").split()[0]
        elif node.tag == "div" and "title" in node.classes and node.parent:
            node.classes = frozenset({"admonition-title"})
            if node.parent.classes & KNOWN:
                node.parent.classes |= {"admonition"}
        elif node.tag == "a" and "footnote-back" in node.classes:
            detach([node])
        elif node.tag == "a" and "footnote-ref" in node.classes:
            node.children = [f"[{node.words()}]"]
