"""HTML, JSX and template tags that stand in Markdown → their words.

Known elements and components go, what they hold stays; a name in angle brackets that is no element stays as
it is, since people write ``<name>`` for "put yours here". Each pattern stops at what may begin its next match.
"""

from __future__ import annotations

import re
from html import unescape

from ingestion.extraction.admonitions import KNOWN, label
from ingestion.extraction.sanitize import clean

ELEMENTS = {
    "a", "abbr", "article", "aside", "audio", "b", "big", "blockquote", "body", "br", "button", "caption", "center",
    "cite", "code", "col", "colgroup", "dd", "del", "details", "dfn", "div", "dl", "dt", "em", "embed", "figcaption",
    "figure", "font", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "head", "header", "hr", "html", "i",
    "iframe", "img", "input", "ins", "kbd", "label", "li", "link", "main", "mark", "meta", "nav", "noscript", "object",
    "ol", "option", "p", "picture", "pre", "q", "s", "samp", "script", "section", "select", "small", "source", "span",
    "strike", "strong", "style", "sub", "summary", "sup", "svg", "path", "table", "tbody", "td", "template", "textarea",
    "tfoot", "th", "thead", "tr", "tt", "u", "ul", "var", "video", "wbr",
}  # fmt: skip
# A tag inside a property of another goes first; deeper nesting than this stays.
MAX_NESTED = 3

TAG = re.compile(r"<(/?)([A-Za-z][\w.:-]*)((?:[^<>]|(?<==)>)*)(?<!=)>")
_PROPERTY = re.compile(r"""\b(label|title|alt|type|name|id|header|summary)=\{?["']([^"'{}]*)["']""")
_CODE = re.compile(r"<code[^<>]*>([^<`]*)</code>")
_LIQUID = re.compile(r"\{%[^%\n]*%\}|\{\{[<%][^{}\n]*[%>]\}\}")
_SPACE_EXPRESSION = re.compile(r"""\{["'] ["']\}""")
_ADDRESS = re.compile(r"<((?:https?://|mailto:)[^\s<>]+|[\w.+-]+@[\w.-]+)>")
_ROW = re.compile(r"<tr[^<>]*>(.*?)(?=<tr[\s>]|\Z)", re.DOTALL | re.IGNORECASE)
_CELL = re.compile(r"<t[dh][^<>]*>(.*?)(?=<t[dh][\s>]|\Z)", re.DOTALL | re.IGNORECASE)


def strip(text: str, *, jsx: bool = False) -> str:
    """Return the text without tags, with the titles and labels that components show."""
    text = _LIQUID.sub(_liquid, text)
    if "<" in text:
        text = _ADDRESS.sub(r"\1", _CODE.sub(r"`\1`", text))
        for _ in range(MAX_NESTED):
            text, count = TAG.subn(lambda match: _shown(match, jsx), text)
            if not count:
                break
    return _SPACE_EXPRESSION.sub(" ", text)


def entities(text: str) -> str:
    return clean(unescape(text)) if "&" in text else text


def properties(attributes: str) -> dict[str, str]:
    return dict(_PROPERTY.findall(attributes))


def _shown(match: re.Match[str], jsx: bool) -> str:
    closing, name, attributes = match.groups()
    if name.lower() in ELEMENTS and name[0].islower():
        return _element(closing, name.lower(), attributes)
    if not (name[0].isupper() or "." in name or "-" in name or jsx):
        return str(match.group())
    return "" if closing else _component(name, properties(attributes))


def _element(closing: str, name: str, attributes: str) -> str:
    if name == "summary":
        return "**\n\n" if closing else "\n\n**"
    if name == "img":
        return properties(attributes).get("alt", "")
    if name == "li" and not closing:
        return "- "
    return " " if name in ("br", "td", "th") else ""


def _component(name: str, given: dict[str, str]) -> str:
    kind = name.rpartition(".")[2].lower()
    if kind in ("admonition", "callout", "aside") and given.get("type"):
        kind = given["type"]
    title = given.get("label") or given.get("title") or given.get("header") or given.get("summary") or ""
    words = label(kind, title) if kind in KNOWN else f"**{title}**" if title else given.get("alt", "")
    return f"\n\n{words}\n\n" if words.startswith("**") else words


def _liquid(match: re.Match[str]) -> str:
    """Return the name of a note or tab of GitBook or Hugo; other tags of Jinja, Liquid and Hugo show nothing."""
    tag = match.group().strip("{}%<> -")
    name, _, rest = tag.partition(" ")
    given = properties(rest)
    kind = dict(re.findall(r'\b(style|type)="([\w-]{1,20})"', rest)).get("style", name)
    if name in ("hint", "tab", "tip", "note", "warning", "info", "callout", "alert", "details"):
        words = label(kind if name in ("hint", "callout", "alert") else name, given.get("title", ""))
        return f"\n\n{words}\n\n" if words else ""
    return ""


def table(text: str) -> list[list[str]]:
    """Return the rows of a table written in HTML."""
    rows = [[" ".join(strip(cell).split()) for cell in _CELL.findall(row)] for row in _ROW.findall(text)]
    return [[entities(cell).replace("|", "\\|") for cell in row] for row in rows if row]
