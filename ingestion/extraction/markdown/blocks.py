"""The blocks of Markdown's dialects, line by line → plain Markdown.

Each ``_read_…`` takes the lines and a position, adds to ``out`` and returns the next position, or 0 if the
block is none of its kind. Nothing is searched twice for its end, so that time stays linear.
"""

from __future__ import annotations

import re
from collections import defaultdict, deque
from textwrap import indent

from ingestion import markdown_outline
from ingestion.extraction.admonitions import label
from ingestion.extraction.markdown import marks, markup, myst
from ingestion.extraction.markdown.inline import Inline
from ingestion.extraction.markdown.lines import dedent, end_of_indented, end_of_run, fence, indent_of
from ingestion.extraction.markdown.tables import pipe_table

_FENCE = re.compile(r"([ \t]*)(`{3,}|~{3,})([^`\n]*)$")
_DIRECTIVE = re.compile(r"[ \t]*\{([\w:.+-]{1,40})\}[ \t]*(.*)$")
_COLONS = re.compile(
    r"[ \t]*:{3,}[ \t]*(?:\{([\w:.+-]{1,40})\}|([A-Za-z][\w.:/-]{0,120}))?[ \t]*(?:\[([^\]\n]*)\])?(.*)$"
)
_INDENTED = re.compile(r"[ \t]*(?:(?:!!!|\?\?\?\+?)[ \t]+([\w -]+?)|===[!+]?)[ \t]*(?:\"(.*)\")?[ \t]*$")
_ALERT = re.compile(r"\[!(\w{1,20})\][+-]?[ \t]*(.*)$")
_BLOCK_ELEMENT = re.compile(r"[ \t]*<(script|style|pre|table|svg)(?=[\s>])", re.IGNORECASE)
_LIQUID_CODE = re.compile(r"[ \t]*\{[%{][%<{]?[ \t]*highlight[ \t]+([\w+-]{1,20})[^\n]*[%>]\}\}?[ \t]*$")
_LIST_ITEM = re.compile(r"[ \t]*(?:[-*+]|\d{1,9}[.)])[ \t]")

# Deeper content is kept as text; real pages stay below ten levels.
MAX_DEPTH = 30

Lines = list[str]


class BlockParser:
    """Reads one list of lines into ``out``."""

    def __init__(self, reader: Reader, lines: Lines, depth: int) -> None:
        self.reader, self.lines, self.depth = reader, lines, depth
        self.out: Lines = []
        self.prose: Lines = []
        self.in_list = False
        self.comments = marks.Comments(lines)
        self._unclosed: set[str] = set()

    def run(self) -> Lines:
        position = 0
        while position < len(self.lines):
            position = self._read(position)
        self._flush()
        return self.out

    def _read(self, at: int) -> int:
        if end := self._read_fence(at):
            return end
        if not self.lines[at].strip():
            self._flush()
            self.out += [""] if self.out and self.out[-1] else []
            return at + 1
        after, before = self.comments.cut(at)
        if after > at:
            self.prose += [before] if before else []
            return after
        if not self.lines[at].strip():
            return at + 1
        if end := self._read_marked(at):
            return end
        self.prose.append(self.lines[at])
        return at + 1

    def _read_marked(self, at: int) -> int:
        """Read a block that the start of its first line tells."""
        if end := self._read_indented_code(at):
            return end
        line = self.lines[at].lstrip()
        if line[0] == ">":
            return self._read_quote(at)
        if line[0] == "<" and (element := _BLOCK_ELEMENT.match(line)):
            return self._read_element(at, element.group(1).lower())
        return self._read_short(at, line[0]) if len(line) <= marks.MAX_MARK_CHARS else 0

    def _read_short(self, at: int, first: str) -> int:
        if first == "#":
            return self._read_heading(at)
        if first == ":":
            return self._read_colons(at)
        if first in "!?=":
            return self._read_indented(at)
        if first in "[({-<":
            return self._read_dropped(at)
        return self._read_module_lines(at) if first in "ie" and not self.depth and not self.prose else 0

    def render(self, lines: Lines) -> Lines:
        return self.reader.render(lines, self.depth + 1)

    def convert(self, text: str) -> str:
        return self.reader.convert(text)

    def _emit(self, *blocks: str) -> None:
        self._flush()
        for block in filter(None, blocks):
            self.out += [*([""] if self.out and self.out[-1] else []), *block.split("\n"), ""]

    def _flush(self) -> None:
        """Add the paragraph that was collected so far."""
        if not self.prose:
            return
        lines, self.prose = self.prose, []
        margin = " " * indent_of(lines[0])
        self.in_list = bool(_LIST_ITEM.match(lines[0])) or (self.in_list and bool(margin))
        if self.reader.jsx and not self.in_list:
            lines = [line.lstrip() for line in lines]
        text = self.reader.convert("\n".join(lines))
        # A target alone belongs to the heading below it, one among words to the words.
        self.reader.note_target("" if text.strip() else next(iter(marks.targets("\n".join(lines))), ""))
        if "\n\n" in text:
            self._emit(*_blocks(text))
        elif text.strip():
            self.out += [line.rstrip() for line in text.split("\n")]

    # --- Code ------------------------------------------------------------------------------------------------

    def _read_fence(self, at: int) -> int:
        opening = _FENCE.match(self.lines[at])
        if not opening:
            return 0
        margin, marks, info = opening.groups()
        end = end_of_run(self.lines, at + 1, lambda line: not _closes(line, marks))
        body = self.lines[at + 1 : end]
        directive = _DIRECTIVE.match(info)
        after = min(end + 1, len(self.lines))
        self._flush()
        if directive:
            shown = myst.blocks(self, directive.group(1).lower(), directive.group(2).strip(), body)
            self._emit(*(indent(block, margin) for block in shown))
        else:
            whole = self.lines[at:after]
            self.out += dedent(whole) if self.reader.jsx and not self.in_list else whole
        return after

    def _read_indented_code(self, at: int) -> int:
        """Read code that is indented by four spaces after a blank line, outside lists and not among components."""
        if indent_of(self.lines[at]) < 4 or self.prose or self.in_list or self.reader.jsx:
            return 0
        end = end_of_indented(self.lines, at, 4)
        self._emit(fence(self.lines[at:end]))
        return end

    # --- Notes, tabs, quotes -----------------------------------------------------------------------------------

    def _add_note(self, kind: str, title: str, body: Lines, margin: str = "") -> None:
        inner = "\n".join(self.render(dedent(body))).strip("\n")
        self._emit(indent(label(kind, self.convert(title)), margin), indent(inner, margin))

    def _read_indented(self, at: int) -> int:
        """Read ``!!! note "Title"``, ``??? note`` or ``=== "Tab"`` with its text indented below."""
        match = _INDENTED.match(self.lines[at])
        if not match or (match.group(1) is None and match.group(2) is None):
            return 0
        margin = indent_of(self.lines[at])
        end = end_of_indented(self.lines, at + 1, margin + 2)
        kind = (match.group(1) or "tab").split(" ")[0]
        if match.group(2) == "":  # an empty title hides it
            kind = "container"
        self._add_note(kind, match.group(2) or "", self.lines[at + 1 : end], " " * margin)
        return end

    def _read_colons(self, at: int) -> int:
        """Read a line of ``:::note Title`` … ``:::``. The text between is not indented and is read as usual."""
        match = _COLONS.match(self.lines[at])
        if not match:
            return 0
        braced, name, bracketed, rest = match.groups()
        self._flush()
        kind = (braced or name or "").lower()
        if name and "." in name:  # mkdocstrings: the place of an API reference, with its options below
            self._emit(f"`{name}`")
            return end_of_indented(self.lines, at + 1)
        title = bracketed if bracketed is not None else rest.strip(" :")
        if kind and not title.startswith("{"):
            self._emit(label(kind, self.reader.convert(title)))
        return end_of_run(self.lines, at + 1, lambda line: braced and marks.DIRECTIVE_OPTION.match(line))

    def _read_quote(self, at: int) -> int:
        margin = " " * indent_of(self.lines[at])
        end = end_of_run(self.lines, at, lambda line: line.lstrip().startswith(">"))
        inner = [line.lstrip()[1:].removeprefix(" ") for line in self.lines[at:end]]
        self._flush()
        if alert := _ALERT.match(inner[0]):
            self._add_note(alert.group(1), alert.group(2), inner[1:], margin)
            return end
        quoted = self.render(inner)
        self.out += [f"{margin}> {line}".rstrip() for line in quoted]
        return end

    # --- Headings ----------------------------------------------------------------------------------------------

    def _read_heading(self, at: int) -> int:
        line = self.lines[at].strip() if self.reader.jsx and not self.in_list else self.lines[at]
        if markdown_outline.kind_at_start(line) != markdown_outline.HEADING:
            return 0
        self._flush()
        self.in_list = False
        self.out.append(self.reader.add_heading(line))
        return at + 1

    # --- What goes ---------------------------------------------------------------------------------------------

    def _read_dropped(self, at: int) -> int:
        """Read a line that names a target, link, file or table of contents, or a fence or heading in another syntax."""
        line = self.lines[at]
        heading, own = marks.html_heading(line)
        if name := own or marks.target(line):
            self._flush()
            self.reader.note_target(name)
        if heading:
            self._flush()
            self.out.append(self.reader.add_heading(heading))
        if code := _LIQUID_CODE.match(line):
            end = end_of_run(self.lines, at + 1, lambda line: "endhighlight" not in line and "/ highlight" not in line)
            self._emit(fence(self.lines[at + 1 : end], code.group(1)))
            return end + 1
        if note := marks.snippet(line):
            self._emit(note)
        return at + 1 if name or heading or note is not None or marks.shows_nothing(line) else 0

    def _read_module_lines(self, at: int) -> int:
        """Read imports and exports; once brackets were not closed, none are looked for again."""
        if "module" in self._unclosed or not marks.is_module_line(self.lines[at], jsx=self.reader.jsx):
            return 0
        end = marks.end_of_module_lines(self.lines, at)
        self._unclosed |= set() if end else {"module"}
        return end or at + 1

    def _read_element(self, at: int, name: str) -> int:
        """Read an element: scripts and styles are dropped, ``<pre>`` becomes a fence, a table a pipe table."""
        if name in self._unclosed:
            return 0
        closing = f"</{name}"
        end = end_of_run(self.lines, at, lambda line: closing not in line.lower())
        if end == len(self.lines):
            self._unclosed.add(name)
            return 0
        whole = "\n".join(self.lines[at : end + 1])
        if name == "pre":
            inside = markup.entities(markup.TAG.sub("", whole))
            self._emit(fence(inside.split("\n")))
        elif name == "table":
            rows = markup.table(whole)
            self._emit(pipe_table([[self.reader.convert(cell) for cell in row] for row in rows]) if rows else "")
        return end + 1


def _closes(line: str, marks: str) -> bool:
    text = line.strip()
    return len(text) >= len(marks) and not text.strip(marks[0])


def _blocks(text: str) -> Lines:
    """Return the blocks of a text, without the empty lines between them."""
    return [block.strip("\n") for block in text.split("\n\n") if block.strip()]


class Reader:
    """One document: the definitions of its links, and the fragments that its headings name."""

    def __init__(self, body: str, *, jsx: bool) -> None:
        self.inline = Inline(marks.definitions(body), jsx=jsx)
        self.jsx = jsx
        self._pending = ""
        self._anchors: dict[str, deque[str]] = defaultdict(deque)

    def anchor_of(self, words: str) -> str:
        """Return the fragment that the next heading with these words names for itself, if it does."""
        return self._anchors[words].popleft() if self._anchors[words] else ""

    def render(self, lines: list[str], depth: int = 0) -> list[str]:
        return BlockParser(self, lines, depth).run() if depth <= MAX_DEPTH else lines

    def convert(self, text: str) -> str:
        return self.inline.convert(text)

    def add_heading(self, line: str) -> str:
        """Return a heading's line without its own fragment, which is noted, and other marks."""
        line, own = marks.heading_target(line)
        shown = " ".join(self.convert(line).split())
        self._anchors[markdown_outline.read_heading(shown)[1]].append(own or self._pending)
        self._pending = ""
        return shown

    def note_target(self, name: str) -> None:
        self._pending = name
