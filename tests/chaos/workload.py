"""Folders of small Markdown files that change all the time, and runs that ingest them.

Every paragraph carries a mark that no other paragraph ever had, so that it can be told at the end, without trusting
the pipeline, whether an index holds exactly what the files say.
"""

from __future__ import annotations

import random
import re
import shutil
from itertools import count
from pathlib import Path

from ingestion.models import Chunk, Document, Run, Source
from ingestion.pipeline.state.runs import remove_source, start_run

SOURCES, FILES, PARAGRAPHS = 3, 14, 4
# More than these that wait would only make faults strike the same work again and again.
CHUNKS_AT_ONCE = 120
# Fewer than what a run holds back for a person to look at.
MOST_DELETED = 5
WORDS = ("model", "query", "field", "index", "cache", "form", "view", "signal", "token", "queue", "worker", "lease")
MARK = re.compile(r"mark\d+")


class Workload:
    """``step`` changes something and lets it be ingested."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.random = random.Random(seed)
        self.folder = folder
        self.numbers = count(1)
        self.sources: list[Source] = []
        self.steps = 0

    def begin(self) -> None:
        for _ in range(SOURCES):
            self.add_source()

    def step(self) -> None:
        """A few changed files of one source; now and then a source goes and another comes."""
        if Chunk.objects.filter(state__in=Chunk.PENDING).count() > CHUNKS_AT_ONCE:
            return
        self.steps += 1
        if self.steps % 25 == 0:
            self.drop_source(self.random.choice(self.sources))
            self.add_source()
            return
        source = self.random.choice(self.sources)
        for _ in range(self.random.randint(1, 4)):
            self.change(source)
        start_run(source)

    def change(self, source: Source) -> None:
        files = self.files(source)
        kind = self.random.choice(("edit", "edit", "edit", "grow", "shrink", "add", "delete"))
        if kind == "delete" and len(files) > FILES // 2 and self.deleted(source) < MOST_DELETED:
            self.random.choice(files).unlink()
        elif kind == "add" or not files:
            self.write(Path(source.target) / f"page{next(self.numbers)}.md", PARAGRAPHS)
        else:
            self.edit(self.random.choice(files), kind)

    def edit(self, path: Path, kind: str) -> None:
        """Rewrite a paragraph, put one in, or take one out; the others stay as they are, at another place."""
        parts = path.read_text().split("\n\n")
        at = self.random.randrange(1, len(parts))
        if kind == "shrink" and len(parts) > 2:
            del parts[at]
        else:
            parts[at : at + (kind != "grow")] = [self.paragraph()]
        path.write_text("\n\n".join(parts))

    def write(self, path: Path, paragraphs: int) -> None:
        path.write_text("\n\n".join([f"# {path.stem}", *(self.paragraph() for _ in range(paragraphs))]))

    def paragraph(self) -> str:
        words = self.random.choices(WORDS, k=36)
        return f"mark{next(self.numbers)} {' '.join(words)}."

    def add_source(self) -> None:
        folder = self.folder / f"source{next(self.numbers)}"
        folder.mkdir(parents=True)
        source = Source.objects.create(name=folder.name, kind=Source.Kind.FILES, target=str(folder))
        self.sources.append(source)
        for _ in range(FILES):
            self.write(folder / f"page{next(self.numbers)}.md", PARAGRAPHS)
        start_run(source)

    def drop_source(self, source: Source) -> None:
        self.sources.remove(source)
        remove_source(source)
        shutil.rmtree(source.target)

    def files(self, source: Source) -> list[Path]:
        return sorted(Path(source.target).glob("*.md"))

    def deleted(self, source: Source) -> int:
        """Files that are gone and whose rows are not."""
        rows = Document.objects.filter(source=source).exclude(state=Document.State.GONE).count()
        return rows - len(self.files(source))

    def finish(self) -> None:
        """Runs that see the last state of every file."""
        assert not Run.objects.active().exists()
        for source in self.sources:
            start_run(source)


def marks(text: str) -> set[str]:
    return set(MARK.findall(text))
