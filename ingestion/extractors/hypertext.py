"""HTML → Markdown of the main content, without navigation, scripts and permalinks.

Links inside the same site keep their words only (the addresses are in ``links``; in the text they would
cost tokens and say nothing), links elsewhere keep their address.
"""

from __future__ import annotations

import re
import warnings
from collections import defaultdict

from bs4 import BeautifulSoup, Tag
from markdownify import ATX, MarkdownConverter

from ingestion import outline
from ingestion.extractors.links import absolute, file_name, same_host
from ingestion.types import Extracted

HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
# Removed wherever they stand.
CLUTTER_TAGS = {
    "script", "style", "noscript", "template", "iframe", "object", "svg", "canvas", "button", "select", "textarea",
    "input", "dialog", "nav", "footer",
}  # fmt: skip
CLUTTER_ROLES = {"navigation", "search", "contentinfo"}
CLUTTER_CLASSES = {
    "headerlink", "anchor-link", "viewcode-link", "linenos", "gutter", "linenodiv", "sphinxsidebar", "related",
    "toctree-wrapper",
}  # fmt: skip
# Boxes beside the content of a page that does not mark its content; inside marked content they are notes.
SIDE_TAGS, SIDE_NAMES = {"aside"}, {"sidebar", "nav", "header", "footer", "global-nav"}
# Deeper content is kept as text. Real pages stay below 40 levels; the converter takes three Python frames per
# level, and 1000 are allowed.
MAX_DEPTH = 120

_LANGUAGE = re.compile(r"(?:highlight-source|highlight|language|lang|brush:?|sourceCode)[- ]([A-Za-z0-9+#_.-]{1,20})$")
_NO_LANGUAGE = {"default", "none", "text", "plaintext", "notranslate"}
_LINE_START = re.compile(r"^([ \t]{0,3})(#{1,6}[ \t]|```|~~~)", re.MULTILINE)
_TICKS = re.compile(r"`{3,}")
_SPACES_BEFORE_NEWLINE = re.compile(r"(?<=\S)[ \t]+\n")


def read(url: str, text: str) -> Extracted:
    soup = parse(text)
    survey = Survey(soup)
    links = absolute(_base(survey, url), [str(tag["href"]) for tag in survey.links])
    declared_title = " ".join(soup.title.get_text().split()) if soup.title else ""
    for heading in survey.headings:
        heading["data-anchor"] = _anchor(heading)
    main = main_content(soup, survey)
    _prepare(main)
    converter = Converter(page_url=url)
    markdown = converter.convert_soup(main).strip()
    title = outline.first_heading(markdown, deepest=1) or declared_title[:300] or file_name(url)
    return Extracted(title, markdown, links, outline.anchors(markdown, title, converter.anchor_of))


def parse(text: str) -> BeautifulSoup:
    with warnings.catch_warnings():  # bs4 guesses that short or XML input was meant otherwise
        warnings.simplefilter("ignore", UserWarning)
        return BeautifulSoup(text, "lxml")


class Survey:
    """What one walk over the page finds; a CSS selector per question takes 100 ms per page, this takes 10."""

    def __init__(self, soup: BeautifulSoup) -> None:
        self.candidates: dict[str, list[Tag]] = defaultdict(list)
        self.links: list[Tag] = []
        self.headings: list[Tag] = []
        self.clutter: list[Tag] = []
        self.side: list[Tag] = []
        self.base: Tag | None = None
        for tag in soup.find_all():
            self._note(tag, tag.name, set(tag.get_attribute_list("class")) if "class" in tag.attrs else set())

    def _note(self, tag: Tag, name: str, classes: set[str | None]) -> None:
        role = tag.attrs.get("role")
        if name in HEADINGS:
            self.headings.append(tag)
        elif name in ("a", "area") and "href" in tag.attrs:
            self.links.append(tag)
        elif name == "base" and "href" in tag.attrs:
            self.base = self.base or tag
        elif name in ("main", "article", "div", "section"):
            self._note_candidate(tag, name, classes, role)
        if name in CLUTTER_TAGS or role in CLUTTER_ROLES or classes & CLUTTER_CLASSES or "hidden" in tag.attrs:
            self.clutter.append(tag)
        elif name in ("header", "form") or role == "banner":
            self.clutter.extend([] if tag.find(HEADINGS) else [tag])
        elif name in SIDE_TAGS or (classes | {tag.attrs.get("id")}) & SIDE_NAMES:
            self.side.append(tag)

    def _note_candidate(self, tag: Tag, name: str, classes: set[str | None], role: object) -> None:
        if name == "main" or role == "main":
            self.candidates["main"].append(tag)
        elif name == "article" or "body" in classes or "document" in classes:
            kind = name if name == "article" else "body" if "body" in classes else "document"
            self.candidates[kind].append(tag)


def _base(survey: Survey, url: str) -> str:
    return (absolute(url, [str(survey.base["href"])]) or (url,))[0] if survey.base else url


def main_content(soup: BeautifulSoup, survey: Survey) -> Tag:
    """The element that holds the page's own text, emptied of clutter; the body if none is marked."""
    _remove(survey.clutter)
    for kind in ("main", "article", "body", "document"):
        found = [tag for tag in survey.candidates[kind] if not tag.decomposed]
        # Several are teasers of other pages, or quotations; one is the page.
        if len(found) == 1 and found[0].get_text(strip=True):
            return _narrow(found[0]) if kind == "document" else found[0]
    _remove(survey.side)
    return soup.body or soup


def _narrow(document: Tag) -> Tag:
    """Sphinx themes that mark nothing else still wrap the page's sections in one element."""
    section = document.find("div", class_="section") or document.find("section")
    return section.parent if section and section.parent else document


def _remove(tags: list[Tag]) -> None:
    for tag in tags:
        if not tag.decomposed:
            tag.decompose()


# --- Anchors ----------------------------------------------------------------------------------------


def _anchor(heading: Tag) -> str:
    permalink = heading.find("a", href=re.compile("^#."))
    if permalink:
        return str(permalink["href"])[1:]
    inner = heading.find(id=True) or heading.find("a", attrs={"name": True})
    return _id(heading) or (_id(inner) if inner else "") or _id_around(heading)


def _id(tag: Tag) -> str:
    return str(tag.get("id") or tag.get("name") or "")


def _id_around(heading: Tag) -> str:
    """The id of the section that this heading opens, or of an empty target just before it."""
    before = heading.find_previous_sibling()
    if before is None:
        parent = heading.parent
        return _id(parent) if parent and parent.name in ("section", "div", "article", "header") else ""
    return _id(before) if not before.get_text(strip=True) else ""


# --- Conversion ----------------------------------------------------------------------------------------


def _prepare(main: Tag) -> None:
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

    def anchor_of(self, words: str) -> str:
        """The fragment of the next heading with these words."""
        return self._anchors[words].pop(0) if self._anchors[words] else ""

    def escape(self, text: str, parent_tags: set[str]) -> str:
        """Only what would turn a paragraph into a heading or a fence: escapes cost tokens and hide words."""
        return _LINE_START.sub(r"\1\\\2", text)

    def convert_hN(self, n: int, el: Tag, text: str, parent_tags: set[str]) -> str:
        words = " ".join(text.split())
        if not words or "_inline" in parent_tags:
            return words
        self._anchors[outline.plain(words)].append(str(el.get("data-anchor", "")))
        return f"\n\n{'#' * n} {words}\n\n"

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
        return (
            bullet
            + text.replace("\n", "\n" + " " * len(bullet)).replace("\n" + " " * len(bullet) + "\n", "\n\n")
            + "\n"
        )

    def _number(self, el: Tag) -> str:
        """Counted as the list is walked: asking each item for its siblings takes quadratic time."""
        key = id(el.parent)
        self._numbers[key] = self._numbers.get(key, 0) + 1
        return f"{self._numbers[key]}. "
