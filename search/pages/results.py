"""Passages → what the pages' templates show of them: numbered sources of an answer, or search results by page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.urls import reverse

from search.answering.extractive import STOP_WORDS
from search.answering.inert_markdown import inert_markdown
from search.questions import Passage

WORD = re.compile(r"\w+|\W+")
# A word of the question marks words that begin like it: "migration" also "migrations".
LEAST_MARKED_CHARS = 3


@dataclass(frozen=True, slots=True)
class ResultPage:
    """A page with the passages that were found on it, best first."""

    title: str
    source: str
    version: str
    passages: tuple[dict[str, Any], ...]


def numbered(passages: Sequence[Passage]) -> list[dict[str, Any]]:
    """Return the passages as an answer cites them, each with the address of our copy of it."""
    return [
        {**p.as_citation(number), "copy": f"{reverse('document', args=[p.document])}#p{p.position}", "read": p.text}
        for number, p in enumerate(passages, 1)
    ]


def by_page(passages: Sequence[Passage], question: str) -> list[ResultPage]:
    """Return the passages grouped by their pages, in the order of each page's best one; of a section only the best."""
    pages: dict[int, dict[str, dict[str, Any]]] = {}
    for shown, passage in zip(numbered(passages), passages, strict=True):
        sections = pages.setdefault(passage.document, {})
        asked = passage.found_by or question
        sections.setdefault(passage.section, {**shown, "marked": marked(shown["preview"], asked)})
    found = [tuple(sections.values()) for sections in pages.values()]
    return [ResultPage(hits[0]["title"], hits[0]["source"], hits[0]["version"], hits) for hits in found]


def marked(text: str, question: str) -> list[tuple[str, bool]]:
    """Split the text for highlighting: (part, whether its words begin with a word of the question)."""
    asked = tuple(
        word
        for word in re.findall(r"\w+", question.casefold())
        if len(word) >= LEAST_MARKED_CHARS and word not in STOP_WORDS
    )
    parts: list[tuple[str, bool]] = []
    for part in WORD.findall(text):
        found = bool(asked) and part.casefold().startswith(asked)
        if parts and parts[-1][1] == found:
            parts[-1] = (parts[-1][0] + part, found)
        else:
            parts.append((part, found))
    return parts


def markdown_with_sources(answer: str, passages: Sequence[Passage]) -> str:
    """Return an answer as Markdown with the list of its sources, as it is copied."""
    lines = []
    for number, passage in enumerate(passages, 1):
        place = " – ".join(filter(None, (passage.title, passage.section)))
        lines.append(f"[{number}] {place}: {passage.link}" if passage.external else f"[{number}] {place}")
    return inert_markdown("\n\n".join((answer.strip(), "\n".join(lines))))
