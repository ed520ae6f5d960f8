"""A component, shortcode or container by its name and properties → the words that readers see of it.

Notes and tabs have a title; facts of an API stand in properties (``method``, ``path``, ``type``, ``required``); other
properties say how something looks. No name of a component is shown, except that of a known kind of note.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

from ingestion.extraction.admonitions import KNOWN, label

NOTES = KNOWN | {"admonition", "alert", "aside", "callout", "hint", "notice", "box"}
TABS = {"accordion", "codetab", "content", "option", "step", "tab", "tab-item", "tabitem", "tabpanel", "tabspanel"}
# They only hold others, or show a picture: what names them is for the machine.
GROUPS = {"accordiongroup", "cards", "codegroup", "columns", "grid", "icon", "row", "steps", "tabs", "tabset"}
TITLES = ("label", "title", "header", "heading", "summary")
# In this order a note says which kind it is.
KINDS = ("type", "style", "kind", "variant", "intent", "color", "status", "level", "theme")
SPELLED = {"danger": "danger", "red": "danger", "yellow": "warning", "blue": "info", "green": "success"}
FACTS = {
    "alt", "body", "caption", "children", "content", "default", "desc", "description", "enum", "for_k8s_version",
    "heading", "in", "items", "label", "labels", "message", "method", "name", "options", "param", "path",
    "qualifiermessage", "query", "required", "schemaname", "state", "status", "subtitle", "summary", "tabs", "tag",
    "text", "title", "tooltip", "type", "value", "values", "version",
}  # fmt: skip
# Whatever they hold, nobody sees it.
HIDDEN = {"class", "classname", "style", "href", "src", "url", "to", "id", "key", "icon", "img", "logo", "width", "rel"}

_PROPERTY = re.compile(
    r"""(?<![\w$.-])["']?(?P<name>[A-Za-z_][\w:.-]{0,60})["']?"""
    r"""(?:[ \t\n]*(?:=[ \t\n]*\{?|:)[ \t\n]*"""
    r"""(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|`([^`]*)`|\[((?:[\s,]*(?:"[^"\[\]]*"|'[^'\[\]]*'))+)[\s,]*\]"""
    r"""|([^\s"'<>{}\[\],]+))|(?=[\s,}/]|\Z))"""
)
_LISTED = re.compile(r"""["']([^"']*)["']""")
# Beside one of these a type is that of a value; alone it says how something looks.
_TYPED = {"body", "default", "header", "method", "name", "param", "path", "query", "required"}


class Shown(NamedTuple):
    """A title, which stands alone in bold, and other words."""

    title: str = ""
    words: str = ""

    def as_block(self, address: str = "") -> str:
        """Return the title and the words as paragraphs of HTML; with an ``address``, the title is a link to it."""
        title, words = escape(self.title, quote=False), escape(self.words, quote=False)
        if address:
            title = f'<a href="{escape(address)}">{title}</a>'
        paragraphs = f'<p class="admonition-title">{title}</p>' if title else ""
        return paragraphs + (f"<p>{words}</p>" if words else "")


def properties(text: str) -> list[tuple[str, str]]:
    """Return the names and values written as ``name="value"``, ``name={"value"}`` or ``"name": "value"``, in order.

    A name alone is true; the strings of a list are one value.
    """
    found = []
    for match in _PROPERTY.finditer(text):
        name, *quoted, listed, bare = match.groups()
        values = (*quoted, ", ".join(_LISTED.findall(listed)) if listed else None, bare)
        value = next((value for value in values if value is not None), "true")
        found.append((name, re.sub(r"\\(.)", r"\1", value)))
    return found


def shown(name: str, given: Sequence[tuple[str, str]], quoted: Sequence[str] = (), bare: Sequence[str] = ()) -> Shown:
    """Return the title and the words that readers see of the component ``name``.

    ``given`` are its properties as (name, value); ``quoted`` and ``bare`` are the values that have no name.
    """
    kind = name.rpartition(".")[2].lower()
    first = {key.lower(): value for key, value in reversed(given)}
    title = next((first[key] for key in TITLES if first.get(key, "true") != "true"), "").replace("**", "")
    if kind in NOTES:
        kind = next((word for word in [*bare, *quoted] if word in KNOWN), kind)
        quoted = [words for words in quoted if words != kind]
        words = [first.get("content", first.get("text", "")), *(word.replace("*", "") for word in quoted)]
        return Shown(label(_kind_of_note(kind, first), title)[2:-2], " ".join(filter(None, words)))
    if kind in TABS:
        named = (first[key] for key in ("name", "value") if first.get(key, "true") != "true")
        return Shown(title or next(named, next(iter([*quoted, *bare[-1:]]), "")), first.get("description", ""))
    unseen = {"name", "type", "value"} if kind in GROUPS else {"type"} if _TYPED.isdisjoint(first) else set()
    facts = [(key.lower(), value) for key, value in given if key.lower() not in unseen]
    words = [fact for key, value in facts if (fact := _fact(key, value)) and fact != title]
    return Shown(title, " ".join([*words, *filter(_is_prose, quoted)]))


def _kind_of_note(kind: str, given: Mapping[str, str]) -> str:
    """Return the kind that a note's properties name, else its own name."""
    named = (SPELLED.get(given.get(key, "").lower(), given.get(key, "").lower()) for key in KINDS)
    return next((name for name in named if name in KNOWN), kind if kind in KNOWN else "container")


def _fact(name: str, value: str) -> str:
    """Return the words of a property, or nothing if it says only how something looks."""
    if name in HIDDEN or value in ("false", "undefined", "null", "") or name.startswith("on"):
        return ""
    if value == "true":
        return name if name in ("required", "deprecated", "optional", "nullable") else ""
    if name == "default":
        return f"default: {value}"
    return value if name in FACTS or (" " in value and _is_prose(value)) else ""


def _is_prose(value: str) -> bool:
    """Return whether a value is words, not a path, an address or a list of options."""
    return not re.search(r"[/=\\{}<>;]|\.\w{2,4}$", value) and any(map(str.isalpha, value))
