"""Folders of small Markdown pages for benchmarks, none like another and the same for the same seed."""

from __future__ import annotations

import random
from pathlib import Path

WORDS = ["model", "query", "field", "index", "cache", "template", "form", "view", "signal", "migration", "session"]
# More in one folder would make listing it slow.
PAGES_PER_FOLDER = 1000


def write_pages(folder: Path, pages: int, *, words: int, seed: int) -> Path:
    """``pages`` files of about ``words`` words each, in sections of a hundred."""
    chance = random.Random(seed)
    for number in range(pages):
        part = folder / f"part{number // PAGES_PER_FOLDER:03}"
        part.mkdir(parents=True, exist_ok=True)
        (part / f"page{number:06}.md").write_text(text(chance, f"Page {number} of {seed}", words))
    return folder


def text(chance: random.Random, title: str, words: int) -> str:
    sections = (f"## Part {n}\n\n{' '.join(chance.choices(WORDS, k=100))}." for n in range(max(1, words // 100)))
    return f"# {title}\n\n" + "\n\n".join(sections)
