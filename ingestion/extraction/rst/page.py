"""What is known of a page of reStructuredText while it is read: nothing of it outlives the page.

docutils keeps roles and the default role for the whole process, and Sphinx its names in an environment; here each
page has its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ingestion.extraction.dropped import DroppedWords
from ingestion.extraction.rst.sphinx_objects import Namespace

# Ids that docutils makes up begin with this, which no id made of words contains; Sphinx's differ.
MADE_UP = "made-up:"


@dataclass
class Page:
    """The state of one page, changed by its titles, roles and directives in the order of the text.

    ``level``: that of the last heading; ``styles``: how titles are underlined, by their level; ``roles``: those that
    the page defines, with the role that each is made of; ``titles``: headings by the labels before them.
    """

    level: int = 0
    nested: int = 0
    styles: list[object] = field(default_factory=list)
    roles: dict[str, str] = field(default_factory=dict)
    titles: dict[str, Any] = field(default_factory=dict)
    has_entities: bool = False
    namespace: Namespace = field(default_factory=Namespace)
    dropped: DroppedWords = field(default_factory=DroppedWords)

    def level_of(self, style: object) -> int:
        """Return the level of a section, which begins here, by the ``style`` of the line below its title."""
        if style not in self.styles:
            self.styles.append(style)
        self.level = self.styles.index(style) + 1
        return self.level
