"""A program: a PDF on standard input → its lines with their positions, its outline and its title as JSON.

It runs in a process of its own, under limits that the kernel enforces: PDFium is C++ that cannot be interrupted from
Python, and a file of a few KB may unfold to gigabytes. It imports nothing of the project.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pypdfium2

# 48 pages of text took 0.4 s and 40 MB, a picture book of 8 MB 0.8 s and 50 MB; PDFium maps far more than it uses.
CPU_SECONDS, MEMORY_BYTES = 30, 512 * 1024**2
# The PDF reference has 1 300 pages and 6 MB of text.
MAX_PAGES, MAX_CHARS, MAX_LINES_OF_PAGE, MAX_OUTLINE = 3000, 8_000_000, 3000, 5000
OUTLINE_DEPTH = 6
PASSWORD_ERROR = 4
# Kinds of destinations that name a position on their page: by left, top, zoom, or by top.
XYZ, FIT_HORIZONTALLY = 1, 3


def main() -> None:
    """Write the document's title, number of pages, outline and lines, or the error in it, to standard output."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 1))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(sys.stdin.buffer.read())
    except pypdfium2.PdfiumError as error:
        found: dict[str, Any] = {"error": "password" if error.err_code == PASSWORD_ERROR else "damaged"}
    else:
        found = {
            "title": document.get_metadata_dict().get("Title", ""),
            "count": len(document),
            "outline": list(islice(outline(document), MAX_OUTLINE)),
            "pages": list(pages(document)),
        }
    json.dump(found, sys.stdout)


def outline(document: pypdfium2.PdfDocument) -> Iterator[tuple[int, str, int, float | None]]:
    """Yield (level, title, page from 0, height on the page or None) of each entry of the outline."""
    for bookmark in document.get_toc(max_depth=OUTLINE_DEPTH):
        target = bookmark.get_dest()
        page = target.get_index() if target else None
        if target is None or page is None:
            continue
        mode, numbers = target.get_view()
        height = {XYZ: numbers[1:2], FIT_HORIZONTALLY: numbers[:1]}.get(mode, [])
        yield bookmark.level, bookmark.get_title(), page, height[0] if height and height[0] else None


def pages(document: pypdfium2.PdfDocument) -> Iterator[list[tuple[str, float, float]]]:
    """Yield the lines of each page; a damaged page has none."""
    left = MAX_CHARS
    for number in range(min(len(document), MAX_PAGES)):
        try:
            page = document[number]
            shown = list(islice(lines(page.get_textpage()), MAX_LINES_OF_PAGE))
            page.close()
        except Exception:  # one damaged page; the library raises several things
            shown = []
        left -= sum(len(text) for text, _, _ in shown)
        if left < 0:
            return
        yield shown


def lines(page: pypdfium2.PdfTextPage) -> Iterator[tuple[str, float, float]]:
    """Yield (text, bottom, top) of each line, by the box of its first character."""
    position = 0
    for line in page.get_text_range().split("\n"):
        start = position + len(line) - len(line.lstrip())
        position += len(line) + 1
        if line.strip():
            _, bottom, _, top = page.get_charbox(start, loose=True)
            yield line.strip(), bottom, top


if __name__ == "__main__":
    main()
