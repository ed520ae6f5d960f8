"""Lines of Markdown's dialects that say where something comes from or leads to, and comments.

Every pattern is tried on short lines only: a mark is short, and some patterns look back.
"""

from __future__ import annotations

import re

from ingestion.extraction.markdown import markup
from ingestion.extraction.markdown.inline import key
from ingestion.extraction.markdown.lines import end_of_run

# Longer lines are prose.
MAX_MARK_CHARS = 500
# An import or export that is not closed within these is text.
MAX_MODULE_LINES = 200

DIRECTIVE_OPTION = re.compile(r":[\w-]{1,40}:|---$")
_SNIPPET = re.compile(
    r"[ \t]*(?:-{1,4}8<-{1,4}[ \t]*\"([^\"]*)\"|\{!>?[ \t]*([^!\n]*?)[ \t]*!\}"
    r"|\{\*[ \t]*([^*\s]+)[^*]*\*\}|<<<[ \t]*(\S+).*)[ \t]*$"
)
_CODE_FILE = re.compile(r"[\w./@-]*\.(?!md\b|mdx\b|txt\b|rst\b|html\b)[A-Za-z]\w{0,5}")
_DEFINITION = re.compile(r" {0,3}\[(?!\^)([^\[\]\n]+)\]:[ \t]*<?([^\s<>]+)>?[ \t]*(?:[\"'(].*)?$")
_MYST_TARGET = re.compile(r"\(([\w:.-]{1,100})\)=[ \t]*$")
_ANCHOR = re.compile(r"""<a[ \t]+(?:name|id)=["']?([^"'\s<>]+)["']?[ \t]*/?>(?:</a>)?""", re.IGNORECASE)
_HEADING_ID = re.compile(r"[ \t]*(?:\{:?[ \t]*#([\w:.-]+)[^{}]*\}|\{/\*[ \t]*#([\w:.-]+)[ \t]*\*/\})[ \t]*#*$")
_HTML_HEADING = re.compile(r"[ \t]*<h([1-6])([^<>]*)>(.*)</h[1-6]>[ \t]*$", re.IGNORECASE)
_IMPORT = re.compile(r"import[ \t]+(?:(?:[\w*{][^\n]*[ \t}]from[ \t]*)?['\"][^'\"\n]+['\"];?[ \t]*$|\{[^}\n]*$)")
_EXPORT = re.compile(r"export[ \t]+(?:const|let|var|default|function|async|class|\{)")
_DROPPED_LINES = re.compile(r"[ \t]*(?:\[\[?_?TOC_?\]\]?|\[\[toc\]\]|\{:toc\}|\{:[^{}]*\})[ \t]*$", re.IGNORECASE)
_COMMENTS = (("<!--", "-->"), ("{/*", "*/}"))

Lines = list[str]


def definitions(body: str) -> dict[str, str]:
    """Return the names and addresses of links that lines of the form ``[name]: address`` define."""
    found = (_DEFINITION.match(line) for line in body.split("\n") if len(line) <= MAX_MARK_CHARS)
    return {key(match.group(1)): match.group(2) for match in found if match}


def shows_nothing(line: str) -> bool:
    """Return whether a line shows nothing: the definition of a link, or the mark for a table of contents."""
    return bool(_DEFINITION.match(line) or _DROPPED_LINES.match(line))


def targets(text: str) -> list[str]:
    """Return the fragments that elements ``<a name="…">`` name."""
    return _ANCHOR.findall(text)


def target(line: str) -> str:
    """Return the name in MyST's ``(name)=``, or an empty string."""
    match = _MYST_TARGET.match(line)
    return match.group(1) if match else ""


def heading_target(line: str) -> tuple[str, str]:
    """Return a heading's line without the fragment that it names for itself, and that fragment."""
    if own := _HEADING_ID.search(line):
        return line[: own.start()], own.group(1) or own.group(2)
    return line, next(iter(targets(line)), "")


def html_heading(line: str) -> tuple[str, str]:
    """Return a heading that is one line of HTML as Markdown, and its id."""
    match = _HTML_HEADING.match(line)
    if not match:
        return "", ""
    return f"{'#' * int(match.group(1))} {match.group(3)}", markup.properties(match.group(2)).get("id", "")


def snippet(line: str) -> str | None:
    """Return the note for a file that the line includes, None if it includes none."""
    match = _SNIPPET.match(line)
    return file_note(next(filter(None, match.groups()), "")) if match else None


def file_note(path: str) -> str:
    """Return a line that names an included file of code; empty for an included text."""
    name = _CODE_FILE.match(path.strip())
    return f"The code of `{name.group().lstrip('./')}`." if name else ""


def is_module_line(line: str, *, jsx: bool) -> bool:
    """Return whether this is an ``import …`` or ``export …`` of MDX."""
    return bool(_IMPORT.match(line) or (jsx and _EXPORT.match(line)))


def end_of_module_lines(lines: Lines, at: int) -> int:
    """Return the line after the last one of an import or export, whose brackets are then closed; 0 if they are not."""
    depth = 0
    for position, line in enumerate(lines[at : at + MAX_MODULE_LINES], at + 1):
        depth += sum(map(line.count, "([{")) - sum(map(line.count, ")]}"))
        if depth <= 0:
            return position
    return 0


class Comments:
    """The comments in some lines, which are removed in place, from the first line to the last."""

    def __init__(self, lines: Lines) -> None:
        self.lines = lines
        self._last = {end: max((i for i, line in enumerate(lines) if end in line), default=-1) for _, end in _COMMENTS}

    def cut(self, at: int) -> tuple[int, str]:
        """Remove the comments of a line. Return the next line to read and the text before a comment that ends there."""
        for start, end in _COMMENTS:
            line = self.lines[at]
            if start not in line or (start == "{/*" and heading_target(line[:MAX_MARK_CHARS])[1]):
                continue
            left, is_open = _uncommented(line, start, end)
            last = self._end(at, end) if is_open else at
            if last > at:
                self.lines[last] = self.lines[last].partition(end)[2].strip()
                return last, left.rstrip()
            self.lines[at] = line if is_open else left.rstrip()
        return at, ""

    def _end(self, at: int, end: str) -> int:
        """Return the line below on which a comment ends, or -1."""
        if self._last[end] <= at:
            return -1
        return end_of_run(self.lines, at + 1, lambda line: end not in line)


def _uncommented(line: str, start: str, end: str) -> tuple[str, bool]:
    """Return the line without the comments that end on it, and whether one goes on below."""
    parts: Lines = []
    position = ticks = 0
    while (found := line.find(start, position)) >= 0:
        ticks += line.count("`", position, found)
        stop = line.find(end, found + len(start))
        if ticks % 2:  # inside code
            stop = found + len(start) - len(end)
            parts.append(line[position : found + len(start)])
        else:
            parts.append(line[position:found])
        if stop < 0:
            return "".join(parts), True
        position = stop + len(end)
    return "".join(parts) + line[position:], False
