"""reStructuredText → Markdown, line by line: the part of the language that documentation uses.

Titles and documented objects (``.. method::`` …) become headings with the fragments that Sphinx gives them,
literal blocks and code directives become fences, tables Markdown's tables, notes a paragraph with their name
and then their text, roles their words. Comments, indexes, tables of contents and options of directives are dropped.
Files that a page includes cannot be read here: a line names them.
"""

from __future__ import annotations

import re
from collections import defaultdict, deque
from textwrap import indent

from ingestion import markdown_outline
from ingestion.extraction.links import BARE_LINK, absolute, file_name
from ingestion.extraction.rst import directives, fields, tables
from ingestion.extraction.rst.inline import Inline
from ingestion.extraction.rst.lines import (
    dedent,
    dedent_by,
    end_of_indented,
    end_of_paragraph,
    end_of_run,
    fence,
    is_adornment,
    labels,
    title_at,
)
from ingestion.extraction.rst.sphinx_objects import MODULES, Namespace, is_object, signatures
from ingestion.extraction.slugs import Identifiers
from ingestion.types import Extracted

# Deeper content is kept as text; real pages stay below ten levels.
MAX_DEPTH = 40

_DIRECTIVE = re.compile(r"\.\.[ \t]+(\|[^|]+\|[ \t]+)?([A-Za-z][\w:+.-]{0,60}?)::(?:[ \t]+(.*))?$")
_FOOTNOTE = re.compile(r"\.\.[ \t]+(\[[^\]]{1,80}\])[ \t]*(.*)$")
_ITEM = re.compile(r"(?:[*+•-]|\(?(?:\d{1,9}|#|[a-zA-Z])[.)])(?:[ \t]+|$)")
_SIMPLE_TABLE = re.compile(r"={2,}[ \t]+=")
_LINE_BLOCK = re.compile(r"\|(?:[ \t]|$)")

BULLETS = "*+•-"

# A longer signature stands below its heading: a heading's path is repeated in each of its chunks.
MAX_SIGNATURE_CHARS = 120

Lines = list[str]


def read(url: str, text: str) -> Extracted:
    lines = [line.rstrip() for line in text.expandtabs(8).split("\n")]
    reader = Reader(lines, text)
    markdown = "\n\n".join(reader.render(lines))
    title = markdown_outline.first_heading(markdown) or file_name(url)
    links = absolute(url, [*reader.inline.links, *BARE_LINK.findall(text)])
    return Extracted(title, markdown, links, markdown_outline.anchors(markdown, title, reader.anchor_of))


class Reader:
    """Turns lines into Markdown blocks; each ``_read_…`` takes a position, adds to ``out``, returns the next."""

    def __init__(self, lines: Lines, text: str) -> None:
        self.labels = labels(lines)
        titles = {
            " ".join(name.lower().split()): title_at(lines, at)[0]
            for at, names in self.labels.items()
            for name in names
        }
        self.inline = Inline(text, titles)
        self.identifiers = Identifiers([*titles, *self.inline.targets])
        self.namespace = Namespace()
        self.styles: list[str] = []
        self.level = 0
        self.language = ""
        self.indented = False
        self._anchors: dict[str, deque[str]] = defaultdict(deque)
        self._without_tables: Lines | None = None

    def anchor_of(self, words: str) -> str:
        """Return the fragment of the next heading with these words."""
        return self._anchors[words].popleft() if self._anchors[words] else ""

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
        if line == ".." or line.startswith((".. ", "__ ")):
            return self._read_explicit(lines, at, depth, out)
        if depth == 0 and (end := self._read_title(lines, at, out)):
            return end
        if (end := self._read_table(lines, at, depth, out)) or (end := self._read_marked(lines, at, depth, out)):
            return end
        return at + 1 if is_adornment(line) else self._read_paragraph(lines, at, depth, out)

    def _read_marked(self, lines: Lines, at: int, depth: int, out: Lines) -> int:
        """Read a block that the start of its first line tells. Return the position after it, or 0."""
        line = lines[at]
        if line.startswith(">>> "):
            end = end_of_paragraph(lines, at)
            out.append(fence(lines[at:end], "pycon"))
            return end
        if _ITEM.match(line):
            return self._read_list(lines, at, depth, out)
        if line[0] == ":" and fields.FIELD.match(line):
            return self._read_fields(lines, at, depth, out)
        if line[0] in "-/" and fields.OPTION.match(line) and not is_adornment(line):
            return self._read_options(lines, at, depth, out)
        if _LINE_BLOCK.match(line):
            end = end_of_run(lines, at, lambda line: line.startswith(("|", " ")))
            out.append(self.inline.convert("\n".join(line.lstrip("|").strip() for line in lines[at:end])))
            return end
        return 0

    def _read_quote(self, lines: Lines, at: int, depth: int, out: Lines) -> int:
        end = end_of_indented(lines, at)
        out.extend(self.render(dedent(lines[at:end]), depth + 1))
        return end

    # --- Headings --------------------------------------------------------------------------------------------

    def _read_title(self, lines: Lines, at: int, out: Lines) -> int:
        """Read a section title. Return the position after it, or 0 if there is none."""
        words, style, taken = title_at(lines, at)
        if not taken:
            return 0
        if style not in self.styles:
            self.styles.append(style)
        self.level = self.styles.index(style) + 1
        shown = self.inline.convert(words)
        self.add_heading(
            self.level, shown, self.identifiers.of(markdown_outline.plain(shown), self.labels.get(at, [])), out
        )
        return at + taken

    def add_heading(self, level: int, words: str, anchor: str, out: Lines) -> None:
        line = f"{'#' * min(6, level)} {words}"
        out.append(line)
        self._anchors[markdown_outline.read_heading(line)[1]].append(anchor)

    # --- Tables ----------------------------------------------------------------------------------------------

    def _read_table(self, lines: Lines, at: int, depth: int, out: Lines) -> int:
        """Read a table, which stays as it is if Markdown cannot hold it. Return the position after it, or 0."""
        if tables.GRID_BORDER.match(lines[at]):
            end = end_of_run(lines, at, lambda line: line.startswith(("+", "|")))
            rows = tables.grid(lines[at:end])
        elif _SIMPLE_TABLE.match(lines[at]):
            end = self._end_of_simple(lines, at)
            rows = tables.simple(lines[at:end]) if end else []
        else:
            return 0
        end = end or end_of_paragraph(lines, at)
        out.append(self.table(rows, depth) or "\n".join(lines[at:end]))
        return end

    def _end_of_simple(self, lines: Lines, at: int) -> int:
        """Return the end of a table, or 0; once it was not found, it is not looked for further below."""
        if self._without_tables is lines:
            return 0
        end = tables.end_of_simple(lines, at)
        self._without_tables = self._without_tables if end else lines
        return end

    def table(self, rows: list[tables.Row], depth: int) -> str:
        """Return a pipe table; empty without rows."""
        self.indented, before = True, self.indented
        shown = [[tables.flat(self.render(tables.cell(lines), depth + 1)) for lines in row] for row in rows]
        self.indented = before
        return tables.pipe_table(shown) if shown else ""

    # --- Lists and paragraphs ----------------------------------------------------------------------------------

    def _read_list(self, lines: Lines, at: int, depth: int, out: Lines) -> int:
        items: Lines = []
        bulleted = lines[at][0] in BULLETS
        while at < len(lines) and (marker := _ITEM.match(lines[at])) and (lines[at][0] in BULLETS) == bulleted:
            width = len(marker.group())
            end = end_of_indented(lines, at + 1, min(width, 2))
            body = [lines[at][width:], *dedent_by(width, lines[at + 1 : end])]
            items.append(self._item(marker.group().strip(), body, len(items) + 1, depth))
            at = next((i for i in range(end, len(lines)) if lines[i]), len(lines))
        self._add_items(items, out)
        return at

    def _item(self, marker: str, body: Lines, number: int, depth: int) -> str:
        counted = str(number) if "#" in marker else marker.strip("().")
        return self._bulleted("- " if marker in BULLETS else f"{counted}. ", "", body, depth)

    def _bulleted(self, bullet: str, label: str, body: Lines, depth: int) -> str:
        self.indented, before = True, self.indented
        text = "\n\n".join(self.render(body, depth + 1))
        self.indented = before
        return bullet + label + indent(text, " " * len(bullet))[len(bullet) :]

    def _add_items(self, items: Lines, out: Lines) -> None:
        out.extend([("\n\n" if any("\n\n" in item for item in items) else "\n").join(items)] if items else [])

    def _read_fields(self, lines: Lines, at: int, depth: int, out: Lines) -> int:
        items: Lines = []
        while at < len(lines) and (field := fields.FIELD.match(lines[at])):
            end = end_of_indented(lines, at + 1)
            body = [field.group(2) or "", *dedent(lines[at + 1 : end])]
            if any(body) and not fields.is_steering(field.group(1)):
                items.append(self._bulleted("- ", f"{fields.label(field.group(1))}: ", body, depth))
            at = end
        self._add_items(items, out)
        return at

    def _read_options(self, lines: Lines, at: int, depth: int, out: Lines) -> int:
        items: Lines = []
        while at < len(lines) and (option := fields.OPTION.match(lines[at])):
            end = end_of_indented(lines, at + 1)
            body = [option.group(2) or "", *dedent(lines[at + 1 : end])]
            items.append(self._bulleted("- ", f"`{option.group(1)}`" + (": " if any(body) else ""), body, depth))
            at = next((i for i in range(end, len(lines)) if lines[i]), len(lines))
        self._add_items(items, out)
        return at

    def _read_paragraph(self, lines: Lines, at: int, depth: int, out: Lines) -> int:
        end = end_of_run(lines, at, lambda line: line and line[0] != " ")
        if end < len(lines) and lines[end] and not lines[end - 1].endswith("::"):
            return self._read_definition(lines, at, end, depth, out)
        text = "\n".join(lines[at:end])
        if not text.endswith("::"):
            out.append(self.inline.convert(text))
            return end
        self._add_leading_in(text[:-2], out)
        after = end_of_indented(lines, end)
        if any(lines[end:after]):
            out.append(fence(lines[end:after], self.language))
        return after

    def _add_leading_in(self, text: str, out: Lines) -> None:
        """Add the paragraph before a literal block, with one of its two colons unless a space stands before them."""
        if text.strip():
            out.append(self.inline.convert(text.rstrip() + ("" if text[-1] in " \n" else ":")))

    def _read_definition(self, lines: Lines, at: int, body: int, depth: int, out: Lines) -> int:
        """Read terms and their definition, which is indented below."""
        end = end_of_indented(lines, body)
        out.append(f"**{self.inline.convert(', '.join(lines[at:body]))}**")
        out.extend(self.render(dedent(lines[body:end]), depth + 1))
        return end

    # --- Explicit markup: ``.. something`` ---------------------------------------------------------------

    def _read_explicit(self, lines: Lines, at: int, depth: int, out: Lines) -> int:
        end = end_of_indented(lines, at + 1)
        body = lines[at + 1 : end]
        if directive := _DIRECTIVE.match(lines[at]):
            if not directive.group(1):  # the definition of a substitution shows where it is used
                Directive(self, depth, out).add(directive.group(2).lower(), directive.group(3) or "", body)
        elif footnote := _FOOTNOTE.match(lines[at]):
            text = [footnote.group(2), *dedent(body)]
            out.append(f"{footnote.group(1)} " + "\n\n".join(self.render(text, depth + 1)))
        return end


class Directive:
    """One directive, whose blocks are added to ``out``; ``reader`` is the document's."""

    def __init__(self, reader: Reader, depth: int, out: Lines) -> None:
        self.reader, self.depth, self.out = reader, depth, out
        self.convert = reader.inline.convert

    def add(self, name: str, argument: str, body: Lines) -> None:
        if name in directives.DROPPED or (name in directives.INVISIBLE and not any(body)):
            return
        options, head, rest = directives.split_body(body)
        if name in directives.CODE:
            self._code(name, argument, options, head + rest)
        elif name in directives.TABLES:
            self._table(name, argument, options, head + rest)
        elif name in ("highlight", "program", *MODULES):
            self._set_context(name, argument, head + rest)
        elif name in ("image", "figure", "literalinclude"):
            self._picture_or_file(name, argument, options, rest)
        elif directives.label_of(name, argument):
            beside = directives.beside_name(name, argument)
            self._labelled(name, argument, directives.content_of(beside, head, rest))
        elif name in directives.CONTAINERS:
            self._render(body)
        else:
            self._object(name, [argument, *head], options, rest)

    def _render(self, lines: Lines) -> None:
        self.out.extend(self.reader.render(dedent(lines), self.depth + 1))

    def _code(self, name: str, argument: str, options: dict[str, str], code: Lines) -> None:
        if caption := options.get("caption"):
            self.out.append(self.convert(caption))
        if name in directives.ARGUMENT_IS_CODE and argument:
            code = [argument, *dedent(code)]
        if any(code):
            self.out.append(fence(code, directives.LANGUAGE_OF.get(name, argument.partition(" ")[0])))

    def _table(self, name: str, title: str, options: dict[str, str], body: Lines) -> None:
        self.out.extend([f"**{self.convert(title)}**"] if title else [])
        if name == "table":
            self._render(body)
            return
        rows = tables.from_list(body) if name == "list-table" else tables.from_csv(body, options)
        self.out.extend(filter(None, [self.reader.table(rows, self.depth)]))

    def _set_context(self, name: str, argument: str, body: Lines) -> None:
        """Set the module, program or language that later directives refer to."""
        named = "" if argument == "None" else argument
        if name == "highlight":
            self.reader.language = argument.partition(" ")[0]
        elif name == "program":
            self.reader.namespace.program = named
        else:
            self.reader.namespace.module = named
            self._render(body)

    def _picture_or_file(self, name: str, argument: str, options: dict[str, str], rest: Lines) -> None:
        if name == "literalinclude":
            self.out.append(f"The code of `{argument}`.")
            return
        self.out.extend([self.convert(options["alt"])] if options.get("alt") else [])
        self._render(rest)

    def _labelled(self, name: str, argument: str, lines: Lines) -> None:
        """Add a note's label and its content; a version's label begins the first paragraph."""
        label = f"**{self.convert(directives.label_of(name, argument))}**"
        content = self.reader.render(lines, self.depth + 1)
        begins_with_words = content and not content[0].startswith(("`" * 3, "- ", "1. ", "**", "|", "#"))
        if name in directives.VERSIONS and begins_with_words:
            label, content = f"{label} {content[0]}", content[1:]
        self.out.extend([label, *content])

    def _object(self, name: str, head: Lines, options: dict[str, str], rest: Lines) -> None:
        """Add a heading with an object's first signature, the others below it, then its text one level deeper."""
        shown, bare = signatures(name, head), [line.strip() for line in head if line.strip()]
        if not shown or not is_object(name) or self.reader.indented:
            self._signatures(shown)
            self._render(rest)
            return
        namespace, short = self.reader.namespace, short_signature(shown[0])
        self.reader.level += 1
        anchor = namespace.anchor(name, bare[0], options)
        self.reader.add_heading(self.reader.level, f"`{short}`", anchor, self.out)
        self._signatures(shown if short != shown[0] else shown[1:])
        before = namespace.enter(name, bare[0])
        self._render(rest)
        namespace.parent = before
        self.reader.level -= 1

    def _signatures(self, shown: Lines) -> None:
        self.out.extend(["\n".join(f"`{signature}`" for signature in shown)] if shown else [])


def short_signature(signature: str) -> str:
    return signature if len(signature) <= MAX_SIGNATURE_CHARS else signature[:MAX_SIGNATURE_CHARS].partition("(")[0]
