"""MyST: fences whose language is the name of a directive in braces → the blocks that they show."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from ingestion.extraction.admonitions import UNNAMED, label
from ingestion.extraction.markdown.lines import dedent, end_of_run, fence
from ingestion.extraction.markdown.marks import DIRECTIVE_OPTION, file_note
from ingestion.extraction.markdown.tables import flat, from_csv, from_list, pipe_table
from ingestion.extraction.rst import reader as rst

Lines = list[str]


class BlockRenderer(Protocol):
    """A reader of the text inside a directive."""

    def render(self, lines: Lines) -> Lines: ...

    def convert(self, text: str) -> str: ...


def blocks(around: BlockRenderer, name: str, argument: str, body: Lines) -> Iterator[str]:
    from ingestion.extraction.rst.directives import CODE, DROPPED

    start = end_of_run(body, 0, lambda line: DIRECTIVE_OPTION.match(line.strip()))
    content, bare = body[start:], name.rpartition(":")[2]
    if bare in CODE:
        language = CODE[bare]
        yield fence(content, argument.partition(" ")[0] if language is None else language)
    elif bare == "literalinclude":
        yield file_note(argument)
    elif bare == "eval-rst":
        yield rst.read("", "\n".join(content)).markdown
    elif bare in ("list-table", "csv-table"):
        yield from _table(around, bare, argument, content)
    elif bare not in DROPPED and bare not in ("image", "autosummary", "include"):
        yield from _note(around, bare, argument, content)


def _note(around: BlockRenderer, name: str, argument: str, content: Lines) -> Iterator[str]:
    """Yield the blocks of a note or box; a box's argument is its title, a note's its first words."""
    from ingestion.extraction.rst.directives import LABELS, NOTES, VERSIONS

    if name in VERSIONS:
        yield f"**{LABELS[name]} {argument}**"
    elif name in NOTES:
        yield label(name)
        content = [argument, *content]
    elif name in UNNAMED:
        yield label(name, around.convert(argument))
    yield "\n".join(around.render(dedent(content))).strip("\n")


def _table(around: BlockRenderer, name: str, title: str, content: Lines) -> Iterator[str]:
    rows = from_list(content) if name == "list-table" else from_csv(content, {})
    cells = [[flat(around.render(dedent(cell))) for cell in row] for row in rows]
    yield from (label("container", around.convert(title)), pipe_table(cells) if cells else "")
