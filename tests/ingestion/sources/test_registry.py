"""Telling the kind of a source from its target, and finding the module of a kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingestion.exceptions import SourceError
from ingestion.models import Source
from ingestion.sources import registry
from ingestion.types import SourceSpec


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("https://docs.example.com/", "website"),
        ("HTTP://docs.example.com", "website"),
        ("  https://docs.example.com/  ", "website"),
        ("https://docs.example.com/sitemaps/", "website"),
        ("https://docs.example.com/sitemap.xml", "sitemap"),
        ("https://docs.example.com/sitemap_index.xml", "sitemap"),
        ("https://docs.example.com/en/sitemap-pages.xml.gz?x=1", "sitemap"),
        ("https://docs.example.com/robots.txt", "sitemap"),
        ("https://docs.example.com/llms.txt", "urls"),
        ("github:django/django", "github"),
        ("GitHub:django/django@stable/docs", "github"),
        ("https://github.com/django/django", "github"),
        ("https://github.com/django/django/tree/main/docs", "github"),
        ("https://github.com/about", "website"),
        ("/srv/docs", "files"),
        ("docs", "files"),
        ("docs/a.md", "files"),
        ("~/docs", "files"),
        ("file:///srv/docs", "files"),
        ("corpus.jsonl", "jsonl"),
        ("/srv/Corpus.JSONL", "jsonl"),
        ("C:\\docs", "files"),
    ],
)
def test_it_tells_the_kind_from_how_a_target_is_written(target: str, kind: str) -> None:
    assert registry.detect_kind(target) == kind


@pytest.mark.parametrize("target", ["", "  ", "ftp://example.com/", "gitlab:django/django", "s3://bucket/docs"])
def test_it_says_what_it_accepts_when_a_target_is_of_no_kind(target: str) -> None:
    with pytest.raises(SourceError, match="give the first page of a website"):
        registry.detect_kind(target)


def test_an_existing_folder_counts_however_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes:old").mkdir()
    assert registry.detect_kind("notes:old") == "files"


def test_it_names_the_kinds_when_it_knows_no_such_kind() -> None:
    with pytest.raises(SourceError, match="website, sitemap, github"):
        registry.list_documents(SourceSpec(kind="carrier-pigeon", target="x"))


def test_every_kind_that_a_source_may_have_has_a_module() -> None:
    assert set(registry.KINDS) == set(Source.Kind.values)
