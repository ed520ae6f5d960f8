"""An element of a page → Markdown.

Blocks are joined by blank lines; a paragraph is one line, whatever its source looked like. Links inside the
same site keep their words only. A heading in a list, a table or a quotation is a bold line, since it opens no
section of the page. Time is linear in the page; recursion is bounded by the tree's depth.

markdownify took 60 ms for a page of Django's documentation, this takes 2. html-to-markdown is as fast, but drops
what is nested some hundred levels deep, takes a gigabyte for a million links, and knows neither the languages of
highlighters nor definition lists, notes, tabs and anchors as documentation writes them.
"""

from __future__ import annotations

import re
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from textwrap import indent

from ingestion import markdown_outline
from ingestion.extraction.admonitions import KNOWN, label
from ingestion.extraction.html import code, tables
from ingestion.extraction.html.inline import BREAK, LineConverter
from ingestion.extraction.html.parser import Node

HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
# Elements that name a note: each becomes a paragraph of its own, in bold.
TITLES = frozenset({
    "admonition-title", "admonition-heading", "admonitionHeading", "custom-block-title", "markdown-alert-title",
    "starlight-aside__title", "alert-heading", "note-title", "warning-title", "important-title", "caption-text",
    "admonition-label", "callout-title", "callout-heading", "topic-title", "sidebar-title", "rubric",
    "code-block-caption", "code-block-title", "codeBlockTitle", "filename", "listing-title", "sd-summary-title",
    "sd-tab-label",
})  # fmt: skip
# Notes whose kind is a class; they may have no such element.
BOXES = frozenset({
    "admonition", "alert", "custom-block", "markdown-alert", "hint", "callout", "book-hint", "nextra-callout",
    "starlight-aside", "theme-admonition", "admonitionblock", "notices", "gdoc-hint",
})  # fmt: skip
# Elements that hold the signature of an API without being blocks of code.
SIGNATURES = frozenset({"attr", "sig", "member-signature", "memproto"})
# Elements in a term that is such a signature.
SIGNATURE_NAMES = frozenset({"sig-name", "descname", "descclassname"})
# Deeper lists and quotations are not indented further, and none is once indentation has added a quarter of the page's
# length, or this: a page of line ends alone in eight lists would grow to nine times its size.
MAX_INDENTS = 8
ROOM_SHARE, LEAST_ROOM = 4, 100_000

_PARAGRAPHS = re.compile(r"\0\s*\0[\s\0]*")
_LINE_START = re.compile(r"^([ \t]{0,3})(#{1,6}[ \t]|```|~~~)", re.MULTILINE)
_LIST = re.compile(r"(?:- |\d+\. )")
_KIND = re.compile(r"(?:alert|markdown-alert|theme-admonition|starlight-aside--|is|hint|book-hint)?-?([a-z]+)$")

Blocks = list[str]


class Converter(LineConverter):
    """Converts the elements of one page; headings, in order, are noted with their fragments.

    ``page_chars``: the length of the page, which bounds what indentation may add.
    """

    def __init__(self, page_url: str, anchors: dict[Node, str] | None = None, *, page_chars: int = 0) -> None:
        super().__init__(page_url)
        self._room = max(LEAST_ROOM, page_chars // ROOM_SHARE)
        self.anchors = anchors or {}
        self._fragments: dict[str, deque[str]] = defaultdict(deque)
        self._nested = 0  # lists, tables and quotations around what is being read

    def convert(self, main: Node) -> str:
        """Return the Markdown of an element."""
        return "\n\n".join(self._blocks(main))

    def anchor_of(self, words: str) -> str:
        """Return the fragment of the next heading with these words."""
        return self._fragments[words].popleft() if self._fragments[words] else ""

    # --- Blocks ------------------------------------------------------------------------------------------

    def _blocks(self, node: Node) -> Blocks:
        out: Blocks = []
        line: list[str] = []
        for child in node.children:
            if isinstance(child, str):
                line.append(child)
            elif child.holds_blocks:
                _end_line(line, out)
                convert = _BLOCKS.get(child.tag, Converter._blocks_of_box)
                out += convert(self, child)
            else:
                self.add(child, line)
        _end_line(line, out)
        return out

    def _blocks_of_box(self, node: Node) -> Blocks:
        """Return the blocks of any other element: a note with its name first, a title in bold."""
        if not node.classes:
            return self._blocks(node)
        if not node.classes.isdisjoint(SIGNATURES):
            return self._term(node)
        if node.classes & TITLES or any(name.partition("_")[0] in TITLES for name in node.classes):
            return self._bold(node)
        blocks = self._blocks(node)
        return [*_name_of_box(node, blocks), *blocks] if blocks and node.classes & BOXES else blocks

    def _bold(self, node: Node) -> Blocks:
        words = self.words_of(node, plain=True)
        return [f"**{words}**"] if words else []

    def _heading(self, node: Node) -> Blocks:
        words = self.words_of(node, plain=True)
        if not words:
            return []
        if self._nested:
            return [f"**{words}**"]
        self._fragments[markdown_outline.read_heading(f"# {words}")[1]].append(self.anchors.get(node, ""))
        return [f"{'#' * int(node.tag[1])} {words}"]

    def _term(self, node: Node) -> Blocks:
        words = self.words_of(node, plain=True)
        if not words:
            return []
        names = (not inner.classes.isdisjoint(SIGNATURE_NAMES) for inner in node.elements())
        is_signature = not node.classes.isdisjoint(SIGNATURES) or any(names)
        return [f"`{words.replace('`', '')}`"] if is_signature else [f"**{words}**"]

    def _list(self, node: Node) -> Blocks:
        counted = node.tag == "ol"
        start = node.get("start")
        number = int(start) if start.isascii() and start.isdigit() and len(start) < 6 else 1
        items: Blocks = []
        for child in node.children:
            if isinstance(child, str) and child.isspace():
                continue
            has_number = counted and isinstance(child, Node)  # words between items have none
            if text := self._item(child, f"{number}. " if has_number else "- "):
                items.append(text)
                number += has_number
        return ["\n".join(items)] if items else []

    def _item(self, item: Node | str, bullet: str) -> str:
        self._nested += 1
        blocks = self._blocks(item if isinstance(item, Node) and item.tag == "li" else _around([item]))
        self._nested -= 1
        if not blocks:
            return ""
        text = blocks[0]
        for block in blocks[1:]:
            text += ("\n" if _LIST.match(block) else "\n\n") + block
        if self._has_room(text, len(bullet)):
            text = indent(text, " " * len(bullet))[len(bullet) :]
        return bullet + text

    def _has_room(self, text: str, width: int) -> bool:
        """Return whether a text may be indented by ``width``, and count what that adds."""
        added = width * text.count("\n")
        if self._nested >= MAX_INDENTS or added > self._room:
            return False
        self._room -= added
        return True

    def _quotation(self, node: Node) -> Blocks:
        """Return the blocks of a quotation; ``>`` is left out where it would break code or tables."""
        self._nested += 1
        blocks = self._blocks(node)
        self._nested -= 1
        if not blocks or node.classes & BOXES:
            return [*_name_of_box(node, blocks), *blocks] if blocks else []
        text = "\n\n".join(blocks)
        if any(block.startswith(("```", "|", "**")) for block in blocks) or not self._has_room(text, len("> ")):
            return blocks
        return [indent(text, "> ", lambda line: True)]

    def _table(self, node: Node) -> Blocks:
        captions = {child: None for child in node.elements() if child.tag == "caption"}
        named = [block for caption in captions for block in self._bold(caption)]
        if tables.is_layout(node):
            return named + self._blocks(_around([child for child in node.children if child not in captions]))
        self._nested += 1
        strays = self._blocks(_around(tables.strays(node)))
        table = tables.pipe_table(node, lambda cell: " ".join(" ".join(self._blocks(cell)).split()).replace("|", "\\|"))
        self._nested -= 1
        return named + strays + ([table] if table else [])


_BLOCKS: dict[str, Callable[[Converter, Node], Blocks]] = {
    **dict.fromkeys(HEADINGS, Converter._heading),
    **dict.fromkeys(("ul", "ol", "menu", "dir"), Converter._list),
    **dict.fromkeys(("summary", "caption", "legend"), Converter._bold),
    "pre": lambda _, node: [block] if (block := code.fence(node)) else [],
    "dt": Converter._term,
    "blockquote": Converter._quotation,
    "table": Converter._table,
    "hr": lambda _, node: [],
}


def _end_line(line: list[str], out: Blocks) -> None:
    """Add the paragraphs in ``line`` to the blocks and empty it."""
    if not line:
        return
    text = "".join(line)
    line.clear()
    if text.isspace():
        return
    for paragraph in _PARAGRAPHS.split(text) if BREAK in text else [text]:
        parts = (" ".join(part.split()) for part in paragraph.split(BREAK))
        if words := "\n".join(part for part in parts if part):
            out.append(_LINE_START.sub(r"\1\\\2", words) if words[0] in "#`~" or "\n" in words else words)


def _around(children: Sequence[Node | str]) -> Node:
    """Return an element that holds these alone, so that they are read as blocks."""
    holder = Node("div", {}, None)
    holder.children = list(children)
    return holder


def _name_of_box(node: Node, blocks: Blocks) -> Blocks:
    """Return the name of a note in bold by its classes, unless its first line is one."""
    if blocks[0].startswith("**"):
        return []
    kinds = (match.group(1) for name in sorted(node.classes) if (match := _KIND.match(name.lower())))
    name = label(next((kind for kind in kinds if kind in KNOWN), ""))
    return [name] if name else []
