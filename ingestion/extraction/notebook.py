"""Notebook (.ipynb of Jupyter, formats 3 and 4) → Markdown: its text, its code as fences, the start of its outputs.

The JSON is read by hand: the `nbformat` package brings a JSON Schema validator and refuses notebooks that are slightly
off, while only four keys are needed here. Pictures and widgets are left out; they hold no words to find. What changes
with each run (addresses of objects, timings) is left out too, so that a notebook that was run again stays the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from ingestion.exceptions import UnsupportedContent
from ingestion.extraction import plain
from ingestion.extraction.dropped import DroppedWords
from ingestion.extraction.html.parser import parse
from ingestion.extraction.markdown import front_matter, reader
from ingestion.extraction.markdown.dialect import Page, code_html
from ingestion.extraction.markdown.parser import TooMuchMarkup, to_html
from ingestion.extraction.sanitize import clean
from ingestion.types import Extracted

# Enough to recognise an output: logs and tables run to megabytes.
MAX_OUTPUT_LINES, MAX_OUTPUT_CHARS = 12, 800
MAX_HTML_CHARS = 20_000
WIDGET = "application/vnd.jupyter.widget-view+json"
DEFAULT_LANGUAGE = "python"

_ESCAPE_SEQUENCE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
# A picture in a text cell may be a data address of megabytes.
_DATA = re.compile(r"data:[\w/+.-]{1,60};base64,[A-Za-z0-9+/=%]*")
_MAGIC = re.compile(r"%%(bash|sh|html|javascript|js|latex|markdown|sql|perl|ruby|R|cython)\b")
_LANGUAGE = re.compile(r"[A-Za-z][\w+#.-]{0,19}")
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]{4,16}(?=>)")
_OBJECTS = re.compile(r"[\[\](){},\s]*(?:<[^<>\n]*(?:<[^<>\n]*>[^<>\n]*)*>[\[\](){},.…\s]*)+$")
_DRAWN = re.compile(r"[\[(]*<(?:Figure|\w*Axes\w*)\b.*>[\]),]*$|<[\w.]+ object>$")
_TIMING = re.compile(r"(?:CPU times|Wall time): |.{0,40}± .{1,40} per loop|.{0,80}\d%\|.*\d(?:it/s|s/it|B/s)")


def read(url: str, text: str) -> Extracted:
    """Return a notebook as Markdown. Raises UnsupportedContent for a text that is no notebook."""
    book = _parsed(url, text)
    metadata = _dict(book.get("metadata"))
    # ``language_info`` is written when a notebook is run, ``kernelspec`` when it is made.
    named = (_dict(metadata.get("language_info")).get("name"), _dict(metadata.get("kernelspec")).get("language"))
    language = next((n.lower() for n in named if isinstance(n, str) and _LANGUAGE.fullmatch(n)), DEFAULT_LANGUAGE)
    # Format 3 keeps its cells in worksheets.
    sheets = [book] if isinstance(book.get("cells"), list) else _dicts(book["worksheets"])
    cells = [cell for sheet in sheets for cell in _dicts(sheet.get("cells"))]
    words = "\n".join(_text(cell.get("source")) for cell in cells if cell.get("cell_type") == "markdown")
    if plain.has_too_many_lines(words):
        return plain.read(url, words)
    dropped = DroppedWords()
    title, parts, links = _text(metadata.get("title")), [], []
    for cell in cells:
        if cell.get("cell_type") == "raw":  # Quarto keeps the front matter in one
            front, rest = front_matter.split(f"{_text(cell.get('source')).strip()}\n")
            title = title or front
            dropped.add("raw cells", rest)
        for html, found in _blocks(cell, language, dropped):
            parts.append(parse(html).root)
            links += found
    return reader.assembled(url, clean(title), parts, dropped, size=len(text), links=links)


def _parsed(url: str, text: str) -> dict[str, Any]:
    """Return the JSON object of a notebook. Raise UnsupportedContent for a text that is no JSON or has no cells."""
    try:
        book = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnsupportedContent(f"{url} is no readable notebook ({error}); open it in Jupyter and save it") from error
    if not isinstance(book, dict) or not isinstance(book.get("cells", book.get("worksheets")), list):
        raise UnsupportedContent(f"{url} is JSON but no notebook: it has no cells; exclude it")
    return book


Block = tuple[str, list[str]]  # HTML and the addresses that are defined beside it


def _blocks(cell: dict[str, Any], language: str, dropped: DroppedWords) -> Iterator[Block]:
    """Yield the HTML of a cell: its text, or its code and outputs."""
    kind, source = cell.get("cell_type"), clean(_text(cell.get("source", cell.get("input"))))
    if kind == "markdown":
        yield _markdown(source, dropped)
    elif kind == "heading":  # format 3
        level = cell.get("level")
        marks = "#" * (level if isinstance(level, int) and 0 < level < 7 else 1)
        yield _markdown(f"{marks} {' '.join(source.split())}", dropped)
    elif kind == "code" and source.strip():
        magic = _MAGIC.match(source)
        own = cell.get("language")  # format 3
        language = magic.group(1) if magic else own if isinstance(own, str) else language
        yield code_html(_DATA.sub("", source), language), []
        yield from _outputs(cell, dropped)


def _markdown(text: str, dropped: DroppedWords) -> Block:
    """Return the HTML of Markdown; of one with more markup than anybody writes, its words."""
    text = _DATA.sub("", text)
    try:
        html, definitions = to_html(Page(text, False, dropped))
    except TooMuchMarkup:
        return code_html(text, ""), []
    return html, [definition["href"] for definition in definitions.values()]


def _outputs(cell: dict[str, Any], dropped: DroppedWords) -> Iterator[Block]:
    """Yield the start of a cell's outputs: plain text as a block of code, what has none as Markdown or HTML."""
    shown: list[str] = []
    rich: list[Block] = []
    for output in _dicts(cell.get("outputs")):
        if output.get("output_type") in ("error", "pyerr"):
            shown.append(f"{_text(output.get('ename'))}: {_text(output.get('evalue'))}")
            continue
        data = _dict(output.get("data")) or output  # format 3 has no data
        text = _without_noise(_text(output.get("text", data.get("text/plain"))), dropped)
        if WIDGET in data:  # its plain text is how Python writes the object
            dropped.add("widgets", text)
            continue
        markdown, html = _text(data.get("text/markdown")), _text(data.get("text/html", data.get("html")))
        if markdown:
            rich.append(_markdown(clean(_short(markdown, dropped)), dropped))
        elif text.strip() or not html:
            shown.append(text or _text(data.get("text/latex")))
        else:
            dropped.add("long outputs", html[MAX_HTML_CHARS:])
            rich.append((html[:MAX_HTML_CHARS], []))
    text = _short("\n".join(words.strip("\n") for words in shown if words.strip()), dropped)
    if text:
        yield code_html(text, ""), []
    yield from rich


def _without_noise(text: str, dropped: DroppedWords) -> str:
    """Return an output without what each run prints anew: addresses of objects, figures, timings."""
    kept = []
    dropped.add("long outputs", text[10 * MAX_OUTPUT_CHARS :])
    for line in clean(_ESCAPE_SEQUENCE.sub("", text[: 10 * MAX_OUTPUT_CHARS])).split("\n"):
        without = _ADDRESS.sub("", line)
        if _TIMING.match(line):
            dropped.add("timings", line)
        elif (without != line and _OBJECTS.match(line)) or _DRAWN.match(line):
            dropped.add("addresses of objects and figures", line)
        else:
            kept.append(without)
    return "\n".join(kept)


def _short(text: str, dropped: DroppedWords) -> str:
    """Return the first lines of an output, up to the limits, with an ellipsis after them if there are more."""
    text = _DATA.sub("", _ESCAPE_SEQUENCE.sub("", text))
    lines = [line.rstrip() for line in text[:MAX_OUTPUT_CHARS].split("\n")]
    if len(text) <= MAX_OUTPUT_CHARS and len(lines) <= MAX_OUTPUT_LINES:
        return "\n".join(lines)
    kept = "\n".join(lines[:MAX_OUTPUT_LINES])
    dropped.add("long outputs", text[len(kept) :])
    return f"{kept}\n…"


def _text(value: object) -> str:
    """Return a string, which may be given as a list of its lines; empty for any other value."""
    if isinstance(value, list):
        return "".join(part for part in value if isinstance(part, str))
    return value if isinstance(value, str) else ""


def _dict(value: object) -> dict[str, Any]:
    """Return a value that is a JSON object as it is, an empty object in place of any other."""
    return value if isinstance(value, dict) else {}


def _dicts(value: object) -> list[dict[str, Any]]:
    """Return the objects in a list; none of any other value."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
