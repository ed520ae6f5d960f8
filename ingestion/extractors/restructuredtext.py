"""reStructuredText → Markdown, line by line: what documentation uses of it, not the whole language.

Titles become headings, literal blocks and code directives become fences, notes and the like a paragraph
that begins with their name, objects (``.. method::`` …) their signature and their text, roles their words.
Tables stay as they are. Comments, indexes, tables of contents and options of directives are dropped.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from textwrap import indent

from ingestion import outline
from ingestion.extractors import rst_directives as directives
from ingestion.extractors.inline import Inline
from ingestion.extractors.links import absolute, file_name
from ingestion.extractors.markdown import BARE_LINK
from ingestion.extractors.rst_lines import (
    dedent,
    dedent_by,
    end_of_indented,
    end_of_paragraph,
    fence,
    is_adornment,
)
from ingestion.types import Extracted

# Deeper content is kept as text; real pages stay below ten levels.
MAX_DEPTH = 40

_DIRECTIVE = re.compile(r"\.\.[ \t]+(?:\|[^|]+\|[ \t]+)?([A-Za-z][\w:+.-]{0,60}?)::(?:[ \t]+(.*))?$")
_FOOTNOTE = re.compile(r"\.\.[ \t]+(\[[^\]]{1,80}\])[ \t]*(.*)$")
_ITEM = re.compile(r"(?:[*+•-]|\(?(?:\d{1,9}|#|[a-zA-Z])[.)])(?:[ \t]+|$)")
_TABLE = re.compile(r"\+[-=]{2,}|={2,}[ \t]+=|\|[ \t]")
_SIMPLE_TABLE = re.compile(r"={2,}[ \t]+=")
_NOT_ID = re.compile(r"[^a-z0-9]+")

BULLETS = "*+•-"
# A block that begins like this cannot follow a label on its line.
NO_PARAGRAPH = ("```", "- ", "1. ", "**", "|", "+")

Lines = list[str]


def read(url: str, text: str) -> Extracted:
    lines = [line.rstrip() for line in text.expandtabs(8).split("\n")]
    inline = Inline(text)
    markdown = "\n\n".join(Reader(inline).render(lines))
    title = outline.first_heading(markdown) or file_name(url)
    links = absolute(url, [*inline.targets.values(), *BARE_LINK.findall(text)])
    return Extracted(title, markdown, links, outline.anchors(markdown, title, identifiers()))


def identifiers() -> Callable[[str], str]:
    """Makes the ids that docutils gives to sections; a repeated one is numbered there, so it gets none here."""
    seen: set[str] = set()

    def identifier(words: str) -> str:
        ascii_words = unicodedata.normalize("NFKD", words.lower()).encode("ascii", "ignore").decode()
        name = _NOT_ID.sub("-", ascii_words).strip("-").lstrip("0123456789-")
        fresh = name not in seen
        seen.add(name)
        return name if fresh else ""

    return identifier


# --- Blocks --------------------------------------------------------------------------------------------


class Reader:
    """Turns lines into Markdown blocks; each ``_read_…`` takes a position, adds to ``out``, returns the next."""

    def __init__(self, inline: Inline) -> None:
        self.inline = inline
        self.styles: list[str] = []

    def render(self, lines: Lines, depth: int = 0) -> Lines:
        if depth > MAX_DEPTH:
            return ["\n".join(lines)] if any(lines) else []
        out: Lines = []
        position = 0
        while position < len(lines):
            position = self._read(lines, position, depth, out) if lines[position] else position + 1
        return out

    def _read(self, lines: Lines, at: int, depth: int, out: Lines) -> int:
        line = lines[at]
        if line[0] == " ":
            return self._read_quote(lines, at, depth, out)
        if line == ".." or line.startswith(".. ") or line.startswith("__ "):
            return self._read_explicit(lines, at, depth, out)
        if depth == 0 and (end := self._read_title(lines, at, out)):
            return end
        if is_adornment(line):
            return at + 1
        if line.startswith(">>> "):
            end = end_of_paragraph(lines, at)
            out.append(fence(lines[at:end], "pycon"))
            return end
        if _TABLE.match(line):
            return self._read_table(lines, at, out)
        if _ITEM.match(line):
            return self._read_list(lines, at, depth, out)
        return self._read_paragraph(lines, at, depth, out)

    def _read_quote(self, lines: Lines, at: int, depth: int, out: Lines) -> int:
        end = end_of_indented(lines, at)
        out.extend(self.render(dedent(lines[at:end]), depth + 1))
        return end

    def _read_title(self, lines: Lines, at: int, out: Lines) -> int:
        """The position after a section title, or 0 if none stands here."""
        here = lines[at : at + 3]
        if len(here) == 3 and is_adornment(here[0]) and here[0] == here[2] and here[1]:
            self._add_title(here[1].strip(), "over" + here[0][0], out)
            return at + 3
        if len(here) < 2 or is_adornment(here[0]) or not is_adornment(here[1]):
            return 0
        if len(here[1]) < min(4, len(here[0])):
            return 0
        self._add_title(here[0], here[1][0], out)
        return at + 2

    def _add_title(self, words: str, style: str, out: Lines) -> None:
        if style not in self.styles:
            self.styles.append(style)
        level = min(6, self.styles.index(style) + 1)
        out.append(f"{'#' * level} {self.inline.convert(words)}")

    def _read_table(self, lines: Lines, at: int, out: Lines) -> int:
        end = end_of_paragraph(lines, at)
        while _SIMPLE_TABLE.match(lines[at]) and end < len(lines) and not _SIMPLE_TABLE.match(lines[end - 1]):
            end = end_of_paragraph(lines, end + 1)  # rows may be set apart by blank lines
        out.append("\n".join(lines[at:end]))
        return end

    def _read_list(self, lines: Lines, at: int, depth: int, out: Lines) -> int:
        items: Lines = []
        bulleted = lines[at][0] in BULLETS
        while at < len(lines) and (marker := _ITEM.match(lines[at])) and (lines[at][0] in BULLETS) == bulleted:
            width = len(marker.group())
            end = end_of_indented(lines, at + 1, min(width, 2))
            body = [lines[at][width:], *dedent_by(width, lines[at + 1 : end])]
            items.append(self._item(marker.group().strip(), body, len(items) + 1, depth))
            at = next((i for i in range(end, len(lines)) if lines[i]), len(lines))
        out.append(("\n\n" if any("\n\n" in item for item in items) else "\n").join(items))
        return at

    def _item(self, marker: str, body: Lines, number: int, depth: int) -> str:
        counted = str(number) if "#" in marker else marker.strip("().")
        bullet = "- " if marker in BULLETS else f"{counted}. "
        text = "\n\n".join(self.render(body, depth + 1))
        return bullet + indent(text, " " * len(bullet))[len(bullet) :]

    def _read_paragraph(self, lines: Lines, at: int, depth: int, out: Lines) -> int:
        if at + 1 < len(lines) and lines[at + 1].startswith(" "):
            return self._read_definition(lines, at, depth, out)
        end = end_of_paragraph(lines, at)
        text = "\n".join(lines[at:end])
        if not text.endswith("::"):
            self._add_paragraph(text, out)
            return end
        self._add_paragraph(text[:-2].rstrip() + ("" if text[-3:-2] in ("", " ", "\n") else ":"), out)
        after = end_of_indented(lines, end)
        if any(lines[end:after]):
            out.append(fence(lines[end:after]))
        return after

    def _add_paragraph(self, text: str, out: Lines) -> None:
        if text and not directives.OPTION.fullmatch(text):
            out.append(self.inline.convert(text))

    def _read_definition(self, lines: Lines, at: int, depth: int, out: Lines) -> int:
        end = end_of_indented(lines, at + 1)
        if lines[at].endswith("::"):  # a literal block without the blank line before it
            self._add_paragraph(lines[at][:-1], out)
            out.append(fence(lines[at + 1 : end]))
            return end
        out.append(f"**{self.inline.convert(lines[at])}**")
        out.extend(self.render(dedent(lines[at + 1 : end]), depth + 1))
        return end

    # --- Explicit markup: ``.. something`` ---------------------------------------------------------------

    def _read_explicit(self, lines: Lines, at: int, depth: int, out: Lines) -> int:
        end = end_of_indented(lines, at + 1)
        body = lines[at + 1 : end]
        if directive := _DIRECTIVE.match(lines[at]):
            self._add_directive(directive.group(1).lower(), directive.group(2) or "", body, depth, out)
        elif footnote := _FOOTNOTE.match(lines[at]):
            text = [footnote.group(2), *dedent(body)]
            out.append(f"{footnote.group(1)} " + "\n\n".join(self.render(text, depth + 1)))
        return end

    def _add_directive(self, name: str, argument: str, body: Lines, depth: int, out: Lines) -> None:
        if name in directives.DROPPED or (name in directives.INVISIBLE and not any(body)):
            return
        options, head, rest = directives.split_body(body)
        if name in directives.CODE:
            self._add_code(name, argument, options, head + rest, out)
        elif name in directives.IMAGES:
            out.extend([self.inline.convert(options["alt"])] if options.get("alt") else [])
            out.extend(self.render(dedent(rest), depth + 1))
        elif directives.label_of(name, argument):
            beside = directives.beside_name(name, argument)
            out.extend(self._labelled(name, argument, directives.content_of(beside, head, rest), depth))
        elif name in directives.CONTAINERS:
            out.extend(self.render(dedent(body), depth + 1))
        elif name != "replace":
            self._add_object(name, [argument, *head], rest, depth, out)

    def _add_code(self, name: str, argument: str, options: dict[str, str], code: Lines, out: Lines) -> None:
        if caption := options.get("caption"):
            out.append(self.inline.convert(caption))
        if any(code):
            out.append(fence(code, directives.LANGUAGE_OF.get(name, argument.partition(" ")[0])))

    def _labelled(self, name: str, argument: str, lines: Lines, depth: int) -> Lines:
        """A paragraph that starts with the label, then what else the directive holds."""
        label = f"**{self.inline.convert(directives.label_of(name, argument))}**"
        content = self.render(lines, depth + 1)
        if not content or name in directives.TITLED or content[0].startswith(NO_PARAGRAPH):
            return [label, *content]
        return [f"{label} {content[0]}", *content[1:]]

    def _add_object(self, name: str, signatures: Lines, rest: Lines, depth: int, out: Lines) -> None:
        if shown := directives.shown_signatures(name, signatures):
            out.append("\n".join(f"`{signature}`" for signature in shown))
        out.extend(self.render(dedent(rest), depth + 1))
