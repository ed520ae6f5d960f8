"""What all directives of a page share: how their words are read, and the elements that many of them make."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive

from ingestion.extraction.rst.page import Page

# Options whose values a reader sees.
SHOWN_OPTIONS = ("title", "subtitle", "caption", "header", "summary", "label", "alt")


class Highlight(nodes.Invisible, nodes.Element):  # type: ignore[misc]
    """The language of the blocks of code from here on that name none."""


class ShownDirective(Directive):  # type: ignore[misc]
    """A directive with any options and, unless a class says otherwise, an argument of one line or more."""

    optional_arguments = 1

    @property
    def page(self) -> Page:
        """Return the state of the page that the directive stands on."""
        page: Page = self.state.inliner.page
        return page

    @property
    def argument(self) -> str:
        """Return the text between the directive's name and its options or content, of any lines; empty without any."""
        return str(self.arguments[0]).strip() if self.arguments else ""

    def words(self, text: str) -> list[Any]:
        """Parse a text as inline markup, and return its elements."""
        return list(self.state.inline_text(text, self.lineno)[0])

    def parsed(self) -> list[Any]:
        """Parse the content of the directive, and return its elements."""
        box = nodes.container()
        self.state.nested_parse(self.content, self.content_offset, box)
        return list(box.children)

    def captions(self) -> list[Any]:
        """Return a paragraph for each option that a reader sees."""
        return [paragraph(self.words(self.options[name])) for name in SHOWN_OPTIONS if self.options.get(name)]

    def named(self, what: str, file: str) -> list[Any]:
        """Return a paragraph like "The code of x.py." for a file that is not read; none if ``file`` is empty."""
        return [paragraph([nodes.Text(f"The {what} of "), code(file), nodes.Text(".")])] if file else []


def paragraph(words: list[Any]) -> Any:
    """Return a paragraph that holds these inline elements, in order."""
    return nodes.paragraph("", "", *words)


def label(words: list[Any]) -> Any:
    """Return the title of a box, in bold."""
    return nodes.rubric("", "", *words)


def code(text: str) -> Any:
    """Return a text as inline code, no markup in it read."""
    return nodes.literal(text, text)
