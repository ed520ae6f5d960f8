"""An element of a page → Markdown: markdownify, prepared for what real and hostile pages hold.

Time is linear in the page and nesting is bounded, so that no page can stop a worker.
"""

from __future__ import annotations

import re
from collections import defaultdict
from textwrap import indent

from bs4 import Tag
from markdownify import ATX, MarkdownConverter

from ingestion import outline
from ingestion.extractors.links import same_host

HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
# Deeper content is kept as text. Real pages stay below 40 levels; the converter takes three Python frames per
# level, and 1000 are allowed.
MAX_DEPTH = 120

_LANGUAGE = re.compile(r"(?:highlight-source|highlight|language|lang|brush:?|sourceCode)[- ]([A-Za-z0-9+#_.-]{1,20})$")
_NO_LANGUAGE = {"default", "none", "text", "plaintext", "notranslate"}
_LINE_START = re.compile(r"^([ \t]{0,3})(#{1,6}[ \t]|```|~~~)", re.MULTILINE)
_TICKS = re.compile(r"`{3,}")
_SPACES_BEFORE_NEWLINE = re.compile(r"(?<=\S)[ \t]+\n")


def prepare(main: Tag) -> None:
    _flatten(main)
    for pre in main.find_all("pre"):
        _simplify_code(pre)
    for table in main.find_all("table"):
        if table.find(["table", "pre", *HEADINGS]):  # laid out with a table, not tabular
            _rename(table, ("table", "tbody", "thead", "tr", "td", "th"), "div")


def _flatten(root: Tag) -> None:
    """Replace what is nested too deeply by its text, without recursion."""
    level = [root]
    for _ in range(MAX_DEPTH):
        level = [child for tag in level for child in tag.children if isinstance(child, Tag)]
    for tag in level:
        tag.string = tag.get_text(" ")


def _simplify_code(pre: Tag) -> None:
    """Text alone: highlighters wrap every word, and the converter would walk them all."""
    pre["data-language"] = language_of(pre)
    for line_break in pre.find_all("br"):
        line_break.replace_with("\n")
    pre.string = pre.get_text()


def _rename(root: Tag, names: tuple[str, ...], to: str) -> None:
    for tag in [root, *root.find_all(names)]:
        tag.name = to


def language_of(pre: Tag) -> str:
    """The language that a class of the block, of its code element or of its two wrappers names."""
    inner = pre.find("code")
    around = [tag for _, tag in zip(range(2), pre.parents, strict=False)]
    for tag in [pre, *([inner] if inner else []), *around]:
        for name in tag.get_attribute_list("class"):
            match = _LANGUAGE.match(name or "")
            if match:
                return "" if match.group(1) in _NO_LANGUAGE else match.group(1)
    return ""


class Converter(MarkdownConverter):
    """markdownify with fences that cannot break, flat definition lists, and linear numbering of lists."""

    def __init__(self, page_url: str) -> None:
        super().__init__(
            heading_style=ATX,
            bullets="-",
            escape_asterisks=False,
            escape_underscores=False,
            table_infer_header=True,
        )
        self.page_url = page_url
        self._anchors: dict[str, list[str]] = defaultdict(list)
        self._numbers: dict[int, int] = {}
        self._tables: set[int] = set()

    def anchor_of(self, words: str) -> str:
        """The fragment of the next heading with these words."""
        return self._anchors[words].pop(0) if self._anchors[words] else ""

    def escape(self, text: str, parent_tags: set[str]) -> str:
        """Only what would turn a paragraph into a heading or a fence: escapes cost tokens and hide words."""
        return _LINE_START.sub(r"\1\\\2", text)

    def should_convert_tag(self, tag: str) -> bool:
        """The library looks up ``convert_<tag>``: an element of this name would find its entry point."""
        return tag != "soup"

    def convert_hN(self, n: int, el: Tag, text: str, parent_tags: set[str]) -> str:
        words = " ".join(text.split())
        if not words or "_inline" in parent_tags:
            return words
        self._anchors[outline.read_heading(f"# {words}")[1]].append(str(el.get("data-anchor", "")))
        return f"\n\n{'#' * min(max(n, 1), 6)} {words}\n\n"

    def convert_a(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        target, words = str(el.get("href") or ""), text.strip()
        if not words or "_noformat" in parent_tags or same_host(self.page_url, target):
            return text
        return text.replace(words, f"[{words}]({target})", 1)

    def convert_img(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        return str(el.get("alt") or "")

    def convert_pre(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        code = _SPACES_BEFORE_NEWLINE.sub("\n", text.strip("\n")).rstrip()
        if not code:
            return ""
        fence = "`" * max(3, 1 + max(map(len, _TICKS.findall(code)), default=2))
        return f"\n\n{fence}{el.get('data-language', '')}\n{code}\n{fence}\n\n"

    def convert_p(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        words = text.strip()
        if words and "admonition-title" in el.get_attribute_list("class"):
            words = f"**{words}**"
        if "_inline" in parent_tags:
            return f" {words} "
        return f"\n\n{words}\n\n" if words else ""

    def convert_dt(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        words = " ".join(text.split())
        if not words or "_inline" in parent_tags:
            return words
        if "sig" in el.get_attribute_list("class") or el.find(class_="sig-name") or el.find(class_="descname"):
            return f"\n\n`{words.replace('`', '').replace('**', '').replace('*', '')}`\n\n"
        return f"\n\n**{words}**\n\n"

    def convert_dd(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        return f"\n\n{text.strip()}\n\n" if text.strip() else ""

    def convert_li(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        text = text.strip()
        if not text:
            return ""
        bullet = self._number(el) if el.parent and el.parent.name == "ol" else "- "
        return bullet + indent(text, " " * len(bullet))[len(bullet) :] + "\n"

    def _number(self, el: Tag) -> str:
        """Counted as the list is walked: asking each item for its siblings takes quadratic time."""
        key = id(el.parent)
        self._numbers[key] = self._numbers.get(key, 0) + 1
        return f"{self._numbers[key]}. "

    def convert_td(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        words = " ".join(text.split()).replace("|", "\\|")
        return f" {words} |"

    convert_th = convert_td

    def convert_tr(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        """The first row of a table is its head: Markdown has no other tables."""
        key = id(el.find_parent("table"))
        columns = sum(1 for cell in el.children if isinstance(cell, Tag) and cell.name in ("td", "th"))
        rule = "" if key in self._tables else "|" + " --- |" * columns + "\n"
        self._tables.add(key)
        return f"|{text}\n{rule}" if columns else ""
