"""The directives that document an object of a program, and glossaries.

An object becomes a heading with its first signature and Sphinx's fragment, the others below it, then its text.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes

from ingestion.extraction.rst.directive import ShownDirective, code, paragraph
from ingestion.extraction.rst.sphinx_objects import signatures

# A longer signature stands below its heading: a heading's path is repeated in each of its chunks.
MAX_SIGNATURE_CHARS = 120

FACTS = ("type", "default", "value", "canonical")  # options that a reader sees


class Object(ShownDirective):
    """An object with a heading of its own, one level deeper than what is around it."""

    def run(self) -> list[Any]:
        """Return the heading of an object, its other signatures, its facts and its content.

        A first signature of more than MAX_SIGNATURE_CHARS is cut in the heading and whole below it. Objects in the
        content belong to this one; the page's level and parent are restored after it. Without a signature, and for
        docutils' own ``class``, returns the content alone.
        """
        shown = signatures(self.name, self.argument.split("\n"))
        bare = self.argument.replace("\\\n", " ").partition("\n")[0].strip()
        # docutils' own directive of this name sets a class of CSS.
        if not shown or (self.name == "class" and "-" in bare.partition("(")[0]):
            return self.parsed()
        page, level, parent = self.page, self.page.level, self.page.namespace.parent
        first = shown[0] if len(shown[0]) <= MAX_SIGNATURE_CHARS else shown[0][:MAX_SIGNATURE_CHARS].partition("(")[0]
        anchor = page.namespace.anchor(self.name, bare, self.options)
        heading = nodes.title("", "", code(first), level=level + 1, ids=[anchor] if anchor else [])
        page.level = level + 1
        page.namespace.enter(self.name, bare)
        content = self.parsed()
        page.level, page.namespace.parent = level, parent
        return [heading, *_signatures(shown if first != shown[0] else shown[1:]), *self._facts(), *content]

    def _facts(self) -> list[Any]:
        """Return what options say of the object, as a list of fields."""
        told = [(name, self.words(self.options[name])) for name in FACTS if self.options.get(name)]
        fields = [
            nodes.field("", nodes.field_name("", name), nodes.field_body("", paragraph(words))) for name, words in told
        ]
        return [nodes.field_list("", *fields)] if fields else []


class Signature(ShownDirective):
    """An object without a heading."""

    def run(self) -> list[Any]:
        """Return the signatures as lines of code, then the elements of the content."""
        return [*_signatures(signatures(self.name, self.argument.split("\n"))), *self.parsed()]


class Target(Signature):
    """A target for references in Django's documentation, which shows nothing where it has no text."""

    def run(self) -> list[Any]:
        """Return the signatures as lines of code, then the content; an empty list without content."""
        return super().run() if self.content else []


def _signatures(shown: list[str]) -> list[Any]:
    """Return a block with each signature as a line of code; an empty list if there are none."""
    return [nodes.line_block("", *(nodes.line("", "", code(signature)) for signature in shown))] if shown else []


class Glossary(ShownDirective):
    """Terms, one or more above each of their meanings."""

    optional_arguments = 0

    def run(self) -> list[Any]:
        """Return the terms with their meanings as a list of definitions, last terms without a meaning as a paragraph.

        A line that begins with a space belongs to the meaning of the terms above it, which are joined by commas. What
        follows `` : `` in the line of a term is left out.
        """
        items = nodes.definition_list()
        terms: list[str] = []
        at = 0
        while at < len(self.content):
            end = at + 1
            if not self.content[at].startswith(" "):
                terms += [self.content[at].partition(" : ")[0]] if self.content[at] else []
            else:
                while end < len(self.content) and self.content[end][:1] in ("", " "):
                    end += 1
                box = nodes.container()
                self.state.nested_parse(self.content[at:end], self.content_offset + at, box)
                parts = [part for quote in box for part in (quote if isinstance(quote, nodes.block_quote) else [quote])]
                term = nodes.term("", "", *self.words(", ".join(terms)))
                items += nodes.definition_list_item("", term, nodes.definition("", *parts))
                terms = []
            at = end
        rest = [nodes.paragraph("", "", *self.words(", ".join(terms)))] if terms else []
        return [*([items] if len(items) else []), *rest]
