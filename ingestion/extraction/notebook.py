"""Notebook (.ipynb of Jupyter, formats 3 and 4) → Markdown: its text, its code as fences, the start of its outputs.

By hand over JSON: the `nbformat` package brings a JSON Schema validator and refuses what is slightly off,
while a page needs four keys. Pictures, widgets and HTML outputs are left out; they hold no words to find.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from ingestion.exceptions import UnsupportedContent
from ingestion.extraction import plain
from ingestion.extraction.markdown import reader
from ingestion.extraction.rst.lines import fence
from ingestion.extraction.sanitize import clean
from ingestion.types import Extracted

# Outputs are there to be recognised, not to be read: logs and tables run to megabytes.
MAX_OUTPUT_LINES, MAX_OUTPUT_CHARS = 12, 800
DEFAULT_LANGUAGE = "python"

_ESCAPE_SEQUENCE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|\[\d{1,2}(?:;\d{1,3})*m")
# A data address is all bytes; a picture in a text cell may be megabytes of it.
_DATA = re.compile(r"data:[\w/+.-]{1,60};base64,[A-Za-z0-9+/=%]*")
_MAGIC = re.compile(r"%%(bash|sh|html|javascript|js|latex|markdown|sql|perl|ruby|R|cython)\b")
_LANGUAGE = re.compile(r"[A-Za-z][\w+#.-]{0,19}")


def read(url: str, text: str) -> Extracted:
    book = _parsed(url, text)
    language = _language(book)
    blocks = [block for cell in _cells(book) for block in _blocks(cell, language)]
    text = clean("\n\n".join([*_front_matter(book), *filter(str.strip, blocks)]))
    text = _DATA.sub("", text)
    return plain.read(url, text) if plain.is_all_that_can_be_read(text) else reader.read(url, text)


def _parsed(url: str, text: str) -> dict[str, Any]:
    try:
        book = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnsupportedContent(f"{url} is no readable notebook ({error}); open it in Jupyter and save it") from error
    if not isinstance(book, dict) or not isinstance(book.get("cells", book.get("worksheets")), list):
        raise UnsupportedContent(f"{url} is JSON but no notebook: it has no cells; exclude it")
    return book


def _cells(book: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Format 3 keeps its cells in worksheets."""
    sheets = [book] if isinstance(book.get("cells"), list) else [s for s in book["worksheets"] if isinstance(s, dict)]
    for sheet in sheets:
        cells = sheet.get("cells")
        yield from (cell for cell in (cells if isinstance(cells, list) else []) if isinstance(cell, dict))


def _front_matter(book: dict[str, Any]) -> list[str]:
    title = _of(book, "metadata").get("title")
    return [f"---\ntitle: {json.dumps(title, ensure_ascii=False)}\n---"] if isinstance(title, str) and title else []


def _language(book: dict[str, Any]) -> str:
    """Of the kernel: ``language_info`` is written when a notebook is run, ``kernelspec`` when it is made."""
    metadata = _of(book, "metadata")
    named = (_of(metadata, "language_info").get("name"), _of(metadata, "kernelspec").get("language"))
    return next((n.lower() for n in named if isinstance(n, str) and _LANGUAGE.fullmatch(n)), DEFAULT_LANGUAGE)


def _blocks(cell: dict[str, Any], language: str) -> Iterator[str]:
    kind, source = cell.get("cell_type"), _text(cell.get("source", cell.get("input")))
    if kind == "markdown":
        yield source
    elif kind == "heading":  # format 3
        level = cell.get("level")
        yield f"{'#' * (level if isinstance(level, int) and 0 < level < 7 else 1)} {' '.join(source.split())}"
    elif kind == "code" and source.strip():
        magic = _MAGIC.match(source)
        own = cell.get("language")  # format 3
        yield fence(source.split("\n"), magic.group(1) if magic else own if isinstance(own, str) else language)
        yield from _outputs(cell)


def _outputs(cell: dict[str, Any]) -> Iterator[str]:
    outputs = cell.get("outputs")
    shown = [_output(output) for output in (outputs if isinstance(outputs, list) else []) if isinstance(output, dict)]
    text = _short("\n".join(words.strip("\n") for words in shown if words.strip()))
    if text:
        yield fence(text.split("\n"))


def _output(output: dict[str, Any]) -> str:
    """The plain text of an output; of an error its name and its message, not where it came from."""
    if output.get("output_type") in ("error", "pyerr"):
        return f"{_text(output.get('ename'))}: {_text(output.get('evalue'))}"
    plain = _of(output, "data").get("text/plain")
    return _text(output.get("text") if plain is None else plain)


def _short(text: str) -> str:
    """The first lines; a fence that ends with an ellipsis was longer."""
    text = _ESCAPE_SEQUENCE.sub("", text)
    lines = [line.rstrip() for line in text[:MAX_OUTPUT_CHARS].split("\n")]
    is_cut = len(text) > MAX_OUTPUT_CHARS or len(lines) > MAX_OUTPUT_LINES
    return "\n".join(lines[:MAX_OUTPUT_LINES]) + ("\n…" if is_cut else "")


def _text(value: object) -> str:
    """A string, or a list of its lines."""
    if isinstance(value, list):
        return "".join(part for part in value if isinstance(part, str))
    return value if isinstance(value, str) else ""


def _of(holder: dict[str, Any], name: str) -> dict[str, Any]:
    found = holder.get(name)
    return found if isinstance(found, dict) else {}
