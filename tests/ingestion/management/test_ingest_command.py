"""`manage.py ingest`: what it would do, what it stores of its options, and what a person confirms."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from ingestion.context.sentence import TOKENS_AROUND
from ingestion.management.commands.ingest import Command
from ingestion.models import Chunk, Document, Run, Source
from tests.support.rows import make_chunk, make_document, make_source

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("model_path", "clean_redis")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for n in range(30):
        (tmp_path / f"{n}.md").write_text(f"# Page {n}\n\n" + f"Sentence {n} about a topic. " * 100)
    return tmp_path


def ingest(*arguments: object) -> str:
    out = io.StringIO()
    call_command("ingest", *map(str, arguments), stdout=out)
    return out.getvalue()


def test_a_dry_run_shows_what_a_run_would_cost_and_stores_nothing(folder: Path) -> None:
    figures: dict[str, Any] = json.loads(ingest(folder, "--dry-run", "--json"))
    assert (figures["kind"], figures["pages"], figures["complete"], figures["sampled"]) == ("files", 30, True, 30)
    assert figures["chunks"] >= 30
    assert 30 * 500 < figures["tokens"] < 30 * 1200
    assert figures["sample"]["text"].startswith("# Page")
    assert figures["minutes"] >= 0.0
    assert not Source.objects.exists()


def test_a_dry_run_for_people_names_pages_and_shows_text(folder: Path) -> None:
    lines = ingest(folder, "--dry-run")
    assert "pages    30" in lines
    assert "Sentence" in lines


def test_a_dry_run_counts_what_the_options_leave(folder: Path) -> None:
    assert json.loads(ingest(folder, "--dry-run", "--json", "--include", "1*.md"))["pages"] == 11
    assert json.loads(ingest(folder, "--dry-run", "--json", "--max-pages", 7))["pages"] == 7


def test_a_dry_run_counts_what_a_language_model_would_read(folder: Path, settings: Settings) -> None:
    figures = json.loads(ingest(folder, "--dry-run", "--json"))
    assert (figures["described"], figures["described_tokens"]) == (0, 0) and "context" not in ingest(
        folder, "--dry-run"
    )
    settings.CONTEXT_MODEL = "writer"
    figures = json.loads(ingest(folder, "--dry-run", "--json"))
    assert figures["described"] == figures["chunks"]
    assert figures["described_tokens"] == figures["tokens"] + figures["chunks"] * TOKENS_AROUND
    assert f"context  {figures['chunks']} sentences by CONTEXT_MODEL" in ingest(folder, "--dry-run")


def test_a_dry_run_of_nothing_fails_and_says_why_but_looks_at_the_others(folder: Path, tmp_path: Path) -> None:
    out = io.StringIO()
    with pytest.raises(SystemExit):
        call_command("ingest", "/nowhere/at/all", str(folder), "--dry-run", "--json", stdout=out)
    bad, good = map(json.loads, out.getvalue().splitlines())
    assert "/nowhere/at/all" in bad["error"]
    assert good["pages"] == 30


def test_the_crawl_policy_is_stored_with_the_source() -> None:
    ingest("https://docs.example.org/", "--delay", 2.5, "--connections", 1)
    source = Source.objects.get()
    assert (source.delay_seconds, source.connections) == (2.5, 1)
    assert source.spec().crawl_policy.delay_seconds == 2.5


def test_a_source_names_its_product_and_version() -> None:
    ingest("https://docs.example.org/en/5.2/", "--product", "django", "--version", "5.2")
    ingest("https://docs.example.org/en/5.2/", "--connections", 1)
    source = Source.objects.get()
    assert (source.product, source.version, source.connections) == ("django", "5.2", 1)
    with pytest.raises(CommandError, match="--product"):
        ingest("https://docs.example.org/en/5.1/", "--version", "5.1")


def test_the_version_is_an_option_on_the_command_line_too() -> None:
    parser = Command().create_parser("manage.py", "ingest")
    assert parser.parse_args(["/docs", "--product", "django", "--version", "5.2"]).version == "5.2"


def test_a_person_accepts_that_pages_are_missing(tmp_path: Path) -> None:
    source = make_source(target=str(tmp_path))
    document = make_document(source, state=Document.State.MISSING, misses=2, chunk_count=1)
    make_chunk(document, 0, state=Chunk.State.INDEXED)
    Run.objects.update(state=Run.State.HELD, error="1 of 1 pages are missing")
    ingest(tmp_path, "--accept-missing")
    document.refresh_from_db()
    assert document.state == Document.State.GONE
    assert Run.objects.get().state == Run.State.FINISHED


def test_accepting_for_an_unknown_source_says_so(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="has not been ingested"):
        ingest(tmp_path, "--accept-missing")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--max-pages", "-5"), "--max-pages: must be a whole number from 0 on"),
        (("--refresh", "-1"), "--refresh: must be"),
        (("--delay", "-1"), "--delay: must be a number"),
        (("--delay", "nan"), "--delay: must be a number"),
        (("--max-pages", "9" * 30), "--max-pages: Ensure this value is less than"),
        (("--name", ""), "--name: This field cannot be blank"),
        (("--name", "taken"), "--name: Source with this Name already exists"),
        (("--product", "p" * 101), "--product: Ensure this value has at most 100 characters"),
    ],
)
def test_what_a_source_cannot_have_is_refused_by_its_option(
    tmp_path: Path, options: tuple[str, str], words: str
) -> None:
    make_source("taken")
    with pytest.raises(CommandError, match=words):
        ingest(tmp_path, *options)
    assert Source.objects.count() == 1


def test_nothing_is_begun_when_one_of_several_targets_is_wrong(tmp_path: Path) -> None:
    for targets in ((tmp_path, "/nowhere/at/all"), (tmp_path, "https://docs.example.org/", "--name", "both")):
        with pytest.raises(CommandError):
            ingest(*targets)
    assert not Source.objects.exists()


@pytest.mark.parametrize(("content", "words"), [(b"\xff\xfe", "It is no text"), (b"\n  # none\n", "no target")])
def test_a_list_without_targets_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "list").write_bytes(content)
    with pytest.raises(CommandError, match=words):
        ingest(f"@{tmp_path / 'list'}")


@pytest.mark.parametrize("command", ["extract", "estimate", "ingest"])
def test_a_number_below_0_is_refused_by_every_command(tmp_path: Path, command: str) -> None:
    with pytest.raises(CommandError, match="--max-pages: must be"):
        call_command(command, str(tmp_path), "--max-pages", "-1")
