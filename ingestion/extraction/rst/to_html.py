"""A document tree of docutils → the tree of a page of HTML, which one converter writes as Markdown.

References lead where ``References`` says, messages of docutils are not shown, except for the text in them that stands
nowhere else. Recursion is bounded by the tree's depth, and that by the parser.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from docutils import nodes

from ingestion.extraction.html.parser import BLOCKS, Node, parse
from ingestion.extraction.rst.directive import Highlight
from ingestion.extraction.rst.page import MADE_UP, Page
from ingestion.extraction.rst.references import References

# Element → tag; one that stands in no table here is shown as what it holds.
TAGS: dict[type[Any], str] = {
    nodes.paragraph: "p", nodes.caption: "p", nodes.bullet_list: "ul", nodes.list_item: "li",
    nodes.definition_list: "dl", nodes.definition: "dd", nodes.block_quote: "blockquote", nodes.line_block: "p",
    nodes.table: "table", nodes.row: "tr", nodes.option_list: "ul", nodes.field_list: "ul", nodes.emphasis: "em",
    nodes.strong: "strong", nodes.literal: "code", nodes.superscript: "sup", nodes.subscript: "sub",
}  # fmt: skip
UNSEEN = (nodes.Invisible, nodes.Decorative)
# Fields that steer the build of a page.
STEERING = {"orphan", "tocdepth", "nocomments", "no-search", "nosearch", "noindex", "no-index", "allow_comments"}
PARAMETERS = {
    "param", "parameter", "arg", "argument", "key", "keyword", "kwarg", "ivar", "var", "cvar", "type", "vartype",
}  # fmt: skip
RAISED = {"raises", "raise", "except", "exception"}
FIELDS = {"returns": "Returns", "return": "Returns", "rtype": "Return type", "yields": "Yields", "yield": "Yields"}
# The line of a title, or of a table between rows.
_ADORNMENT = re.compile(r"\s*(?:([!-/:-@\[-`{-~])\1*|[+][-=+]*|[-=][-= ]*)\s*$")
MESSAGE_WITH_TEXT = 3  # the level from which on the text that a message quotes stands nowhere else
MAX_REFERRED_CHARS = 200  # of a heading, to be shown in each of a page's references to it


class HtmlTree:
    """The page's tree under ``root``, and the fragments of its headings."""

    def __init__(self, document: Any, page: Page) -> None:
        self.references = References(document, page)
        self.page = page
        self.language = ""
        self.shows_heading = False  # in place of a reference
        self.anchors: dict[Node, str] = {}
        self.root = Node("", {}, None)
        self._fill(_child(self.root, "body"), document)

    def _fill(self, here: Node, element: Any) -> Node:
        """Add all that ``element`` holds to the end of ``here``, and return ``here``."""
        for child in element.children:
            self._add(here, child)
        return here

    def _add(self, here: Node, element: Any) -> None:
        """Add an element to ``here``: as ``_SPECIAL`` says of its kind, by its tag in ``TAGS``, or else what it holds.

        Text is added as it is. An element in neither table whose kind is in ``UNSEEN`` adds nothing.
        """
        kind = type(element)
        if kind is nodes.Text:
            here.children += filter(None, [element.astext()])
        elif add := _SPECIAL.get(kind):
            add(self, here, element)
        elif tag := TAGS.get(kind):
            self._fill(_child(here, tag), element)
        elif not isinstance(element, UNSEEN):
            self._fill(here, element)

    # --- Blocks --------------------------------------------------------------------------------------------

    def _title(self, here: Node, title: Any) -> None:
        """Add a heading of at most level 6, and note its fragment in ``anchors``.

        A title without a level, of a box, becomes a ``div``. The fragment is the heading's own id, or else a label
        before it, or else empty.
        """
        if "level" not in title:  # of a box
            self._fill(_child(here, "div", **{"class": "rubric"}), title)
            return
        heading = _child(here, f"h{min(6, title['level'])}")
        own = [name for name in title["ids"] if not name.startswith(MADE_UP)]
        self.anchors[heading] = next(iter([*own, *title.get("labels", ())]), "")
        self._fill(heading, title)

    def _code(self, here: Node, block: Any) -> None:
        """Add a block of code whose class names its language, or the page's if the block has none.

        A doctest is ``pycon``; an empty language sets no class.
        """
        language = "pycon" if isinstance(block, nodes.doctest_block) else block.get("language")
        language = self.language if language is None else language
        self._fill(_child(here, "pre", **({"class": f"language-{language}"} if language else {})), block)

    def _numbered(self, here: Node, items: Any) -> None:
        """Add a numbered list that begins at the number that ``items`` gives, or at 1."""
        self._fill(_child(here, "ol", start=str(items.get("start", 1))), items)

    def _definition(self, here: Node, item: Any) -> None:
        """Add a term with its classifiers, then what it means."""
        term = _child(here, "dt")
        for part in item.children:
            if isinstance(part, nodes.term | nodes.classifier):
                term.children += [" : "] if term.children else []
                self._fill(term, part)
        self._fill(here, nodes.container("", *(part for part in item.children if isinstance(part, nodes.definition))))

    def _line(self, here: Node, line: Any) -> None:
        """Add a line of a line block, after a line break unless it is the first thing in ``here``."""
        if here.children:
            _child(here, "br")
        self._fill(here, line)

    def _attribution(self, here: Node, attribution: Any) -> None:
        """Add the source of a quotation as a paragraph that begins with a dash."""
        box = _child(here, "p")
        box.children.append("— ")
        self._fill(box, attribution)

    def _cell(self, here: Node, entry: Any) -> None:
        """Add a cell of a table, with the numbers of rows and columns that it spans."""
        spans = {"rowspan": str(entry.get("morerows", 0) + 1), "colspan": str(entry.get("morecols", 0) + 1)}
        self._fill(_child(here, "td", **spans), entry)

    def _field(self, here: Node, field: Any) -> None:
        """Add a field as an item of a list: its name, then its text; nothing if its name is in ``STEERING``.

        A parameter is shown as code with its type in parentheses, an error as "Raises" and its name, a result by its
        label in ``FIELDS``. Any other name begins with a capital.
        """
        name, body = field.children
        if name.astext().lower() in STEERING:
            return
        kind, _, rest = name.astext().partition(" ")
        named: list[Any] = []
        if kind in PARAMETERS and rest:
            *types, last = rest.split()
            typed = [nodes.Text(" ("), nodes.literal("", " ".join(types)), nodes.Text(")")] if types else []
            named = [nodes.literal("", last), *typed]
        elif kind in RAISED and rest:
            named = [nodes.Text("Raises "), nodes.literal("", rest)]
        elif name.astext() in FIELDS:
            named = [nodes.Text(FIELDS[name.astext()])]
        else:
            named = list(name.children)
            if named and isinstance(named[0], nodes.Text):
                named[0] = nodes.Text(named[0][:1].upper() + named[0][1:])
        self._labelled(_child(here, "li"), named, body, ": " if body.children else "")

    def _option(self, here: Node, item: Any) -> None:
        """Add an option of a program as an item of a list: its names as code, then its description."""
        group, description = item.children
        name = ", ".join(option.rawsource for option in group.children)
        self._labelled(_child(here, "li"), [nodes.literal(name, name)], description, ": ")

    def _note(self, here: Node, note: Any) -> None:
        """Add a footnote or citation under its label in brackets."""
        label = note.children[0].astext() if note.children and isinstance(note.children[0], nodes.label) else "#"
        body = nodes.container("", *(part for part in note.children if not isinstance(part, nodes.label)))
        self._labelled(here, [nodes.Text(f"[{label}]")], body, " ")

    def _labelled(self, here: Node, label: list[Any], body: Any, between: str) -> None:
        """Add the parts of ``body``, the first of them beside the label if it is a paragraph."""
        line = _child(here, "p")
        self._fill(line, nodes.inline("", "", *label, nodes.Text(between.rstrip() or between)))
        rest = list(body.children)
        if rest and isinstance(rest[0], nodes.paragraph):
            line.children.append(" ")
            self._fill(line, rest.pop(0))
        self._fill(here, nodes.container("", *rest))

    def _message(self, here: Node, message: Any) -> None:
        """Add the text that a message quotes if it stands nowhere else: a malformed table, a title that is none."""
        for block in message.children if message["level"] >= MESSAGE_WITH_TEXT else ():
            lines = [line for line in block.astext().split("\n") if not _ADORNMENT.match(line)]
            if not isinstance(block, nodes.literal_block) or not any(lines):
                continue
            if all(line.startswith("|") for line in lines):
                table = _child(here, "table")
                for line in lines:
                    row = _child(table, "tr")
                    for cell in line.strip("| ").split("|"):
                        _child(row, "td").children.append(cell)
            else:
                _child(here, "pre" if len(lines) > 1 else "p").children.append("\n".join(lines))

    # --- Within a line ---------------------------------------------------------------------------------------

    def _reference(self, here: Node, reference: Any) -> None:
        """Add the words of a reference, as a link if it leads to an address off the page.

        A reference to a label shows the heading's words, or the label with spaces for hyphens if no heading has it, if
        the heading is long, or within the words of another heading. A word that only looks like a reference keeps its
        underscore. A reference without a name uses up the next address without one.
        """
        heading = self.page.titles.get(reference.get("label"))
        if heading and not self.shows_heading and len(heading.rawsource) <= MAX_REFERRED_CHARS:
            self.shows_heading = True
            self._fill(here, heading)
            self.shows_heading = False
        elif reference.hasattr("label"):
            here.children.append(reference.astext().replace("-", " "))
        elif address := self.references.address_of(reference):
            self._fill(_child(here, "a", href=address), reference)
        elif address is None and reference.rawsource.startswith(reference.astext()):
            here.children.append(reference.rawsource)  # a word that ends in an underscore
        else:
            self._fill(here, reference)

    def _footnote_reference(self, here: Node, reference: Any) -> None:
        """Add the number or name of a footnote or citation in brackets; a reference without a name uses up a number."""
        here.children.append(f"[{self.references.label_of(reference)}]")

    def _substitution(self, here: Node, reference: Any) -> None:
        """Add the elements that a substitution stands for, or its name or the character of that name if it has none.

        Names that the build alone knows add nothing.
        """
        with self.references.substituted(reference) as elements:
            for element in elements:
                self._add(here, element)

    def _image(self, here: Node, image: Any) -> None:
        """Add an image with the words that stand for it, without an address; outside a line as its own paragraph."""
        line = here if isinstance(image.parent, nodes.TextElement) else _child(here, "p")
        _child(line, "img", alt=image.get("alt", ""))

    def _formula(self, here: Node, formula: Any) -> None:
        """Add a formula as a ``math`` element whose ``alttext`` is its source."""
        _child(here, "math", alttext=formula.astext())

    def _raw(self, here: Node, raw: Any) -> None:
        """Add the elements of raw HTML; count raw text in another format as dropped, and add nothing.

        Within a line, ``html``, ``body`` and ``p`` around the rest are left out.
        """
        if "html" not in raw["format"].lower():
            self.page.dropped.add(f"text for {raw['format'] or 'other formats'} alone", raw.astext())
            return
        around = ("html", "body", "p") if isinstance(raw.parent, nodes.TextElement) else ()
        body = parse(raw.astext()).root
        while len(inner := body.elements()) == len(body.children) == 1 and inner[0].tag in around:
            body = inner[0]
        here.children += body.children

    def _highlight(self, here: Node, highlight: Any) -> None:
        """Note the language of the blocks of code from here on that name none; it may be empty."""
        self.language = highlight["language"]


_SPECIAL: dict[type[Any], Callable[[HtmlTree, Node, Any], None]] = {
    nodes.title: HtmlTree._title,
    nodes.rubric: HtmlTree._title,
    nodes.literal_block: HtmlTree._code,
    nodes.doctest_block: HtmlTree._code,
    nodes.enumerated_list: HtmlTree._numbered,
    nodes.definition_list_item: HtmlTree._definition,
    nodes.line: HtmlTree._line,
    nodes.attribution: HtmlTree._attribution,
    nodes.entry: HtmlTree._cell,
    nodes.field: HtmlTree._field,
    nodes.option_list_item: HtmlTree._option,
    nodes.footnote: HtmlTree._note,
    nodes.citation: HtmlTree._note,
    nodes.system_message: HtmlTree._message,
    nodes.reference: HtmlTree._reference,
    nodes.footnote_reference: HtmlTree._footnote_reference,
    nodes.citation_reference: HtmlTree._footnote_reference,
    nodes.substitution_reference: HtmlTree._substitution,
    nodes.image: HtmlTree._image,
    nodes.math: HtmlTree._formula,
    nodes.raw: HtmlTree._raw,
    Highlight: HtmlTree._highlight,
}


def _child(parent: Node, tag: str, **attributes: str) -> Node:
    """Add a new element to the parent, and return it."""
    node = Node(tag, attributes, parent)
    node.holds_blocks = tag in BLOCKS
    parent.children.append(node)
    return node
