"""What stands in a line of a page → Markdown: emphasis, code, links, images, formulas.

Links inside the same site keep their words only; links elsewhere keep their address.
"""

from __future__ import annotations

from collections.abc import Callable

from ingestion.extraction.html.parser import Node
from ingestion.extraction.links import same_host

MAX_ADDRESS_CHARS = 300
BREAK = "\0"  # where a line was broken on purpose; the parser never gives this character

_ORDINAL = frozenset({"st", "nd", "rd", "th"})


class Lines:
    """Each method adds what an element says to ``line``, whose white space counts for nothing yet."""

    def __init__(self, page_url: str) -> None:
        self.page_url = page_url
        self._plain = False  # no emphasis and no links
        self._without_tex = False  # inside a formula that was searched in vain

    def words_of(self, node: Node, *, plain: bool = False) -> str:
        """All words of an element in one line, the blocks in it included."""
        before, self._plain = self._plain, plain or self._plain
        line: list[str] = []
        self._inside(node, line)
        self._plain = before
        return " ".join("".join(line).replace(BREAK, " ").split())

    def _inside(self, node: Node, line: list[str]) -> None:
        for child in node.children:
            if isinstance(child, str):
                line.append(child)
            else:
                self.add(child, line)

    def add(self, node: Node, line: list[str]) -> None:
        if reader := _INLINE.get(node.tag):
            reader(self, node, line)
        elif node.holds_blocks:
            line.append(" ")
            self._inside(node, line)
            line.append(" ")
        else:
            self._inside(node, line)

    def _nothing(self, node: Node, line: list[str]) -> None:
        """A second title, where pages were joined; browsers show none."""

    def _break(self, node: Node, line: list[str]) -> None:
        line.append(BREAK)

    def _code_span(self, node: Node, line: list[str]) -> None:
        words = " ".join(node.text().split())
        if not words:
            return
        marks = "`" if "`" not in words else "``"
        line.append(f"`{words}`" if marks == "`" else f"`` {words} ``")

    def _strong(self, node: Node, line: list[str]) -> None:
        self._emphasised(node, "**", line)

    def _emphasis(self, node: Node, line: list[str]) -> None:
        self._emphasised(node, "*", line)

    def _emphasised(self, node: Node, marks: str, line: list[str]) -> None:
        inner: list[str] = []
        self._inside(node, inner)
        text = "".join(inner)
        words = text.strip()
        if self._plain or not words or "*" in words or BREAK in words:
            line.append(text)
            return
        line += [text[: len(text) - len(text.lstrip())], marks, words, marks, text[len(text.rstrip()) :]]

    def _link(self, node: Node, line: list[str]) -> None:
        inner: list[str] = []
        self._inside(node, inner)
        text, target = "".join(inner), node.get("href").strip()
        words = text.strip()
        leads_away = words and not self._plain and BREAK not in words and self._leads_away(target)
        line.append(text.replace(words, f"[{words}]({_written(target)})", 1) if leads_away else text)

    def _leads_away(self, target: str) -> bool:
        is_page = target.startswith(("http://", "https://", "//")) and len(target) <= MAX_ADDRESS_CHARS
        return is_page and not same_host(self.page_url, target)

    def _image(self, node: Node, line: list[str]) -> None:
        line.append(node.get("alt"))

    def _raised(self, node: Node, line: list[str]) -> None:
        """Powers of something; what leads to a note stays beside its word."""
        words = self.words_of(node)
        before = line[-1][-1:] if line else ""
        if any(inner.tag == "a" for inner in node.elements()):
            line.append(f"[{words}]" if words.isalnum() else words)
            return
        is_power = words.lstrip("-−").isalnum() and before.isalnum() and words not in _ORDINAL
        line.append(f"^{words}" if is_power else words)

    def _quoted(self, node: Node, line: list[str]) -> None:
        line.append(f"“{self.words_of(node)}”")

    def _input(self, node: Node, line: list[str]) -> None:
        if node.get("type") == "checkbox" and node.parent and node.parent.tag in ("li", "label", "p"):
            line.append("[x] " if "checked" in node.attributes else "[ ] ")

    def _formula(self, node: Node, line: list[str]) -> None:
        """TeX, as MathJax and KaTeX keep it beside what they draw."""
        if not self._without_tex and (tex := " ".join(_tex(node).split())):
            line.append(f"${tex}$")
            return
        before, self._without_tex = self._without_tex, True
        self._inside(node, line)
        self._without_tex = before


_INLINE: dict[str, Callable[[Lines, Node, list[str]], None]] = {
    **dict.fromkeys(("code", "kbd", "samp", "tt"), Lines._code_span),
    **dict.fromkeys(("strong", "b"), Lines._strong),
    **dict.fromkeys(("em", "i"), Lines._emphasis),
    **dict.fromkeys(("math", "script"), Lines._formula),
    "br": Lines._break,
    "a": Lines._link,
    "img": Lines._image,
    "sup": Lines._raised,
    "q": Lines._quoted,
    "input": Lines._input,
    "title": Lines._nothing,
}


def _written(target: str) -> str:
    target = f"https:{target}" if target.startswith("//") else target
    return target.replace(" ", "%20").replace("(", "%28").replace(")", "%29")


def _tex(node: Node) -> str:
    if node.tag == "script":
        return node.text()
    notes = (inner.text() for inner in node.walk() if inner.tag == "annotation" and "tex" in inner.get("encoding"))
    return next(notes, "") or node.get("alttext")
