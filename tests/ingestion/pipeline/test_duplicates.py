"""Several addresses of one page become one document, also when workers read them at the same time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ingestion.exceptions import HostBusy
from ingestion.models import Chunk, Document, Source
from ingestion.pipeline.process import outcomes
from ingestion.pipeline.process.duplicates import mark_duplicate
from tests.support.rows import make_chunk, make_document, make_source


def met(folder: Path, *arguments: str) -> dict[str, int]:
    """What is left of the texts that workers in processes of their own read at the same time."""
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", "DATA_DIR": str(folder)}
    run = subprocess.run(
        [sys.executable, "-m", "tests.support.meeting_workers", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    figures: dict[str, int] = json.loads(run.stdout.splitlines()[-1])
    return figures


@pytest.mark.slow
def test_one_text_under_four_addresses_that_four_workers_read_at_a_time_is_stored_once(tmp_path: Path) -> None:
    assert met(tmp_path, "5", "4") == {"standing": 5, "duplicates": 15}


@pytest.mark.slow
def test_of_two_addresses_that_name_each_other_as_canonical_one_stands_for_itself(tmp_path: Path) -> None:
    assert met(tmp_path, "5", "2", "canonical") == {"standing": 5, "duplicates": 5}


@pytest.mark.django_db
def test_a_document_is_looked_at_again_when_its_original_has_become_a_duplicate_meanwhile() -> None:
    source = make_source("docs", kind=Source.Kind.WEBSITE)
    last = make_document(source, url="https://docs.example/c")
    middle = make_document(source, url="https://docs.example/b")
    first = make_document(source, url="https://docs.example/a", state=Document.State.FETCHING)
    Document.objects.filter(pk=middle.pk).update(state=Document.State.DUPLICATE, duplicate_of=last)
    assert not mark_duplicate(first, middle)
    first.refresh_from_db()
    assert (first.state, first.duplicate_of) == (Document.State.WAITING, None)


@pytest.mark.django_db
@pytest.mark.parametrize("has_text", [False, True])
def test_duplicates_of_a_document_that_fails_without_text_stand_for_themselves(has_text: bool) -> None:
    first = make_document(make_source(), "file:///1", state=Document.State.FETCHING, attempts=1)
    copy = make_document(first.source, "file:///2", state=Document.State.DUPLICATE, duplicate_of=first)
    if has_text:
        make_chunk(first, 0, state=Chunk.State.INDEXED)
    outcomes.fail(first, "It is no text.")
    copy.refresh_from_db()
    assert (copy.duplicate_of == first) is has_text


@pytest.mark.django_db
def test_a_page_that_only_leads_on_is_a_failure_on_a_list_of_addresses() -> None:
    source = make_source("list", kind=Source.Kind.URLS)
    page = make_document(source, "https://docs.example/", state=Document.State.FETCHING, attempts=1)
    outcomes.leave_out_signpost(page, "is a frameset for toc.html")
    page.refresh_from_db()
    assert page.state == Document.State.FAILED
    assert page.error.endswith("List those pages instead.")


@pytest.mark.django_db
@pytest.mark.parametrize(("kind", "pauses"), [(Source.Kind.WEBSITE, True), (Source.Kind.URLS, False)])
def test_only_a_source_of_one_host_pauses_with_it(kind: str, pauses: bool) -> None:
    page = make_document(make_source("docs", kind=kind), "https://docs.example/", state=Document.State.FETCHING)
    outcomes.pause_source(page, HostBusy("later", retry_after=120.0))
    assert bool(Source.objects.get().paused_until) is pauses
