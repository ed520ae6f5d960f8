"""The parts that all sections of an OpenAPI page are made of: headings, descriptions, examples, links."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ingestion import markdown_outline
from ingestion.extraction.code_fence import fence
from ingestion.extraction.markdown import reader as markdown_reader
from ingestion.extraction.openapi.loader import Object, resolve
from ingestion.extraction.openapi.room import Room
from ingestion.extraction.openapi.schemas import MAX_PARTS, Schemas, as_dict, as_list, bounded
from ingestion.extraction.sanitize import clean

# Text of all examples: an alias may stand for a large one again and again.
MAX_EXAMPLE_CHARS = 3_000_000
REMARK = "*More is left out here: with all its repetitions, the page would be out of proportion to its file.*"


class Parts:
    """Writes parts of the page of one document; ``fragments`` has one for each heading so far, in order."""

    def __init__(self, url: str, root: Object, room: Room) -> None:
        self.url, self.root, self.room = url, root, room
        self.schemas = Schemas(root, room)
        self.fragments: list[str] = []
        self._examples_left = MAX_EXAMPLE_CHARS

    def examples(self, holder: Object) -> Iterator[str]:
        """Yield the examples in an object as fences, with their names and descriptions."""
        examples = [("", holder["example"])] if "example" in holder else []
        found = holder.get("examples")
        for name, value in found.items() if isinstance(found, dict) else (("", value) for value in as_list(found)):
            example = (
                resolve(self.root, value) if isinstance(value, dict) and ("value" in value or "$ref" in value) else {}
            )
            words = " ".join(str(example[key]) for key in ("summary", "description") if key in example)
            examples.append((f"{name}: {words}" if words else str(name), example.get("value", value)))
        for name, value in examples:
            shown = (
                value
                if isinstance(value, str)
                else json.dumps(bounded(value, [MAX_PARTS]), indent=2, ensure_ascii=False, default=str)
            )
            self._examples_left -= len(shown)
            if self._examples_left > 0:
                yield f"{one_line(f'Example {name}')}:"
                yield fence(shown, "" if isinstance(value, str) else "json")

    def heading(self, level: int, words: str, pointer: str) -> str:
        """Return a heading in Markdown, and add ``pointer``, which stands in for missing words, to ``fragments``."""
        self.fragments.append(clean(pointer))
        return f"{'#' * level} {one_line(clean(words)) or pointer}"

    def within_room(self, blocks: Iterator[str]) -> Iterator[str]:
        """Yield blocks; a remark stands for the first that the page has no room for, and for the rest."""
        headings = len(self.fragments)
        for block in blocks:
            if not self.room.takes(block):
                del self.fragments[headings:]
                yield REMARK
                return
            yield block
            headings = len(self.fragments)

    def text(self, text: Any, level: int) -> str:
        """Return a description, which is Markdown, with its headings below the one of this level."""
        if not isinstance(text, str) or not text.strip():
            return ""
        words: str = self.room.cut(text)
        if "\n" not in words.strip():
            return words.strip().lstrip("#").strip()
        markdown = markdown_reader.read(self.url, words).markdown
        blocks = []
        for kind, start, end in zip(*markdown_outline.scan(markdown), strict=True):
            block = markdown[start:end]
            if kind == markdown_outline.HEADING:
                depth, _ = markdown_outline.read_heading(block)
                block = "#" * (min(6, depth + level) - depth) + block
                self.fragments.append("")
            blocks.append(block)
        return "".join(blocks).strip()

    def links(self, holder: Object) -> str:
        """Return the description and address in an object's ``externalDocs``, a space between; empty without either."""
        link = as_dict(holder.get("externalDocs"))
        return one_line(*(link[key] for key in ("description", "url") if link.get(key))).lstrip("# ")


def line(name: str, value: Any) -> str:
    """Return ``name: value`` on one line, or an empty string if ``value`` is empty, False or None."""
    return one_line(f"{name}: {value}") if value or (value == 0 and value is not False) else ""


def one_line(*parts: Any) -> str:
    """Return the texts of some values on one line, where what looks like a heading is none."""
    return " ".join(" ".join(map(str, parts)).split())
