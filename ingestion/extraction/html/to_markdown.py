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
from ingestion.extraction.dropped import DroppedWords
from ingestion.extraction.html import code, tables
from ingestion.extraction.html.inline import BREAK, LineConverter, code_span, one_line
from ingestion.extraction.html.parser import Node
from ingestion.extraction.sanitize import clean

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
SIGNATURES = frozenset({"attr", "sig", "member-signature", "type-signature", "memproto"})
# Lists of Javadoc whose items are the sections of a page.
SECTION_LISTS = frozenset({
    "blockList", "blockListLast", "block-list", "block-list-last", "summary-list", "details-list", "member-list",
})  # fmt: skip
# Elements in a term that is such a signature.
SIGNATURE_NAMES = frozenset({"sig-name", "descname", "descclassname"})
# Deeper lists and quotations are not indented further, and none is once indentation has added a quarter of the page's
# length, or this: a page of line ends alone in eight lists would grow to nine times its size.
MAX_INDENTS = 8
ROOM_SHARE, LEAST_ROOM = 4, 100_000

_BAR = re.compile(r"(?<!\\)(\\*)\|")
_PARAGRAPHS = re.compile(r"\0\s*\0[\s\0]*")
_LINE_START = re.compile(r"^([ \t]{0,3})(#{1,6}[ \t]|```|~~~)", re.MULTILINE)
_LIST = re.compile(r"(?:-|\d+\.)\s")
_KIND = re.compile(r"(?:alert|markdown-alert|theme-admonition|starlight-aside--|is|hint|book-hint)?-?([a-z]+)$")

Blocks = list[str]


class Converter(LineConverter):
    """Converts the elements of one page; headings, in order, are noted with their fragments.

    ``page_chars``: the length of the page, which bounds what indentation and repeated cells may add. ``dropped``
    counts the words that are left out: line numbers and buttons of code.
    """

    def __init__(
        self,
        page_url: str,
        anchors: dict[Node, str] | None = None,
        *,
        page_chars: int = 0,
        dropped: DroppedWords | None = None,
    ) -> None:
        super().__init__(page_url)
        self.dropped = dropped or DroppedWords()
        self._room = max(LEAST_ROOM, page_chars // ROOM_SHARE)
        self.anchors = anchors or {}
        self._fragments: dict[str, deque[str]] = defaultdict(deque)
        self._nested = 0  # lists, tables and quotations around what is being read

    def convert(self, main: Node) -> str:
        """Return the Markdown of an element."""
        return "\n\n".join(self._blocks(main))

    def anchor_of(self, words: str) -> str:
        """Return the fragment of the next heading with these words, and use it up; an empty string if there is none."""
        return self._fragments[words].popleft() if self._fragments[words] else ""

    # --- Blocks ------------------------------------------------------------------------------------------

    def _blocks(self, node: Node) -> Blocks:
        """Return the blocks of Markdown of what is in an element.

        Text and elements within a line that stand between the blocks become paragraphs.
        """
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
        """Return the blocks of an element without a converter of its own: by its classes, a note, a title or code."""
        if not node.classes:
            return self._blocks(node)
        if not node.classes.isdisjoint(SIGNATURES):
            return self._term(node)
        if not node.classes.isdisjoint(code.BOXES):
            return self._fence(node)
        if "summary-table" in node.classes:
            return self._table(tables.of_javadoc(node))
        if node.classes & TITLES or any(name.partition("_")[0] in TITLES for name in node.classes):
            return self._bold(node)
        blocks = self._blocks(node)
        return [*_name_of_box(node, blocks), *blocks] if blocks and node.classes & BOXES else blocks

    def _bold(self, node: Node) -> Blocks:
        """Return the words of an element as one block in bold, without emphasis and links; no block without words."""
        words = self.words_of(node, plain=True)
        return [f"**{words}**"] if words else []

    def _name(self, node: Node) -> Blocks:
        """Return the name of a box or a table as a block in bold, or as headings if it contains any."""
        return self._blocks(node) if any(inner.tag in HEADINGS for inner in node.walk()) else self._bold(node)

    def _fence(self, node: Node) -> Blocks:
        """Return the code in an element as one block, a fence; no block if it has none.

        The words of line numbers and buttons in it are counted as dropped.
        """
        fence = code.fence(node, self.dropped)
        return [fence] if fence else []

    def _code(self, node: Node) -> Blocks:
        """Return a ``code`` element that holds blocks as a fence, or their blocks if they are more than lines of code.

        They are if somebody forgot to end the element.
        """
        is_code = all(inner.tag in ("div", "p", "pre") for inner in node.walk() if inner.holds_blocks and inner != node)
        return self._fence(node) if is_code else self._blocks(node)

    def _heading(self, node: Node) -> Blocks:
        """Return a heading as one block, in bold inside a list, table or quotation; no block without words.

        The fragment of one that is not in bold is kept for ``anchor_of``.
        """
        words = self.words_of(node, plain=True)
        if "code-header" in node.classes:
            words = code_span(words.replace("`", ""))
        if not words:
            return []
        if self._nested:
            return [f"**{words}**"]
        self._fragments[markdown_outline.read_heading(f"# {clean(words)}")[1]].append(self.anchors.get(node, ""))
        return [f"{'#' * int(node.tag[1])} {words}"]

    def _term(self, node: Node) -> Blocks:
        """Return the words of a term as one block, in bold, or as code if it is a signature; no block without words."""
        words = self.words_of(node, plain=True)
        if not words:
            return []
        names = (not inner.classes.isdisjoint(SIGNATURE_NAMES) for inner in node.elements())
        is_signature = not node.classes.isdisjoint(SIGNATURES) or any(names)
        return [f"`{words.replace('`', '')}`"] if is_signature else [f"**{words}**"]

    def _list(self, node: Node) -> Blocks:
        """Return a list as one block, with a dash or a number before each item; no block if all items are empty.

        Empty items are left out and not counted. A list in ``SECTION_LISTS`` gives the blocks of its items instead.
        """
        if node.classes & SECTION_LISTS:
            return self._blocks(_around([child for item in node.children for child in _content(item)]))
        counted = node.tag == "ol"
        start = node.get("start")
        number = int(start) if start.isascii() and start.isdigit() and len(start) < 6 else 1
        items: Blocks = []
        for item, content in _items(node):
            has_number = counted and isinstance(item, Node)  # words between items have none
            if text := self._item(content, f"{number}. " if has_number else "- "):
                items.append(text)
                number += has_number
        return ["\n".join(items)] if items else []

    def _item(self, content: Sequence[Node | str], bullet: str) -> str:
        """Return one item of a list: ``bullet``, then the blocks of ``content``; an empty string if there are none.

        Lines after the first are indented by the width of ``bullet`` where they may be; code and tables begin a line.
        """
        self._nested += 1
        blocks = self._blocks(_around(content))
        self._nested -= 1
        if not blocks:
            return ""
        text, width = blocks[0], len(bullet)
        for block in blocks[1:]:
            text += ("\n" if _LIST.match(block) else "\n\n") + block
        if text.startswith(("```", "|")):  # code and tables begin a line
            bullet, text = bullet.rstrip(), f"\n{text}"
        if self._may_indent(text, width):
            text = indent(text, " " * width).removeprefix(" " * width)
        return bullet + text

    def _may_indent(self, text: str, width: int) -> bool:
        """Return whether the lines of a text after the first may be indented by ``width`` characters each.

        If so, they are taken from the room that the page has left. It may not if there is too little room, or if too
        many lists, tables and quotations are around it.
        """
        return self._nested < MAX_INDENTS and self._has_room(width * text.count("\n"))

    def _has_room(self, chars: int) -> bool:
        """Return whether so many characters may be added to the page, and count them."""
        if chars > self._room:
            return False
        self._room -= chars
        return True

    def _quotation(self, node: Node) -> Blocks:
        """Return the blocks of a quotation; ``>`` is left out where it would break code or tables."""
        self._nested += 1
        blocks = self._blocks(node)
        self._nested -= 1
        if not blocks or node.classes & BOXES:
            return [*_name_of_box(node, blocks), *blocks] if blocks else []
        text = "\n\n".join(blocks)
        if any(block.startswith(("```", "|", "**")) for block in blocks) or not self._may_indent(text, len("> ")):
            return blocks
        return [indent(text, "> ", lambda line: True)]

    def _table(self, node: Node) -> Blocks:
        """Return a table as its captions in bold, what stands in no cell, and a pipe table, if it has words.

        Of one that only lays out a page, return the captions and the blocks of its content.
        """
        captions = {child: None for child in node.elements() if child.tag == "caption"}
        named = [block for caption in captions for block in self._bold(caption)]
        if tables.is_layout(node):
            return named + self._blocks(_around([child for child in node.children if child not in captions]))
        self._nested += 1
        strays = self._blocks(_around(tables.strays(node)))
        table = tables.pipe_table(node, self._cell, self._has_room)
        self._nested -= 1
        return named + strays + ([table] if table else [])

    def _cell(self, node: Node) -> str:
        """Return a cell as one line; a backslash before a bar is doubled, or it would take the bar's own away."""
        return _BAR.sub(r"\1\1\\|", " ".join(" ".join(self._blocks(node)).split()))


_BLOCKS: dict[str, Callable[[Converter, Node], Blocks]] = {
    **dict.fromkeys(HEADINGS, Converter._heading),
    **dict.fromkeys(("ul", "ol", "menu", "dir"), Converter._list),
    **dict.fromkeys(("summary", "caption", "legend"), Converter._name),
    **dict.fromkeys(("pre", "listing", "xmp"), Converter._fence),
    "code": Converter._code,
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
        parts = map(one_line, paragraph.split(BREAK))
        if words := "\n".join(part for part in parts if part):
            out.append(_LINE_START.sub(r"\1\\\2", words) if words[0] in "#`~" or "\n" in words else words)


def _items(node: Node) -> list[tuple[Node | str, list[Node | str]]]:
    """Return each item of a list with its content; a list directly inside the list belongs to the item before it."""
    items: list[tuple[Node | str, list[Node | str]]] = []
    for child in node.children:
        if isinstance(child, str) and child.isspace():
            continue
        if items and isinstance(child, Node) and child.tag in ("ul", "ol", "menu", "dir"):
            items[-1][1].append(child)
        else:
            items.append((child, _content(child)))
    return items


def _content(item: Node | str) -> list[Node | str]:
    """Return a new list of what is in an ``li``; of any other element or text in a list, that item alone."""
    return list(item.children) if isinstance(item, Node) and item.tag == "li" else [item]


def _around(children: Sequence[Node | str]) -> Node:
    """Return an element that holds these alone, so that they are read as blocks."""
    holder = Node("div", {}, None)
    holder.children = list(children)
    return holder


def _name_of_box(node: Node, blocks: Blocks) -> Blocks:
    """Return the name of a note, by its classes, as a block in bold; none if the note begins in bold already."""
    if blocks[0].startswith("**"):
        return []
    kinds = (match.group(1) for name in sorted(node.classes) if (match := _KIND.match(name.lower())))
    name = label(next((kind for kind in kinds if kind in KNOWN), ""))
    return [name] if name else []
