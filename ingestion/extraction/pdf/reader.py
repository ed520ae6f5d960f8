"""PDF → Markdown, its headings leading to their pages (``#page=3``), which viewers open.

PDFium reads the file, in a process of its own with limits on time and memory: it took a fifth to a seventeenth of the
time of pypdf and pdfminer.six for the same words, and it is hardened in browsers. Only text is read: scanned pages have
to go through a text recognition first.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from ingestion import markdown_outline
from ingestion.exceptions import FetchFailed, UnsupportedContent
from ingestion.extraction import child_process
from ingestion.extraction.dropped import DroppedWords
from ingestion.extraction.links import BARE_LINK, absolute, file_name
from ingestion.extraction.pdf import contents, running_titles
from ingestion.extraction.pdf.headings import Entry, Heading
from ingestion.extraction.pdf.layout import Block, Verbatim, blocks
from ingestion.extraction.pdf.lines import in_reading_order, segments
from ingestion.extraction.sanitize import clean
from ingestion.types import Extracted, Json

# 1 000 pages of manuals took 6 to 9 s.
CPU_SECONDS = 40
CHILD = Path(__file__).with_name("pdfium_program.py")
# Page numbers and stamps on scanned pages are no text.
LEAST_CHARS_PER_PAGE = 5
# What programs write when nobody gave a title.
_NO_TITLE = re.compile(
    r"untitled|microsoft word|powerpoint|\(anonymous\)|\.(?:docx?|dvi|indd|tex|pdf|qxd|pptx?)$", re.IGNORECASE
)
_WHY = {
    "password": "is protected by a password; save it without one",
    "damaged": "is damaged; open it in a viewer and save it again",
}


def read(url: str, body: bytes) -> Extracted:
    """Return a PDF as Markdown.

    Raises UnsupportedContent if it is damaged, protected, too large or has no text.
    """
    found = _run_child(url, body)
    dropped = DroppedWords()
    turned = [segments(page) for page in found["pages"]]
    upright = running_titles.without([part[0] if part else [] for part in turned], dropped)
    pages = [
        [line for part in (first, *others[1:]) for line in in_reading_order(part)]
        for first, others in zip(upright, turned, strict=True)
    ]
    if sum(len(line.text) for page in pages for line in page) < LEAST_CHARS_PER_PAGE * max(1, len(pages)):
        raise UnsupportedContent(f"{url} has no text layer, only pictures; run a text recognition (OCR) on it first")
    entries = [Entry(level + 1, clean(title), page, height) for level, title, page, height in found["outline"]]
    shown = blocks(contents.without(pages, dropped), sorted(entries, key=lambda entry: entry.page))
    parts = [_markdown(block) for block in shown]
    if len(pages) < found["count"]:
        parts.append(f"(Only the first {len(pages)} of {found['count']} pages were read.)")
    markdown = clean("\n\n".join(parts))
    fragments = iter([f"page={block.page + 1}" for block in shown if isinstance(block, Heading)])
    named = (block.words for block in shown if isinstance(block, Heading) and (entries or block.page == 0))
    title = _title(found["title"]) or next((words for words in named if words != "Page 1"), "") or file_name(url)
    return Extracted(
        title=title,
        markdown=markdown,
        links=absolute(url, BARE_LINK.findall(markdown)),
        anchors=markdown_outline.anchors(markdown, title, lambda _: next(fragments, "")),
        dropped=dropped.totals(),
    )


def _markdown(block: Block) -> str:
    """Return a block in Markdown: a heading with as many marks as its level says, anything else as it is."""
    if isinstance(block, Heading):
        return f"{'#' * block.level} {block.words}"
    return block.markdown if isinstance(block, Verbatim) else block


def _run_child(url: str, body: bytes) -> Json:
    """Return what ``pdfium_program`` writes about the file.

    Raises UnsupportedContent, and FetchFailed if the library is not installed here.
    """
    try:
        output = child_process.run([sys.executable, "-I", "-W", "ignore", str(CHILD)], body, cpu_seconds=CPU_SECONDS)
    except child_process.ChildFailed as error:
        if "ModuleNotFoundError" in str(error):
            raise FetchFailed(f"{url} cannot be read: {error}; install what requirements.txt names") from None
        raise UnsupportedContent(
            f"{url} needs more time or memory than a document may have ({error}); split it or exclude it"
        ) from None
    found: Json = json.loads(output)
    if "error" in found:
        raise UnsupportedContent(f"{url} {_WHY[found['error']]}")
    return found


def _title(title: str) -> str:
    """Return the title in the file's metadata, or an empty string if a program made it up."""
    title = " ".join(clean(title).split())
    return "" if _NO_TITLE.search(title) else title[:300]
