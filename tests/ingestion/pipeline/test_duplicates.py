"""Several addresses of one page become one document, also when workers read them at the same time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ingestion.models import Document, Source
from ingestion.pipeline.process.duplicates import mark_duplicate
from tests.support.rows import make_document, make_source


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
