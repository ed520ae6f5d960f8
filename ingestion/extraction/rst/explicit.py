"""Directives of reStructuredText → Markdown blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingestion.extraction.rst import directives, tables
from ingestion.extraction.rst.lines import dedent, fence
from ingestion.extraction.rst.sphinx_objects import MODULES, is_object, signatures

if TYPE_CHECKING:
    from ingestion.extraction.rst.reader import Reader

# A longer signature stands below its heading: a heading's path is repeated in each of its chunks.
MAX_SIGNATURE_CHARS = 120

Lines = list[str]


class Directive:
    """One directive, read with what the reader of the document knows, added to its blocks."""

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
        """What the directives after this one refer to."""
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
        """The label, then what the directive holds; a version stands at the start of its paragraph."""
        label = f"**{self.convert(directives.label_of(name, argument))}**"
        content = self.reader.render(lines, self.depth + 1)
        begins_with_words = content and not content[0].startswith(("`" * 3, "- ", "1. ", "**", "|", "#"))
        if name in directives.VERSIONS and begins_with_words:
            label, content = f"{label} {content[0]}", content[1:]
        self.out.extend([label, *content])

    def _object(self, name: str, head: Lines, options: dict[str, str], rest: Lines) -> None:
        """A heading with the first signature, the others below it, then the object's text one level deeper."""
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
