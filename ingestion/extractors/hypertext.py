"""HTML → Markdown of the main content, without navigation, scripts and permalinks.

Links inside the same site keep their words only (the addresses are in ``links``; in the text they would
cost tokens and say nothing), links elsewhere keep their address.
"""

from __future__ import annotations

import re
import warnings
from collections import defaultdict

from bs4 import BeautifulSoup, Tag

from ingestion import outline
from ingestion.extractors.characters import clean
from ingestion.extractors.html_converter import HEADINGS, Converter, prepare
from ingestion.extractors.links import absolute, file_name
from ingestion.types import Extracted

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


def read(url: str, text: str) -> Extracted:
    soup = parse(text)
    survey = Survey(soup)
    links = absolute(_base(survey, url), [str(tag["href"]) for tag in survey.links])
    declared_title = " ".join(clean(soup.title.get_text()).split()) if soup.title else ""
    for heading in survey.headings:
        heading["data-anchor"] = _anchor(heading)
    main = main_content(soup, survey)
    prepare(main)
    converter = Converter(page_url=url)
    markdown = clean(converter.convert_soup(main)).strip()  # entities may name controls
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
        self.wrappers: list[Tag] = []
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
            self.wrappers.append(tag)
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
    titled = _ancestors(survey.headings)
    _remove(survey.clutter + [tag for tag in survey.wrappers if id(tag) not in titled])
    for kind in ("main", "article", "body", "document"):
        found = [tag for tag in survey.candidates[kind] if not tag.decomposed]
        # Several are teasers of other pages, or quotations; one is the page.
        if len(found) == 1 and found[0].get_text(strip=True):
            return _narrow(found[0]) if kind == "document" else found[0]
    _remove(survey.side)
    return soup.body or soup


def _ancestors(headings: list[Tag]) -> set[int]:
    """The ids of all elements around headings; each element is visited once, however deep the page is."""
    seen: set[int] = set()
    for heading in headings:
        for parent in heading.parents:
            if id(parent) in seen:
                break
            seen.add(id(parent))
    return seen


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
