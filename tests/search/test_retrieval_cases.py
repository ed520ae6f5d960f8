"""The retrieval test in the admin: every list of a question, cases with their right pages, and what changes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from ingestion.models import Chunk, Collection
from search.access.caller import OPERATOR
from search.evaluation.cases import changes, run_after_change, run_cases
from search.evaluation.explanation import explain
from search.models import CaseRun, RetrievalCase
from search.questions import Question
from search.retrieval import model_ready, question_model, reranker
from search.retrieval.retriever import retrieve
from search.timings import Timings
from tests.support.search_services import ATTACK, CACHE, GUIDE, ROWS

QUESTION = "How are migrations created?"
TRY, RUN = "/admin/search/retrievalcase/try/", "/admin/search/retrievalcase/run/"


def case(question: str = QUESTION, *pages: str) -> RetrievalCase:
    return RetrievalCase.objects.create(question=question, pages=list(pages or [GUIDE]))


# --- Why a passage stands where it does ---------------------------------------------------------------


def test_every_list_is_explained_with_places_and_scores(index: None) -> None:
    found = explain(Question(QUESTION, OPERATOR, limit=10))
    assert found.lists == ["dense", "sparse", "words", "fused"]
    shown = retrieve(Question(QUESTION, OPERATOR, limit=10), Timings())
    assert [p.text for p in found.passages] == [p.text for p in shown]
    assert found.why_not == "there is none"
    assert [each.shown for each in found.candidates] == list(range(1, len(ROWS) + 1))
    for place, each in enumerate(found.candidates, 1):
        fused = each.standings[3]
        assert fused and fused.place == place
        parts = [float(part.split()[0]) for part in filter(None, each.why.split(" + "))]
        assert sum(parts) == pytest.approx(fused.score, abs=0.016)
    assert "meaning" in found.candidates[0].why


def test_what_the_reranker_did_is_a_list_too(index: None, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def last_first(question: str, texts: Sequence[str], until: float) -> list[float]:
        return [float(n) for n in range(len(texts))]

    settings.RERANKER, settings.RERANK_MARGIN = "local", 1.0
    monkeypatch.setattr(reranker, "SCORERS", {"local": last_first})
    found = explain(Question(QUESTION, OPERATOR, limit=10))
    assert found.lists[-2:] == ["fused", "reranked"]
    best = found.candidates[0]
    fused, reranked = best.standings[-2:]
    assert fused and reranked
    assert (fused.place, reranked.place, reranked.score, best.shown) == (len(ROWS), 1, len(ROWS) - 1, 1)


# --- Cases --------------------------------------------------------------------------------------------


def test_a_run_says_where_each_right_page_stands(index: None) -> None:
    found, other, missing = case(), case("Caching in Redis", CACHE), case("Zebra", "https://nowhere.example/")
    run = run_cases()
    assert run.places == {str(found.pk): 1, str(other.pk): 1, str(missing.pk): 0}
    assert (run.reason, run.collection) == ("staff", question_model.searched_collection().name)


def test_what_changed_since_the_last_run_is_told_worse_first(index: None) -> None:
    better, worse, same = case("Caching in Redis", CACHE), case(), case("Zebra stripes", ROWS[-1].url)
    first = run_cases()
    first.places[str(better.pk)] = 0
    first.save()
    Chunk.objects.filter(document__url=GUIDE).update(state=Chunk.State.REMOVING)
    found = list(changes(run_cases()))
    assert [(c.case, c.before, c.place, c.is_better) for c in found] == [(worse, 1, 0, False), (better, 0, 1, True)]
    assert same not in {c.case for c in found}
    assert list(changes(first)) == []


def test_cases_are_asked_once_after_each_change_of_the_model(index: None) -> None:
    searched = question_model.searched_collection()
    run_after_change(collection=searched)
    assert not CaseRun.objects.exists(), "there are no cases"
    case()
    run_cases()
    run_after_change(collection=searched)
    assert CaseRun.objects.count() == 1, "asked since then"
    CaseRun.objects.update(collection="the one before")
    for _ in range(2):
        run_after_change(collection=searched)
    assert [run.reason for run in CaseRun.objects.all()] == ["model", "staff"]


@pytest.mark.django_db(transaction=True)
def test_others_may_write_while_the_cases_are_asked(index: None, monkeypatch: pytest.MonkeyPatch) -> None:
    case()
    locked: list[bool] = []

    def place(*args: object) -> int:
        locked.append(connection.in_atomic_block)
        return 1

    monkeypatch.setattr("search.evaluation.cases.place_of", place)
    run_after_change(collection=question_model.searched_collection())
    assert (locked, CaseRun.objects.get().reason) == ([False], "model")


def test_a_case_whose_source_is_gone_stops_no_other(index: None) -> None:
    gone, other = case(), case()
    RetrievalCase.objects.filter(pk=gone.pk).update(source="Nowhere")
    assert run_cases().places == {str(gone.pk): 0, str(other.pk): 1}


def test_two_processes_do_not_both_ask_them(index: None, monkeypatch: pytest.MonkeyPatch) -> None:
    case()
    searched = question_model.searched_collection()
    run_cases(CaseRun.Reason.MODEL)
    monkeypatch.setattr(CaseRun.objects, "first", lambda: None)  # what the slower process saw
    run_after_change(collection=searched)
    assert CaseRun.objects.count() == 1


def test_a_web_process_asks_them_when_it_has_loaded_a_model(index: None) -> None:
    case()
    heard: list[Collection] = []

    def hear(collection: Collection, **kwargs: Any) -> None:
        heard.append(collection)

    model_ready.connect(hear)
    question_model.load_quietly(question_model.searched_collection())
    assert [each.name for each in heard] == [run.collection for run in CaseRun.objects.filter(reason="model")]
    assert len(heard) == 1


def test_what_prevents_them_is_logged(rows: None, caplog: pytest.LogCaptureFixture) -> None:
    case()
    Collection.objects.update(active=False)
    run_after_change(collection=Collection(name="new"))
    assert "were not asked after the change of the model: Nothing has been indexed" in caplog.text


# --- The pages ----------------------------------------------------------------------------------------


def test_staff_see_every_list_and_save_a_case(index: None, admin_client: Client) -> None:
    html = admin_client.get(TRY, {"q": QUESTION}).content.decode()
    for words in ("dense", "sparse", "words", "fused", "Creating", f'value="{GUIDE}"'):
        assert words in html
    assert re.search(r"0\.\d\d meaning", html)
    response = admin_client.post(TRY, {"q": QUESTION, "source": "", "page": [GUIDE]}, follow=True)
    assert "Saved as a case" in response.content.decode()
    saved = RetrievalCase.objects.get()
    assert (saved.question, saved.pages) == (QUESTION, [GUIDE])


def test_crawled_and_typed_text_is_escaped(index: None, admin_client: Client) -> None:
    html = admin_client.get(TRY, {"q": f"zebra stripes {ATTACK}", "source": "Site"}).content.decode()
    assert "&lt;img src=x" in html and "<img src=x" not in html
    assert 'href="javascript' not in html


def test_a_case_without_a_page_is_not_saved(rows: None, admin_client: Client) -> None:
    response = admin_client.post(TRY, {"q": QUESTION, "source": ""}, follow=True)
    assert "Mark the pages" in response.content.decode()
    assert "Ask a question first" in admin_client.post(TRY, {"q": " ", "page": ["x"]}, follow=True).content.decode()
    assert not RetrievalCase.objects.exists()


def test_a_question_that_cannot_be_answered_says_why(rows: None, admin_client: Client) -> None:
    assert "no source named" in admin_client.get(TRY, {"q": "x", "source": "Nowhere"}).content.decode()


def test_all_cases_are_run_and_the_change_is_shown(index: None, admin_client: Client) -> None:
    case()
    list_url = reverse("admin:search_retrievalcase_changelist")
    assert "not asked" in admin_client.get(list_url).content.decode()
    assert "nothing" in admin_client.post(RUN, follow=True).content.decode()
    Chunk.objects.filter(document__url=GUIDE).update(state=Chunk.State.REMOVING)
    assert "worse: How are migrations created? — 1 → not found" in admin_client.post(RUN, follow=True).content.decode()
    runs = admin_client.get(reverse("admin:search_caserun_changelist")).content.decode()
    assert "0 of 1" in runs and "1 of 1" in runs
    assert "not found" in admin_client.get(list_url).content.decode()


def test_nobody_else_sees_any_of_it(rows: None, client: Client) -> None:
    for url in (TRY, RUN):
        assert "/admin/login/" in client.get(url)["Location"]
    client.force_login(User.objects.create_user("clerk", is_staff=True))
    assert client.get(TRY, {"q": "x"}).status_code == client.post(TRY, {"q": "x"}).status_code == 403
    assert client.post(RUN).status_code == 403
    assert client.get(RUN).status_code == 405
