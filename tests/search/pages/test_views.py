"""The pages as the server renders them, without JavaScript."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from pytest_django import Settings

from ingestion.models import Chunk, Collection, Document, Source
from search.retrieval import preparation, question_model
from tests.support.search_services import ATTACK, HANDBOOK, SITE, ModelServer

QUESTION = "How do I create migrations after changing a model?"


def html_of(client: Client, **query: str) -> str:
    response = client.get("/", query)
    assert response.status_code == 200
    return response.content.decode()


def test_the_page_invites_to_ask(rows: None, client: Client) -> None:
    html = html_of(client)
    assert '<label class="quiet" for="q">' in html
    assert '<input id="q" name="q" type="search"' in html
    assert "4 documents in 2 sources" in html
    assert "To start with" in html
    assert ">Migrations</a>" in html
    assert 'class="hit"' not in html


def test_questions_to_start_with_are_made_of_headings(rows: None, client: Client) -> None:
    Chunk.objects.filter(document_id=911, position=1).update(heading="Migrations › Writing your first migration")
    Chunk.objects.filter(document_id=912).update(heading="Templates › How to escape a variable")
    Chunk.objects.filter(document_id=921, position=1).update(heading="Caching › What is cached?")
    html = html_of(client)
    questions = ("How do I write my first migration?", "How do I escape a variable?", "What is cached?")
    assert all(f">{question}</a>" in html for question in questions)


def test_sources_can_be_chosen_when_there_are_several(rows: None, client: Client) -> None:
    Source.objects.filter(id=HANDBOOK).update(name="The  Handbook")
    assert '<option value="The  Handbook">' in html_of(client), "browsers send the text with one blank"
    assert '<option value="Site" selected>' in html_of(client, source="Site")
    Chunk.objects.filter(document__source=SITE).delete()
    assert "<select" not in html_of(client)
    assert "of The  Handbook" in html_of(client)


def test_an_empty_index_says_so(db: None, client: Client) -> None:
    assert "Nothing has been indexed yet" in html_of(client)
    assert "Nothing has been indexed yet" in client.get("/", {"q": "x"}).content.decode()


def test_without_javascript_the_results_are_rendered_by_page(index: None, client: Client) -> None:
    html = html_of(client, q=QUESTION)
    assert html.count('class="hit"') == 7
    assert re.findall(r'<section class="hits" aria-label="(\w+)', html) == [
        "Migrations",
        "Templates",
        "Caching",
        "Zebra",
    ]
    assert 'href="/documents/911/#p0"' in html
    assert '<bdi class="hit-section">Creating</bdi>' in html  # no title or heading turns what stands beside it
    assert "<mark>migrations</mark>" in html
    assert f'value="{QUESTION}"' in html


def test_results_alone_are_a_part_of_the_page(index: None, client: Client) -> None:
    response = client.get("/results", {"q": QUESTION, "source": "Handbook"})
    html = response.content.decode()
    assert "<html" not in html
    assert html.count('class="hit"') == 4
    assert response["Cache-Control"].startswith("max-age=0")


def test_other_versions_of_a_passage_are_named_with_their_addresses(index: None, client: Client) -> None:
    Source.objects.filter(id=HANDBOOK).update(product="guide", version="1.0")
    Source.objects.filter(id=SITE).update(product="guide", version="2.0")
    old = Chunk.objects.get(document_id=911, position=0)
    Chunk.objects.filter(document_id=921, position=0).update(text=old.text, heading=old.heading)
    html = html_of(client, q=QUESTION, version="all")
    assert re.search(r'Also in <a href="[^"]+" rel="noopener nofollow">(Site 2\.0|Handbook 1\.0)</a></p>', html)
    assert re.search(r'<span class="source">(Site 2\.0|Handbook 1\.0)</span>', html)
    assert "Also in" not in html_of(client, q=QUESTION, version="1.0")


def test_a_reader_is_told_that_a_correction_was_searched_for(
    index: None, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparation, "corrected", lambda *args: "How are <b>migrations</b> created?")
    html = html_of(client, q="How are migratins created?")
    assert '<p class="searched">Searched for “How are &lt;b&gt;migrations&lt;/b&gt; created?”.</p>' in html
    assert "<mark>migrations</mark>" in html


def test_a_web_page_is_linked_without_handing_over_anything(index: None, client: Client) -> None:
    html = html_of(client, q="How do I cache in Redis?", source="Site")
    assert 'href="https://docs.example.org/topics/cache/#redis-backend" rel="noopener nofollow"' in html


def test_crawled_and_typed_text_is_escaped(index: None, client: Client) -> None:
    html = html_of(client, q=f'zebra stripes ">{ATTACK}', source="Site")
    assert "&lt;img src=x" in html
    for active in ("<img", "<script>", "javascript:window"):
        assert active not in html
    assert html.count("<script") == 1


def test_nothing_found_is_said(index: None, client: Client) -> None:
    Chunk.objects.filter(document__source=SITE).update(state=Chunk.State.REMOVING)
    assert "Nothing in the index answers this question" in html_of(client, q="x", source="Site")


@pytest.mark.parametrize("query", [{"q": "x"}, {"q": "x", "source": "Handbook"}])
def test_search_is_unavailable_when_milvus_is_down(
    index: None, client: Client, settings: Settings, query: dict[str, str]
) -> None:
    settings.MILVUS_URI = "http://127.0.0.1:9"
    Collection.objects.update(name="down_for_page")
    response = client.get("/", query)
    assert response.status_code == 503
    assert "Search is unavailable" in response.content.decode()
    assert "127.0.0.1:9" not in response.content.decode()


def test_a_bad_question_is_answered_with_what_to_do(rows: None, client: Client) -> None:
    for query, words in (({"q": " "}, "Ask a question first"), ({"q": "x" * 2001}, "Shorten it")):
        response = client.get("/", query)
        assert response.status_code == 400
        assert words in response.content.decode()


def test_the_stand_in_and_the_missing_model_are_admitted(rows: None, client: Client, settings: Settings) -> None:
    html = html_of(client)
    assert "a small English stand-in for BGE-M3" in html
    assert "No language model is configured" in html
    settings.EMBED_MODEL, settings.LLM_BASE_URL = "BAAI/bge-m3", "http://127.0.0.1:9/v1"
    html = html_of(client)
    assert "stand-in for" not in html
    assert "About these answers" not in html


def test_nothing_inline_and_a_strict_policy(rows: None, client: Client) -> None:
    response = client.get("/", {"q": ""})
    html = response.content.decode()
    assert not re.search(r'<style|\sstyle=|\son\w+=|<script(?! type="module" src=)', html)
    policy = response["Content-Security-Policy"]
    for part in ("default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'"):
        assert part in policy
    assert "unsafe" not in policy


def test_a_reader_is_given_no_cookie(rows: None, client: Client) -> None:
    response = client.get("/")
    assert not response.cookies
    assert b"csrf" not in response.content


def test_the_model_is_warmed_only_when_there_is_something_to_ask(
    db: None, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []
    monkeypatch.setattr("search.pages.views.warm_up", lambda: started.append("now"))
    client.get("/")
    assert started == []
    from tests.support.search_services import write_rows

    write_rows()
    client.get("/")
    assert started == ["now"]


@pytest.mark.django_db
def test_warming_up_loads_once_and_survives_a_missing_model(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from ingestion.exceptions import ModelError

    def load(collection: Collection) -> None:
        raise ModelError("no model in /x")

    monkeypatch.setattr(question_model, "load", load)
    question_model.load_quietly(Collection(name="documents", model="/x", pooling="cls", dimension=8))
    assert "no model in /x" in caplog.text


# --- A stored document --------------------------------------------------------------------------


def test_a_document_is_shown_in_order_with_places_to_link_to(rows: None, client: Client) -> None:
    html = client.get("/documents/911/").content.decode()
    assert [int(n) for n in re.findall(r'id="p(\d+)"', html)] == [0, 1, 2]
    assert "<h1>Migrations</h1>" in html
    assert "python manage.py makemigrations" in html
    assert "file://" not in html


def test_a_hostile_document_is_shown_as_text(rows: None, client: Client) -> None:
    html = client.get("/documents/922/").content.decode()
    assert "&lt;script&gt;" in html
    for active in ("<img", "<script", 'href="javascript'):
        assert active not in html


def test_a_web_document_links_to_its_original(rows: None, client: Client) -> None:
    assert 'href="https://docs.example.org/topics/cache/" rel="noopener nofollow"' in (
        client.get("/documents/921/").content.decode()
    )


def test_only_what_can_be_found_is_shown(rows: None, client: Client) -> None:
    Chunk.objects.filter(document_id=912).update(state=Chunk.State.REMOVING)
    Source.objects.filter(id=SITE).update(deleting=True)
    Document.objects.create(id=950, source_id=HANDBOOK, url="file:///x", title="secret draft")
    for missing in (912, 921, 950, 999):
        response = client.get(f"/documents/{missing}/")
        assert response.status_code == 404
        assert "There is nothing here" in response.content.decode()


def test_pages_are_read_only(rows: None, client: Client) -> None:
    assert client.post("/").status_code == 405
    assert client.post("/documents/911/").status_code == 405
    assert client.head("/").status_code == 200


def test_with_a_language_model_the_page_does_not_speak_of_extracts(
    index: None, client: Client, language_model: ModelServer
) -> None:
    html = html_of(client, q=QUESTION)
    assert "answers are extracts" not in html
    assert language_model.requests == []
