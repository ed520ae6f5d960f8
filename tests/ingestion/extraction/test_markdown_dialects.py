"""Each dialect of Markdown becomes what its readers see: a file of inputs and what they become for each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ingestion.extraction.extract import extract
from ingestion.extraction.markdown import dialects
from ingestion.types import Page

FOLDER = Path(__file__).parents[2] / "data" / "markdown"
NAME, BECOMES = "##### ", "\n----->\n"


def cases() -> Iterator[tuple[str, str, str]]:
    """Yield the name, the input and the output of each case in the files."""
    for file in sorted(FOLDER.glob("*.txt")):
        for case in f"\n{file.read_text()}".split(f"\n{NAME}")[1:]:
            name, _, rest = case.partition("\n")
            source, _, expected = rest.partition(BECOMES)
            yield f"{file.stem}: {name}", source, expected.strip("\n")


@pytest.mark.parametrize(("name", "source", "expected"), list(cases()), ids=[name for name, *_ in cases()])
def test_it_becomes_what_its_readers_see(name: str, source: str, expected: str) -> None:
    url = f"https://docs.example/a.md{'x' * name.startswith('mdx')}"
    assert extract(Page(url, source.encode(), "text/markdown")).markdown == expected


def test_each_dialect_has_its_cases() -> None:
    modules = {path.stem for path in Path(dialects.__file__).parent.glob("*.py")} - {"__init__"}
    assert {file.stem for file in FOLDER.glob("*.txt")} == modules
