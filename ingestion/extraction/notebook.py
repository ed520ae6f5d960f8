"""Notebook (.ipynb of Jupyter, formats 3 and 4) → Markdown: its text, its code as fences, the start of its outputs.

The JSON is read by hand: the `nbformat` package brings a JSON Schema validator and refuses notebooks that are slightly
off, while only four keys are needed here. Pictures, widgets and HTML outputs are left out; they hold no words to find.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from ingestion.exceptions import UnsupportedContent
from ingestion.extraction import plain
from ingestion.extraction.markdown import reader
from ingestion.extraction.markdown.lines import fence
from ingestion.extraction.sanitize import clean
from ingestion.types import Extracted

# Enough to recognise an output: logs and tables run to megabytes.
MAX_OUTPUT_LINES, MAX_OUTPUT_CHARS = 12, 800
DEFAULT_LANGUAGE = "python"

_ESCAPE_SEQUENCE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|\[\d{1,2}(?:;\d{1,3})*m")
# A picture in a text cell may be a data address of megabytes.
_DATA = re.compile(r"data:[\w/+.-]{1,60};base64,[A-Za-z0-9+/=%]*")
_MAGIC = re.compile(r"%%(bash|sh|html|javascript|js|latex|markdown|sql|perl|ruby|R|cython)\b")
_LANGUAGE = re.compile(r"[A-Za-z][\w+#.-]{0,19}")


def read(url: str, text: str) -> Extracted:
    """Return a notebook as Markdown. Raises UnsupportedContent for a text that is no notebook."""
    book = _parsed(url, text)
    metadata = _dict(book.get("metadata"))
    # ``language_info`` is written when a notebook is run, ``kernelspec`` when it is made.
    named = (_dict(metadata.get("language_info")).get("name"), _dict(metadata.get("kernelspec")).get("language"))
    language = next((n.lower() for n in named if isinstance(n, str) and _LANGUAGE.fullmatch(n)), DEFAULT_LANGUAGE)
    title = metadata.get("title")
    front_matter = (
        f"---\ntitle: {json.dumps(title, ensure_ascii=False)}\n---" if isinstance(title, str) and title else ""
    )
    # Format 3 keeps its cells in worksheets.
    sheets = [book] if isinstance(book.get("cells"), list) else _dicts(book["worksheets"])
    cells = [cell for sheet in sheets for cell in _dicts(sheet.get("cells"))]
    blocks = [front_matter, *(block for cell in cells for block in _blocks(cell, language))]
    text = _DATA.sub("", clean("\n\n".join(filter(str.strip, blocks))))
    return plain.read(url, text) if plain.has_too_many_lines(text) else reader.read(url, text)


def _parsed(url: str, text: str) -> dict[str, Any]:
    """Return the notebook's JSON. Raises UnsupportedContent for another text."""
    try:
        book = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnsupportedContent(f"{url} is no readable notebook ({error}); open it in Jupyter and save it") from error
    if not isinstance(book, dict) or not isinstance(book.get("cells", book.get("worksheets")), list):
        raise UnsupportedContent(f"{url} is JSON but no notebook: it has no cells; exclude it")
    return book


def _blocks(cell: dict[str, Any], language: str) -> Iterator[str]:
    """Yield the Markdown of a cell: its text, or its code and outputs as fences."""
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
    """Yield a fence with the start of a cell's outputs: their plain text, of errors the name and the message."""
    shown: list[str] = []
    for output in _dicts(cell.get("outputs")):
        if output.get("output_type") in ("error", "pyerr"):
            shown.append(f"{_text(output.get('ename'))}: {_text(output.get('evalue'))}")
        else:
            plain_text = _dict(output.get("data")).get("text/plain")
            shown.append(_text(output.get("text") if plain_text is None else plain_text))
    text = _short("\n".join(words.strip("\n") for words in shown if words.strip()))
    if text:
        yield fence(text.split("\n"))


def _short(text: str) -> str:
    """Return the first lines, with an ellipsis after them if there are more."""
    text = _ESCAPE_SEQUENCE.sub("", text)
    lines = [line.rstrip() for line in text[:MAX_OUTPUT_CHARS].split("\n")]
    is_cut = len(text) > MAX_OUTPUT_CHARS or len(lines) > MAX_OUTPUT_LINES
    return "\n".join(lines[:MAX_OUTPUT_LINES]) + ("\n…" if is_cut else "")


def _text(value: object) -> str:
    """Return a string, which may be given as a list of its lines; empty for any other value."""
    if isinstance(value, list):
        return "".join(part for part in value if isinstance(part, str))
    return value if isinstance(value, str) else ""


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _dicts(value: object) -> list[dict[str, Any]]:
    """Return the objects in a list; none of any other value."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
