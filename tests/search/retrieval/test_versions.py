"""Versions of products: their order, which one is meant, and which sources a question is searched in."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from ingestion.models import Run, Source
from search.access.caller import OPERATOR
from search.exceptions import NothingIndexed, QuestionRefused
from search.questions import Question
from search.retrieval.selection import Selection, places, selected
from search.retrieval.versions import age, is_version, page_of_all_versions
from tests.support.rows import make_document, make_source


def test_the_order_of_versions() -> None:
    ordered = ["main", "6.0a1", "jammy-2", "jammy-10", "6.1", "6.10.2", "latest"]
    assert sorted(set(ordered), key=age) == ordered
    assert age("v5.2") == age("5.2.0") < age("2024.04")


@pytest.mark.parametrize(
    ("label", "asked", "is_it"),
    [
        ("5.2", "5.2", True),
        ("v5.2", "5.2.0", True),
        ("5.2.19", "5.2", True),
        ("5.2", "5", True),
        ("5.2", "5.2.19", False),
        ("5.20", "5.2", False),
        ("Stable", "stable", True),
        ("stable", "5.2", False),
    ],
)
def test_which_version_is_meant(label: str, asked: str, is_it: bool) -> None:
    assert is_version(label, asked) is is_it


@pytest.mark.parametrize(
    ("url", "target", "version", "page"),
    [
        ("https://d.example/en/5.2/cache/", "https://d.example/en/5.2/", "5.2", "cache/"),
        ("https://d.example/en/5.2/cache/", "https://d.example/sitemap.xml", "5.2", "en/*/cache/"),
        ("file:///docs/django-5.2.19/cache.txt", "/docs", "5.2", "django-*/cache.txt"),
        ("https://github.com/o/r/blob/v5.2/docs/a.md", "github:o/r@v5.2", "v5.2", "https://github.com/o/r/blob/v*/docs/a.md"),
        ("https://d.example/15.2/a", "https://d.example/", "5.2", "15.2/a"),
        ("https://d.example/en/5.2/releases/5.2.1/", "https://d.example/en/5.2/", "5.2", "releases/5.2.1/"),
        ("https://d.example/en/5.2/releases/5.2.1/", "https://d.example/sitemap.xml", "5.2", "en/*/releases/5.2.1/"),
        ("https://d.example/rfc/5.2.html", "https://d.example/", "5.2", "rfc/5.2.html"),
        ("https://d.example/domain/main/a", "https://d.example/", "main", "domain/*/a"),
    ],
)  # fmt: skip
def test_what_addresses_of_a_page_have_in_common(url: str, target: str, version: str, page: str) -> None:
    assert page_of_all_versions(url, target, version) == page


def ids(**asked: Any) -> set[str]:
    """The names of the sources that are searched."""
    found = selected(replace(Question("q", OPERATOR), **asked), places()).source_ids
    sources = Source.objects.filter(id__in=found) if found else Source.objects.all()
    return {source.name for source in sources}


@pytest.fixture
def sources(db: None) -> dict[str, Source]:
    made = [
        make_source("celery"),
        make_source("django 5.1", product="django", version="5.1"),
        make_source("django 5.2", product="Django", version="5.2.1"),
        make_source("django main", product="django", version="main"),
        make_source("flask", product="flask", version="3.0"),
    ]
    return {source.name: source for source in made}


@pytest.mark.usefixtures("sources")
def test_the_newest_version_of_each_product_is_searched() -> None:
    assert ids() == {"celery", "django 5.2", "flask"}


@pytest.mark.usefixtures("sources")
@pytest.mark.parametrize("version", ["", "all"])
def test_who_sees_no_source_searches_none(version: str) -> None:
    with pytest.raises(NothingIndexed):
        selected(Question("q", replace(OPERATOR, sources=frozenset()), version=version), places())


@pytest.mark.usefixtures("sources")
def test_a_question_may_name_a_version() -> None:
    assert ids(version="5.1") == {"django 5.1"}
    assert ids(version="5") == {"django 5.2"}
    assert ids(version="3") == {"flask"}
    assert ids(version="MAIN") == {"django main"}
    assert selected(Question("q", OPERATOR, version="all"), places()) == Selection()


@pytest.mark.usefixtures("sources")
def test_a_source_that_is_named_is_searched_whatever_its_version() -> None:
    assert ids(source="django 5.1") == {"django 5.1"}
    with pytest.raises(QuestionRefused, match=r"There is no version '5.2'\. There are 5\.1\."):
        ids(source="django 5.1", version="5.2")


@pytest.mark.usefixtures("sources")
def test_an_unknown_version_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(QuestionRefused, match=r"There are main, 3\.0, 5\.1, 5\.2\.1\."):
        ids(version="9")


def test_a_version_that_is_read_for_the_first_time_is_not_the_newest(sources: dict[str, Source]) -> None:
    Run.objects.create(source=sources["django 5.1"], state=Run.State.FINISHED)
    Run.objects.create(source=sources["django 5.2"], state=Run.State.RUNNING)
    assert ids() == {"celery", "django 5.1", "flask"}
    Run.objects.filter(source=sources["django 5.2"]).update(state=Run.State.FINISHED)
    assert ids() == {"celery", "django 5.2", "flask"}


def test_a_source_on_its_way_out_is_no_version(sources: dict[str, Source]) -> None:
    Source.objects.filter(pk=sources["django 5.2"].pk).update(deleting=True)
    assert ids() == {"celery", "django 5.1", "flask"}
    Source.objects.update(deleting=True)
    with pytest.raises(NothingIndexed):
        ids()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("fields", "path", "prefix"),
    [
        ({"kind": "website", "target": "https://d.example/en/5.2/"}, "topics/", "https://d.example/en/5.2/topics/"),
        ({"kind": "website", "target": "https://d.example/en/5.2/"}, "/en/", "https://d.example/en/"),
        ({"kind": "website", "target": "https://d.example/"}, "https://d.example/x", "https://d.example/x"),
        ({"kind": "files", "target": "/srv/my docs"}, "/ref/", "file:///srv/my%20docs/ref/"),
        ({"kind": "github", "target": "github:o/r"}, "docs/", "https://github.com/o/r/blob/main/docs/"),
    ],
)
def test_a_path_becomes_the_beginning_of_addresses(fields: dict[str, str], path: str, prefix: str) -> None:
    source = make_source(**fields)
    for name in ("README.md", "docs/a.md"):
        make_document(source, f"https://github.com/o/r/blob/main/{name}")
    assert selected(Question("q", OPERATOR, path=path), places()).prefixes == (prefix,)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("fields", "path", "prefix"),
    [
        ({"kind": "website", "target": "https://d.example/"}, "Ü b/(1)", "https://d.example/%C3%9C%20b/(1)"),
        ({"kind": "website", "target": "https://d.example/"}, "https://d.example/ü", "https://d.example/%C3%BC"),
        ({"kind": "files", "target": "/srv/docs"}, "Ü b/(1)", "file:///srv/docs/%C3%9C%20b/%281%29"),
        ({"kind": "files", "target": "/srv/docs"}, "100%", "file:///srv/docs/100%25"),
        ({"kind": "files", "target": "/srv/docs"}, "my%20docs/", "file:///srv/docs/my%20docs/"),
        ({"kind": "jsonl", "target": "/srv/a.jsonl"}, "Ü b/", "https://github.com/o/r/Ü b/"),
    ],
)
def test_a_path_may_be_written_as_people_write_it(fields: dict[str, str], path: str, prefix: str) -> None:
    source = make_source(**fields)
    for name in ("a", "b"):
        make_document(source, f"https://github.com/o/r/{name}")
    assert prefix in selected(Question("q", OPERATOR, path=path), places()).prefixes


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"kind": "github", "target": "github:o/r"}, "docs/"),
        ({"kind": "website", "target": "https://d.example/"}, "//["),
    ],
)
def test_a_path_without_documents_is_refused(fields: dict[str, str], path: str) -> None:
    make_source(**fields)
    with pytest.raises(QuestionRefused, match=re.escape(f"begin with {path!r}")):
        selected(Question("q", OPERATOR, path=path), places())
