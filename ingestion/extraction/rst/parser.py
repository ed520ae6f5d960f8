"""Text → a document tree of docutils, in bounded time and depth, and with every word that is not a comment.

In: text and the state of its page. Out: docutils' document, before any transform, so that references are unresolved.
Headings are ``title`` elements between the blocks, not sections around them: titles in a wrong order are titles still.
Unknown directives, roles and options are no errors; a start of markup that nothing ends is text.
Reads no file and no configuration, prints nothing, and leaves docutils' registries alone.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from docutils import frontend, nodes, statemachine, utils
from docutils.parsers.rst import Parser
from docutils.parsers.rst.states import RSTStateMachine

from ingestion.extraction.rst.inline import Inliner, parts
from ingestion.extraction.rst.page import MADE_UP, Page
from ingestion.extraction.rst.states import STATES, pieces

# A line takes up to 100 µs, however short. What follows these is kept as it is written. Of 2 200 files the longest has
# 17 500 lines.
MAX_LINES = 50_000
# No file is read.
SETTINGS = {
    "file_insertion_enabled": False,
    "raw_enabled": False,
    "_disable_config": True,
    "auto_id_prefix": MADE_UP,
}


class _Reporter(utils.Reporter):  # type: ignore[misc]
    """Makes messages that hold what they quote, prints none and stops for none."""

    def system_message(self, level: int, message: str, *quoted: Any, **where: Any) -> Any:
        """Return a message of this level that holds the quoted elements, without its words and its place in the text.

        Prints and raises nothing, whatever the level.
        """
        return nodes.system_message("", *quoted, level=level)


def parse(text: str, page: Page) -> Any:
    """Return the document tree of a text."""
    document = nodes.document(_settings().copy(), _Reporter("", report_level=5, halt_level=5), source="")
    # docutils' patterns take 100 bytes of memory for each character of a line that might be a field.
    lines = [
        part if at == 0 else part.strip()
        for line in statemachine.string2lines(text, 8, convert_whitespace=True)
        for at, part in enumerate(parts(line))
    ]
    inliner = Inliner(page, len(text))
    for start, end in pieces(lines[:MAX_LINES]):
        machine = RSTStateMachine(state_classes=STATES, initial_state="Body")
        machine.run(lines[start:end], document, start, inliner=inliner)
    for block in "\n".join(lines[MAX_LINES:]).split("\n\n"):
        document += nodes.paragraph(block, block)
    return document


@cache
def _settings() -> Any:
    """Return docutils' settings with those in ``SETTINGS``, the same object each time: copy it before a change."""
    settings = frontend.get_default_settings(Parser)
    for name, value in SETTINGS.items():
        setattr(settings, name, value)
    return settings
