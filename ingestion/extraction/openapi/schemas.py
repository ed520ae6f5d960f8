"""A schema of an OpenAPI document → the name of its type, and a table of its properties.

A named schema is shown once, in the section of models, and by its name elsewhere. Objects within objects are rows with
dotted names. Everything else that a schema says (limits, formats, values) stands beside its description.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ingestion.extraction.openapi.loader import Object, resolve
from ingestion.extraction.openapi.room import Room
from ingestion.extraction.pipe_table import pipe_table

# Objects within objects; deeper ones are shown by their type.
MAX_DEPTH = 6
MAX_TYPE_DEPTH = 4
# Schemas that are looked at for a document, each time counted: an alias may stand for a large part again and again.
MAX_SCHEMAS = 500_000
# Parts of an example, and how deep they stand in one another.
MAX_PARTS, MAX_EXAMPLE_DEPTH = 3000, 30
STRUCTURE = frozenset({
    "$ref", "type", "properties", "required", "description", "title", "items", "allOf", "oneOf", "anyOf",
    "additionalProperties", "example", "examples", "xml", "schema", "content",
})  # fmt: skip


class Schemas:
    """Writes the schemas of one document."""

    def __init__(self, root: Object, room: Room) -> None:
        self._root, self._room = root, room
        self._left = MAX_SCHEMAS

    def type_of(self, schema: Any, depth: int = MAX_TYPE_DEPTH) -> str:
        """Return the type of a schema in a few words: ``array of Pet``, ``string (date)``, ``Cat or Dog``."""
        self._left -= 1
        if not isinstance(schema, dict) or depth == 0 or self._left < 0:
            return "any"
        if isinstance(schema.get("$ref"), str):
            return str(schema["$ref"].rpartition("/")[2])
        for key, word in (("oneOf", " or "), ("anyOf", " or "), ("allOf", " and ")):
            if isinstance(schema.get(key), list):
                return word.join(dict.fromkeys(self.type_of(part, depth - 1) for part in schema[key][:20]))
        kind = schema.get("type") or ("object" if "properties" in schema else "array" if "items" in schema else "any")
        name = " or ".join(map(str, kind)) if isinstance(kind, list) else str(kind)
        if "items" in schema:
            name += f" of {self.type_of(schema['items'], depth - 1)}"
        if isinstance(schema.get("additionalProperties"), dict) and schema["additionalProperties"]:
            name += f" with values of {self.type_of(schema['additionalProperties'], depth - 1)}"
        return f"{name} ({schema['format']})" if isinstance(schema.get("format"), str) else name

    def table(self, schema: Any) -> str:
        """Return the properties of a schema, or of the one that its reference names, as a table; empty without any."""
        rows = list(self._rows(schema, "", MAX_DEPTH, named=True))
        return pipe_table([["Property", "Type", "Required", "Description"], *rows]) if rows else ""

    def _rows(self, schema: Any, prefix: str, depth: int, *, named: bool = False) -> Iterator[list[str]]:
        """Yield (name, type, required, notes) for each property; those of another named schema only if ``named``."""
        self._left -= 1
        if not isinstance(schema, dict) or depth == 0 or self._left < 0 or ("$ref" in schema and not named):
            return
        found = resolve(self._root, schema)
        if isinstance(found.get("items"), dict):
            yield from self._rows(found["items"], f"{prefix.removesuffix('.')}[].", depth - 1)
        for part in (part for key in ("allOf", "oneOf", "anyOf") for part in as_list(found.get(key))):
            yield from self._rows(part, prefix, depth - 1)
        yield from self._rows(found.get("additionalProperties"), f"{prefix}*.", depth - 1)
        required = {str(name) for name in as_list(found.get("required"))}
        for name, value in as_dict(found.get("properties")).items():
            shown = f"{prefix}{name}"
            yield [f"`{shown}`", self.type_of(value), "yes" if str(name) in required else "", self.notes(value)]
            yield from self._rows(value, f"{shown}.", depth - 1)

    def notes(self, schema: Any, depth: int = MAX_TYPE_DEPTH) -> str:
        """Return a schema's description, and what else it says of its values, each cut if the page has no room."""
        if not isinstance(schema, dict) or depth == 0:
            return ""
        parts = [str(schema[key]) for key in ("title", "description") if isinstance(schema.get(key), str)]
        items = as_dict(schema.get("items"))
        parts += [f"Items: {notes}" for notes in [self.notes(items, depth - 1)] if notes and "$ref" not in items]
        for key, value in schema.items():
            if key not in STRUCTURE and key != "format" and not str(key).startswith("x-"):
                parts.append(f"{key}: {shown_value(value)}")
        if "example" in schema:
            parts.append(f"Example: {shown_value(schema['example'])}")
        parts += [f"Example: {shown_value(value)}" for value in as_list(schema.get("examples"))]
        parts = [self._room.cut(part) for part in parts]
        return " ".join(part if part.endswith((".", "!", "?")) else f"{part}." for part in parts)


def shown_value(value: Any) -> str:
    """Return a value as it is written, a list by its parts."""
    if isinstance(value, list) and not any(isinstance(part, list | dict) for part in value):
        return ", ".join(map(shown_value, value[:1000]))
    if isinstance(value, str):
        return value
    return json.dumps(bounded(value, [MAX_PARTS]), ensure_ascii=False, default=str)


def bounded(value: Any, parts: list[int], depth: int = MAX_EXAMPLE_DEPTH) -> Any:
    """Return a copy of a value that has no more parts than ``parts[0]``; an ellipsis stands for the others."""
    parts[0] -= 1
    if parts[0] < 0 or depth == 0:
        return "…"
    if isinstance(value, dict):
        return {str(key): bounded(part, parts, depth - 1) for key, part in value.items() if parts[0] > 0}
    if isinstance(value, list):
        return [bounded(part, parts, depth - 1) for part in value[: parts[0]] if parts[0] > 0]
    return value


def as_dict(value: Any) -> Object:
    """Return ``value`` itself if it is a mapping, otherwise a new empty one."""
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """Return ``value`` itself if it is a list, otherwise a new empty one."""
    return value if isinstance(value, list) else []
