"""A paragraph of Markdown in any dialect → plain Markdown: links, tags, roles, attributes. Code stays untouched.

Links inside the same site keep their words only, links elsewhere keep their address, pictures their
description, as in a page that was fetched as HTML.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict

from ingestion.extraction.markdown import markup

# Without one of these a text is as it stands.
_MARKED = re.compile(r"[`\[{<&+:\x00]")
BACKTICKS = re.compile(r"`+")
# Stands for code while the text around it is changed; control characters never come in with the text.
_HELD = re.compile("\x00(\\d+)\x00")
_IMAGE = re.compile(r"!\[([^\[\]]*)\](?:\([^()]*(?:\([^()]*\)[^()]*)?\)|\[[^\[\]]*\])")
_LINK = re.compile(
    r"\[([^\[\]]*)\]\([ \t]*<?([^\s<>()]*+(?:\([^\s()]*+\)[^\s<>()]*+)*)>?(?:\s+[\"'(][^\"()]*[\"')])?\s*\)"
)
_REFERENCE = re.compile(r"\[([^\[\]]+)\]\[([^\[\]]*)\]")
_SHORTCUT = re.compile(r"(?<!\])\[([^\[\]^]+)\](?![\[(:])")
_ATTRIBUTES = re.compile(r"[ \t]?\{:[^{}\n]*\}|[ \t]?\{[ \t]*(?:[#.][\w-]|[a-z-]{1,20}=)[^{}\n]*\}")
_ROLE = re.compile("\\{([\\w:.+-]{1,40})\\}\x00(\\d+)\x00")
_ICON = re.compile(r":(?:material|octicons|fontawesome|simple|lucide)-[\w-]+:[ \t]?")
_KEYS = re.compile(r"\+\+([\w-]{1,20}(?:\+[\w-]{1,20}){0,4})\+\+")
_CODE_LANGUAGE = re.compile(r"#![\w+-]{1,20} ")


class Inline:
    """Converts paragraphs of a document with these link definitions."""

    def __init__(self, definitions: dict[str, str], *, jsx: bool) -> None:
        self.definitions = definitions
        self.jsx = jsx

    def convert(self, text: str) -> str:
        if not _MARKED.search(text):
            return text
        held: list[str] = []
        text = markup.strip(_hold(text, held), jsx=self.jsx)
        text = _hold(text, held)  # what was <code>
        text = self._links(_ROLE.sub(lambda role: _role(role, held), text))
        text = _KEYS.sub(r"\1", _ICON.sub("", _ATTRIBUTES.sub("", text)))
        parts = _HELD.split(text)
        parts[::2] = map(markup.entities, parts[::2])
        parts[1::2] = [held[int(number)] for number in parts[1::2]]
        return "".join(parts)

    def _links(self, text: str) -> str:
        if "[" not in text:
            return text
        text = _LINK.sub(lambda link: shown_link(link.group(1), link.group(2)), _IMAGE.sub(r"\1", text))
        text = _REFERENCE.sub(self._referred, text)
        return _SHORTCUT.sub(self._short, text) if self.definitions else text

    def _referred(self, match: re.Match[str]) -> str:
        words, name = match.groups()
        address = self.definitions.get(key(name or words))
        if address is None:  # a dotted name leads into an API reference
            return words if "." in name and " " not in name else str(match.group())
        return shown_link(words, address)

    def _short(self, match: re.Match[str]) -> str:
        address = self.definitions.get(key(match.group(1)))
        return str(match.group()) if address is None else shown_link(match.group(1), address)


def key(name: str) -> str:
    return " ".join(name.lower().split())


def shown_link(words: str, address: str) -> str:
    return f"[{words}]({address})" if words and address.startswith(("http://", "https://", "mailto:")) else words


def _role(match: re.Match[str], held: list[str]) -> str:
    """Return a placeholder for the text of one of MyST's roles, which are those of reStructuredText."""
    words = held[int(match.group(2))].strip("`").strip()
    role = match.group(1).lower().rpartition(":")[2]
    from ingestion.extraction.rst.roles import text_of

    text, is_code = text_of(role, words)
    is_code = is_code and role not in ("strong", "emphasis", "sub", "sup", "subscript", "superscript")
    held.append(text if not is_code else f"`` {text} ``" if "`" in text else f"`{text}`")
    return f"\x00{len(held) - 1}\x00"


def _hold(text: str, held: list[str]) -> str:
    """Replace code spans in the text by placeholders; a run of backticks without an equal one stays."""
    runs = list(BACKTICKS.finditer(text))
    starts: dict[int, list[int]] = defaultdict(list)
    for run in runs:
        starts[len(run.group())].append(run.start())
    parts: list[str] = []
    position = 0
    for run in runs:
        if run.start() < position:
            continue
        same = starts[len(run.group())]
        following = bisect_right(same, run.start())
        if following == len(same):
            continue
        end = same[following] + len(run.group())
        parts += [text[position : run.start()], f"\x00{len(held)}\x00"]
        held.append(_code(text[run.start() : end], len(run.group())))
        position = end
    return "".join([*parts, text[position:]])


def _code(span: str, ticks: int) -> str:
    """Return a code span without the mark that names its language to MkDocs."""
    inside = span[ticks:-ticks]
    mark = _CODE_LANGUAGE.match(inside)
    return f"{span[:ticks]}{inside[mark.end() :]}{span[-ticks:]}" if mark else span
