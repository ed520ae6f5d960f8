"""`manage.py estimate`: pages, chunks, seconds, bytes and money from a sample, and the truth beside them."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as project
from django.core.management import call_command
from django.utils import timezone

from ingestion.exceptions import FetchFailed, IngestionError, Throttled
from ingestion.models import Chunk, Document, Run, Source
from ingestion.pipeline.report import estimate as estimating
from ingestion.types import Extracted, SourceSpec
from tests.support.rows import make_chunk, make_document

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("model_path")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pages of one to ten paragraphs, sorted by their length, as those of no folder are: a first few would mislead."""
    (tmp_path / "docs").mkdir()
    for number in range(100):
        paragraphs = "\n\n".join(
            f"Paragraph {n} of page {number} says more about it. " * 12 for n in range(1 + number // 10)
        )
        (tmp_path / "docs" / f"{number:03}.md").write_text(f"# Page {number}\n\n{paragraphs}\n")
    return tmp_path / "docs"


def estimate(*arguments: object) -> str:
    out = io.StringIO()
    call_command("estimate", *map(str, arguments), stdout=out)
    return out.getvalue()


def figures(*arguments: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(estimate("--json", *arguments))
    return found


def test_a_sample_of_a_fifth_is_near_the_truth_and_says_how_near(folder: Path) -> None:
    whole, part = figures(folder), figures(folder, "--sample", 20)
    assert (whole["pages"], whole["sampled"], whole["standard_error"]) == (100, 100, 0.0)
    assert (part["pages"], part["sampled"]) == (100, 20)
    assert part["tokens"] == pytest.approx(whole["tokens"], rel=0.1)
    assert part["milvus_bytes"] == pytest.approx(whole["milvus_bytes"], rel=0.1)
    assert 0.05 < part["standard_error"] < 0.2
    assert not Source.objects.exists()


def test_the_device_is_the_one_that_embedded_last_or_one_that_is_named(folder: Path) -> None:
    assumed = figures(folder)
    assert assumed["tokens_per_second"] == estimating.ASSUMED_TOKENS_PER_SECOND
    source = Source.objects.create(name="other", kind="files", target="/other")
    Run.objects.create(source=source, state=Run.State.FINISHED, embed_tokens=50_000, embed_seconds=100)
    assert figures(folder)["tokens_per_second"] == 500
    assert figures(folder, "--device", "h200")["tokens_per_second"] == estimating.DEVICES["h200"]
    named = figures(folder, "--tokens-per-second", 1000)
    assert named["embed_seconds"] == pytest.approx(named["tokens"] / 1000, rel=0.001)
    assert named["rate_from"] == "as named"


def test_rows_of_milvus_are_counted_with_all_their_vectors_and_texts(folder: Path) -> None:
    found, text = figures(folder), sum(path.stat().st_size for path in folder.iterdir())
    dense = found["chunks"] * 4 * project.EMBED_DIMENSION
    assert dense + text < found["milvus_bytes"] < 2 * (dense + text)


def test_money_is_told_when_there_are_prices(folder: Path, settings: Any) -> None:
    assert "  money " not in estimate(folder)
    settings.PRICE_GPU_HOUR, settings.PRICE_GB_MONTH = 3600.0, 1e9
    found = figures(folder, "--tokens-per-second", 1000)
    assert found["cost"]["once"] == pytest.approx(found["tokens"] / 1000, rel=0.001)
    assert found["cost"]["monthly"] == pytest.approx(found["milvus_bytes"], rel=0.001)
    assert "  money    about" in estimate(folder)
    settings.PRICE_GPU_HOUR, settings.PRICE_CPU_HOUR = 0.0, 3600.0
    assert figures(folder)["cost"]["once"] > 0


def test_what_is_stored_stands_beside_the_estimate(folder: Path) -> None:
    source = Source.objects.create(name="docs", kind="files", target=str(folder))
    assert figures(folder)["stored"] is None
    run = Run.objects.create(
        source=source, state=Run.State.FINISHED, finished_at=timezone.now(), embed_tokens=800, embed_seconds=4
    )
    document = make_document(source, run=run, state=Document.State.INDEXED)
    make_chunk(document, 0, state=Chunk.State.INDEXED, tokens=400)
    found = figures(folder)
    assert found["stored"] == {"pages": 1, "chunks": 1, "tokens": 400, "embed_seconds": 2.0}
    assert "pages 1 (+9900 %)" in estimate(folder)


def test_a_page_that_cannot_be_read_counts_as_a_page_without_chunks(folder: Path) -> None:
    whole = figures(folder)
    (folder / "broken.txt").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0")
    found = figures(folder)
    assert (found["pages"], found["chunks"]) == (101, whole["chunks"])
    assert any("broken.txt" in note for note in found["notes"])


def breaking(monkeypatch: pytest.MonkeyPatch, broken: Callable[[str], bool], error: IngestionError) -> list[str]:
    """Have the documents whose address is ``broken`` raise an error. Return the list of what is read from now on."""
    asked, read = list[str](), estimating.fetch_and_extract  # type: ignore[attr-defined]

    def fetch(spec: SourceSpec, url: str) -> Extracted:
        asked.append(url)
        if broken(url):
            raise error
        return read(spec, url)

    monkeypatch.setattr(estimating, "fetch_and_extract", fetch)
    return asked


def test_pages_that_fail_for_now_are_left_out_of_the_sample_and_counted(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = figures(folder)
    breaking(monkeypatch, lambda url: url.endswith("0.md"), FetchFailed("it answered HTTP 502"))
    found = figures(folder)
    assert (found["pages"], found["sampled"]) == (100, 90)
    assert found["tokens"] == pytest.approx(whole["tokens"], rel=0.1)
    assert "it answered HTTP 502" in found["notes"]
    assert any("10 of 100 pages" in note for note in found["notes"])


def test_a_host_that_only_fails_is_not_asked_for_the_whole_sample(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = breaking(monkeypatch, lambda url: True, FetchFailed("it answered HTTP 502"))
    with pytest.raises(SystemExit):
        estimate("--json", folder)
    assert len(asked) == estimating.FAILURES_IN_A_ROW


def test_the_sample_ends_where_the_host_wants_to_be_left_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = breaking(monkeypatch, lambda url: url.endswith("/010.md"), Throttled("HTTP 429", retry_after=3600))
    found = figures(folder)
    assert len(asked) == found["sampled"] + 1
    assert found["pages"] == 100


def test_a_sample_is_spread_over_what_is_known_while_more_becomes_known() -> None:
    known, seen = [str(number) for number in range(100)], set[str]()
    for _ in range(10):
        seen.add(estimating.unread(known, seen))
    assert {int(url) // 20 for url in seen} == set(range(5))
    known += [str(number) for number in range(100, 200)]
    for _ in range(10):
        seen.add(estimating.unread(known, seen))
    assert sum(int(url) >= 100 for url in seen) >= 4
    assert estimating.unread(known, set(known)) == ""
