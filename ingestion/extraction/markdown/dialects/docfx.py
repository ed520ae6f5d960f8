"""DocFX, as Microsoft Learn writes it: elements between three colons, references, included files.

``:::image alt-text="…":::``, ``:::row:::``, ``:::zone pivot="…"``, ``<xref:Name>``, ``@"Name"``, ``[!INCLUDE [a](b)]``,
``[!code-csharp[](file.cs)]``. Alerts are GitHub's.
"""

from __future__ import annotations

import re
from html import escape
from urllib.parse import unquote

from ingestion.extraction.markdown.components import properties
from ingestion.extraction.markdown.dialect import Block, BlockRule, Dialect, InlineRule
from ingestion.extraction.markdown.dialects.mkdocs import file_note

ELEMENTS = (
    "image|row|column|zone|moniker|code|video|form|no-loc|image-end|row-end|column-end|zone-end|moniker-end|code-end"
)


def _read_element(block: Block, match: re.Match[str]) -> int:
    """Add what an element between three colons shows, and return the line after it.

    That is a picture's description, the name of a file of code, or the indented content of a row or column.
    """
    name, rest = match.groups()
    given = dict(properties(rest))
    if name == "code":
        block.paragraph(file_note(given.get("source", "")))
    block.paragraph(given.get("alt-text", "") or given.get("text", "") or given.get("title", ""))
    after = block.end_of_indented(block.line + 1, block.indent + 1) if name in ("column", "row") else block.line + 1
    block.indented(block.line + 1, after)
    return after


def _read_tab(block: Block, match: re.Match[str]) -> int:
    """Add the label of a tab, which is written as a heading; return the number of the next line."""
    block.title("tab", match.group(1))
    return block.line + 1


def _reference(match: re.Match[str], _: object) -> str:
    """Return the name that a reference leads to, or the words that it gives."""
    name, _, query = match.group(1).partition("?")
    text = re.search(r"(?:^|&)(?:text|displayProperty=\w+&text)=([^&]*)", query)
    return escape(unquote(text.group(1).replace("+", " ")) if text else unquote(name).rstrip("*"), quote=False)


def _file(match: re.Match[str], _: object) -> str:
    """Return the name of an included file of code; nothing for an included text."""
    name = file_note(match.group(2)) if match.group(1).lower().startswith("code") else ""
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", escape(name, quote=False))


DIALECT = Dialect(
    blocks=(
        BlockRule(":", re.compile(rf":::[ \t]*({ELEMENTS})(?![\w])([^\n]*?)(?::::)?$"), _read_element),
        BlockRule("#", re.compile(r"#{1,6}[ \t]+\[([^\[\]]+)\]\(#tab/[^()]*\)[ \t#]*$"), _read_tab),
    ),
    marks=(
        InlineRule("[", re.compile(r"\[!(?:UICONTROL|DNL)[ \t]+([^\[\]]+)\]"), lambda match, _: escape(match.group(1))),
        InlineRule("<", re.compile(r"<xref:([^\s<>]+)>"), _reference),
        InlineRule("<", re.compile(r"<xref href=\"([^\"\s]+)\"[^<>]*>(?:</xref>)?"), _reference),
        InlineRule("[", re.compile(r"\[\]\(xref:([^()\s]+)\)"), _reference),
        InlineRule("@", re.compile(r"(?<!\w)@[\"']([\w.`]+)[\"']"), _reference),
        InlineRule(
            "[", re.compile(r"\[!(INCLUDE|code(?:-\w+)?)[ \t]*\[[^\[\]]*\]\(([^()\s]*)[^()]*\)\]", re.IGNORECASE), _file
        ),
        InlineRule("[", re.compile(r"\[!(VIDEO)[ \t]+([^\]\s]+)\]", re.IGNORECASE), lambda *_: ""),
        InlineRule(":", re.compile(r":::no-loc text=\"([^\"]*)\":::"), lambda match, _: escape(match.group(1))),
        InlineRule(
            ":", re.compile(r":::image[^\n]*?alt-text=\"([^\"]*)\"[^\n]*?:::"), lambda match, _: escape(match.group(1))
        ),
    ),
)
