"""The parts that all sections of an OpenAPI page are made of: headings, descriptions, examples, links."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ingestion import markdown_outline
from ingestion.extraction.code_fence import fence
from ingestion.extraction.markdown import reader as markdown_reader
from ingestion.extraction.openapi.loader import Object, resolve
from ingestion.extraction.openapi.schemas import MAX_PARTS, Schemas, as_dict, as_list, bounded
from ingestion.extraction.sanitize import clean

# Text of all examples: an alias may stand for a large one again and again.
MAX_EXAMPLE_CHARS = 3_000_000


class Parts:
    """Writes parts of the page of one document; ``fragments`` has one for each heading so far, in order."""

    def __init__(self, url: str, root: Object) -> None:
        self.url, self.root = url, root
        self.schemas = Schemas(root)
        self.fragments: list[str] = []
        self._room = MAX_EXAMPLE_CHARS

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
            self._room -= len(shown)
            if self._room > 0:
                yield f"Example {name}".strip() + ":"
                yield fence(shown, "" if isinstance(value, str) else "json")

    def heading(self, level: int, words: str, pointer: str) -> str:
        """Return a heading in Markdown, its white space made single spaces, and add ``pointer`` to ``fragments``."""
        self.fragments.append(clean(pointer))
        return f"{'#' * level} {' '.join(words.split())}"

    def text(self, text: Any, level: int) -> str:
        """Return a description, which is Markdown, with its headings below the one of this level."""
        if not isinstance(text, str) or not text.strip():
            return ""
        if "\n" not in text.strip():
            return text.strip().lstrip("#").strip()
        markdown = markdown_reader.read(self.url, text).markdown
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
        return " ".join(str(link[key]) for key in ("description", "url") if link.get(key))


def line(name: str, value: Any) -> str:
    """Return ``name: value``, or an empty string if ``value`` is empty, False or None."""
    return f"{name}: {value}" if value or (value == 0 and value is not False) else ""
