"""The elements within a line of a page → Markdown: emphasis, code, links, images, formulas.

Links inside the same site keep their words only; links elsewhere keep their address.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from ingestion.extraction.html.parser import Node
from ingestion.extraction.links import same_host

MAX_ADDRESS_CHARS = 300
BREAK = "\0"  # where a line was broken on purpose; the parser never gives this character

# Raised letters that belong to the word before them: ordinals of English, French and the Iberian languages, trademarks.
_RAISED = frozenset({"st", "nd", "rd", "th", "e", "er", "re", "ère", "o", "a", "os", "as", "tm", "sm"})
# What begins with one of these is a mark of a note or of a name, not a power.
_MARKS = frozenset("[*†‡§¶®™©'′″°#")
# Scripts that write no spaces between words. A line that ends in their text goes on without one; Korean has spaces.
_WIDE = (
    "\u2e80-\u303f\u3040-\u30ff\u3100-\u312f\u31a0-\u31ff\u3400-\u9fff\uf900-\ufaff\uff01-\uff9f\U00020000-\U0003ffff"
)
_LINE_END_IN_WIDE = re.compile(rf"(?<=[{_WIDE}])(\**)[ \t]*\n\s*(\**)(?=[{_WIDE}])")


def one_line(text: str) -> str:
    """Return a text with one space for all white space, and none where a line of Chinese or Japanese was broken."""
    if "\n" in text and not text.isascii():
        text = _LINE_END_IN_WIDE.sub(r"\1\2", text)
    return " ".join(text.split())


def code_span(text: str) -> str:
    """Return a text as inline code, empty if it has no words."""
    words = " ".join(text.split())
    if not words:
        return ""
    return f"`{words}`" if "`" not in words else f"`` {words} ``"


class LineConverter:
    """Converts elements within a line. Methods add Markdown to ``line``, whose white space is not normalized yet."""

    def __init__(self, page_url: str) -> None:
        self.page_url = page_url
        self._plain = False  # no emphasis and no links
        self._without_tex = False  # inside a formula that was searched in vain

    def words_of(self, node: Node, *, plain: bool = False) -> str:
        """Return an element as one line, the blocks in it included; ``plain``: without emphasis and links."""
        before, self._plain = self._plain, plain or self._plain
        line: list[str] = []
        self._inside(node, line)
        self._plain = before
        return one_line("".join(line).replace(BREAK, " "))

    def _inside(self, node: Node, line: list[str]) -> None:
        """Add the text in an element, and the Markdown of the elements in it, to ``line``."""
        for child in node.children:
            if isinstance(child, str):
                line.append(child)
            else:
                self.add(child, line)

    def add(self, node: Node, line: list[str]) -> None:
        """Append the Markdown of an element to ``line``, the pieces of the current line."""
        if convert := _INLINE.get(node.tag):
            convert(self, node, line)
        elif node.holds_blocks:
            line.append(" ")
            self._inside(node, line)
            line.append(" ")
        else:
            self._inside(node, line)

    def _code_span(self, node: Node, line: list[str]) -> None:
        """Add inline code; where a ``br`` breaks it, each of its lines is code of its own."""
        for inner in node.walk():
            if inner.tag == "br":
                inner.children = [BREAK]
        line.append(BREAK.join(filter(None, map(code_span, node.text().split(BREAK)))))

    def _emphasised(self, node: Node, marks: str, line: list[str]) -> None:
        """Add the Markdown of what is in an element to ``line``, with ``marks`` around it but inside the white space.

        The marks are left out while emphasis is off, and if it has no words, or holds an asterisk or a line break.
        """
        inner: list[str] = []
        self._inside(node, inner)
        text = "".join(inner)
        words = text.strip()
        if self._plain or not words or "*" in words or BREAK in words:
            line.append(text)
            return
        line += [text[: len(text) - len(text.lstrip())], marks, words, marks, text[len(text.rstrip()) :]]

    def _link(self, node: Node, line: list[str]) -> None:
        """Add a link to ``line``: words and address if it leads to another site by http or https, else its words alone.

        The words stand alone too while links are off, if a line break is among them, or if the address has more than
        ``MAX_ADDRESS_CHARS`` characters.
        """
        inner: list[str] = []
        self._inside(node, inner)
        text, target = "".join(inner), node.get("href").strip()
        words = text.strip()
        is_page = target.startswith(("http://", "https://", "//")) and len(target) <= MAX_ADDRESS_CHARS
        if not words or self._plain or BREAK in words or not is_page or same_host(self.page_url, target):
            line.append(text)
            return
        address = f"https:{target}" if target.startswith("//") else target
        address = address.replace(" ", "%20").replace("(", "%28").replace(")", "%29")
        line.append(text.replace(words, f"[{words}]({address})", 1))

    def _superscript(self, node: Node, line: list[str]) -> None:
        """Add a superscript, with ``^`` before it where it would run into the word; a link to a note gets brackets."""
        words = self.words_of(node)
        if any(inner.tag == "a" for inner in node.elements()):
            line.append(f"[{words}]" if words.isalnum() else words)
        else:
            line.append(words if words.lower() in _RAISED else _apart("^", words, line))

    def _subscript(self, node: Node, line: list[str]) -> None:
        """Add a subscript, with ``_`` before it where it would run into the word; H₂O becomes H2O."""
        words = self.words_of(node)
        is_formula = words.isdecimal() and _last_of(line).isalpha()
        line.append(words if is_formula else _apart("_", words, line))

    def _reading(self, node: Node, line: list[str]) -> None:
        """Add the reading of a Chinese or Japanese word in parentheses; an ``rp`` before it may hold them already."""
        words = self.words_of(node)
        line.append(words if not words or _last_of(line) in ("(", "（") else f"({words})")

    def _button(self, node: Node, line: list[str]) -> None:
        """Add the parts of a button, which a page's style sets apart, with spaces between them."""
        for child in node.children:
            line.append(" ")
            if isinstance(child, str):
                line.append(child)
            else:
                self.add(child, line)
        line.append(" ")

    def _checkbox(self, node: Node, line: list[str]) -> None:
        """Add ``[x]`` or ``[ ]`` and a space to ``line`` for a checkbox right inside ``li``, ``label`` or ``p``.

        Add nothing for a checkbox elsewhere, or for another kind of input.
        """
        if node.get("type").lower() == "checkbox" and node.parent and node.parent.tag in ("li", "label", "p"):
            line.append("[x] " if "checked" in node.attributes else "[ ] ")

    def _formula(self, node: Node, line: list[str]) -> None:
        """Add a formula's TeX, as MathJax and KaTeX keep it beside what they draw; without any, its words."""
        if not self._without_tex:
            notes = (n.text() for n in node.walk() if n.tag == "annotation" and "tex" in n.get("encoding"))
            tex = node.text() if node.tag == "script" else next(notes, "") or node.get("alttext")
            if tex := " ".join(tex.split()):
                line.append(f"${tex}$")
                return
        before, self._without_tex = self._without_tex, True
        self._inside(node, line)
        self._without_tex = before


_INLINE: dict[str, Callable[[LineConverter, Node, list[str]], None]] = {
    **dict.fromkeys(("code", "kbd", "samp", "tt"), LineConverter._code_span),
    **dict.fromkeys(("strong", "b"), lambda converter, node, line: converter._emphasised(node, "**", line)),
    **dict.fromkeys(("em", "i"), lambda converter, node, line: converter._emphasised(node, "*", line)),
    **dict.fromkeys(("math", "script"), LineConverter._formula),
    "br": lambda _, node, line: line.append(BREAK),
    "a": LineConverter._link,
    "img": lambda _, node, line: line.append(node.get("alt")),
    "sup": LineConverter._superscript,
    "sub": LineConverter._subscript,
    "button": LineConverter._button,
    "q": lambda converter, node, line: line.append(f"“{converter.words_of(node)}”"),
    "input": LineConverter._checkbox,
    "rt": LineConverter._reading,
    # A second title, where pages were joined; browsers show none.
    "title": lambda _, node, line: None,
}


def _last_of(line: list[str]) -> str:
    """Return the last character in the pieces of ``line``, or an empty string if there is none."""
    return next(filter(None, reversed(line)), "")[-1:]


def _apart(sign: str, words: str, line: list[str]) -> str:
    """Return a superscript or subscript, after ``sign`` if it would run into the text at the end of ``line``."""
    if not words or words[0] in _MARKS:
        return words
    last = _last_of(line)
    if not (last.isalnum() or last in (")", "]", "`", "*")):
        return words
    return f"{sign}{words}" if words.lstrip("-−+").isalnum() or words[0] == "(" else f"{sign}({words})"
