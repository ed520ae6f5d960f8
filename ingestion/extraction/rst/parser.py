"""Text → a document tree of docutils, in bounded time and depth, and with every word that is not a comment.

In: text and the state of its page. Out: docutils' document, before any transform, so that references are unresolved.
Headings are ``title`` elements between the blocks, not sections around them: titles in a wrong order are titles still.
Unknown directives, roles and options are no errors; a start of markup that nothing ends is text.
Reads no file and no configuration, prints nothing, and leaves docutils' registries alone.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from docutils import frontend, statemachine, utils
from docutils.parsers.rst import Parser
from docutils.parsers.rst.states import RSTStateMachine

from ingestion.extraction.rst.inline import Inliner
from ingestion.extraction.rst.page import MADE_UP, Page
from ingestion.extraction.rst.states import STATES, pieces

# No message is printed and none stops the reading; no file is read.
SETTINGS = {
    "file_insertion_enabled": False,
    "raw_enabled": False,
    "_disable_config": True,
    "report_level": 5,
    "halt_level": 6,
    "warning_stream": False,
    "auto_id_prefix": MADE_UP,
}


def parse(text: str, page: Page) -> Any:
    """Return the document tree of a text."""
    document = utils.new_document("", _settings().copy())
    lines = statemachine.string2lines(text, 8, convert_whitespace=True)
    inliner = Inliner(page, len(text))
    for start, end in pieces(lines):
        machine = RSTStateMachine(state_classes=STATES, initial_state="Body")
        machine.run(lines[start:end], document, start, inliner=inliner)
    return document


@cache
def _settings() -> Any:
    settings = frontend.get_default_settings(Parser)
    for name, value in SETTINGS.items():
        setattr(settings, name, value)
    return settings
