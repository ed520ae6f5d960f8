"""YAML or JSON → the objects of an OpenAPI document, and what its references lead to.

YAML is read by libyaml as YAML 1.2 means it: ``on``, ``no`` and dates stay words. References are followed within the
document only. Raises ``UnsupportedContent`` for a text that is no OpenAPI document of version 2 or 3, cannot be parsed,
or grows out of proportion by merging.
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import unquote

import yaml

from ingestion.exceptions import UnsupportedContent

# Merging (``<<``) may double a mapping again and again; large descriptions of interfaces merge some hundred keys.
MAX_MERGED = 100_000
MAX_DEPTH = 100
# A reference may lead to another one.
MAX_HOPS = 20
_VERSION = re.compile(r"2\.0|3\.\d+(?:\.\d+)?\b")

Object = dict[str, Any]


class TooLargeError(ValueError):
    """A document that merges more than any that people write."""


class _Loader(yaml.CSafeLoader):
    """A safe loader with the scalars of YAML 1.2 and bounded merging."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 (PyYAML's own attribute)
    merged = depth = 0

    def descend_resolver(self, parent: yaml.Node, index: Any) -> None:
        """Count a level of nesting. Raise TooLargeError when there are too many.

        libyaml recurses, and a file of 1 500 levels ended the process.
        """
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise TooLargeError(f"it is nested more than {MAX_DEPTH} levels deep")

    def ascend_resolver(self) -> None:
        """Take back the count of a level of nesting, which ends here."""
        self.depth -= 1

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merge the mappings that ``<<`` names into this one. Raise TooLargeError if they have too many entries.

        The named mappings are merged first, so that the size is known before it is multiplied.
        """
        for key, value in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                for source in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    if isinstance(source, yaml.MappingNode):
                        self.flatten_mapping(source)
                        self.merged += len(source.value)
        if self.merged > MAX_MERGED:
            raise TooLargeError(f"it merges more than {MAX_MERGED} entries")
        super().flatten_mapping(node)


for tag, pattern, first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    # Longer rows of digits, and those that begin with a zero, are no numbers to count with: they stay as written.
    ("int", r"[-+]?(?:0|[1-9]\d{0,99})", "-+0123456789"),
    ("float", r"[-+]?(?:\.\d+|\d+\.\d*|\d+(?=[eE]))(?:[eE][-+]?\d+)?", "-+0123456789."),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("merge", r"<<", "<"),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{tag}",
        re.compile(f"(?:{pattern})$"),
        list(first.replace("\0", "")) + [""] * ("\0" in first),
    )


def load(url: str, text: str) -> Object:
    """Return the OpenAPI document in a text of YAML or JSON.

    Raise UnsupportedContent if the text cannot be read, or is no document of version 2.0 or 3.
    """
    try:
        root = json.loads(text) if text.lstrip()[:1] == "{" else yaml.load(text, Loader=_Loader)  # noqa: S506 (it is safe)
    except (ValueError, RecursionError, yaml.YAMLError, TypeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UnsupportedContent(f"{url} is no readable YAML or JSON ({reason}); correct or exclude it") from error
    version = root.get("openapi", root.get("swagger")) if isinstance(root, dict) else None
    if not _VERSION.match(str(version)):
        raise UnsupportedContent(
            f"{url} is no OpenAPI document of version 2.0 or 3; only those are read, so exclude it"
        )
    document: Object = root
    return document


def resolve(root: Object, value: Any) -> Object:
    """Return an object, or the one in the document that its reference leads to; empty if that leads nowhere."""
    for _ in range(MAX_HOPS):
        if not isinstance(value, dict):
            return {}
        reference = value.get("$ref")
        if not isinstance(reference, str):
            return value
        if not reference.startswith("#/"):
            return {key: part for key, part in value.items() if key != "$ref"}
        siblings = {key: part for key, part in value.items() if key in ("summary", "description")}
        value = _at(root, reference)
        value = value | siblings if siblings and isinstance(value, dict) else value
    return {}


def _at(root: Object, pointer: str) -> Any:
    """Return what a JSON pointer leads to, or None."""
    here: Any = root
    for part in unquote(pointer[2:]).split("/"):
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(here, dict):
            here = here.get(key, here.get(int(key)) if key.isdecimal() and len(key) < 6 else None)
        elif isinstance(here, list) and key.isdecimal() and len(key) < 6 and int(key) < len(here):
            here = here[int(key)]
        else:
            return None
    return here
