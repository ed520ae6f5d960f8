"""Questions that are searched for together: each finds what it finds alone."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import DatabaseError, connection
from django.test.utils import CaptureQueriesContext
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, get_current_span

from ingestion.exceptions import PermanentError, VectorStoreUnavailable
from ingestion.models import Chunk
from ingestion.types import Hits
from ingestion.vector_store.store import VectorStore
from ragproject import tracing
from search.access.caller import OPERATOR
from search.exceptions import QuestionRefused
from search.questions import Passage, Question
from search.retrieval import index_search, preparation
from search.retrieval.index_search import EmbeddedQuestion, Search, carried_out, find_each
from search.retrieval.preparation import Asked, PreparedQuestion, prepare_each
from search.retrieval.retriever import embedded, retrieve, retrieve_queued
from search.retrieval.selection import Selection
from search.timings import Timings
from tests.search.access.test_callers import nobody
from tests.support.callers import restrict
from tests.support.search_services import HANDBOOK, ROWS

CREATING, CACHING = "How are migrations created?", "How do I cache in Redis?"
QUESTIONS = [
    Question(CREATING, OPERATOR, limit=3),
    Question(CREATING, OPERATOR, limit=50),
    Question(CACHING, OPERATOR, source="Site"),
    Question("What do templates escape?", OPERATOR, mode="dense"),
    Question("makemigrations", OPERATOR, mode="words", limit=1),
    Question(CREATING, OPERATOR, parts=(CACHING, "How is a migration reversed?"), limit=50),
    Question("variables", OPERATOR, path="file:///handbook/templates"),
]


def together(questions: Sequence[Question]) -> list[list[Passage] | Exception]:
    asked = [Asked(question, Timings()) for question in questions]
    prepared = prepare_each(asked)
    found: list[list[Passage] | Exception] = []
    ready = []
    for each, how in zip(asked, prepared, strict=True):
        if isinstance(how, PreparedQuestion):
            ready.append(EmbeddedQuestion(each, how, embedded(how)))
        else:
            found.append(how)
    return found + find_each(ready)


def test_each_finds_what_it_finds_alone(index: None) -> None:
    assert together(QUESTIONS) == [retrieve(question, Timings()) for question in QUESTIONS]


def test_questions_asked_at_once_are_answered_as_one_after_the_other(index: None) -> None:
    async def at_once() -> list[list[Passage]]:
        return await asyncio.gather(*(retrieve_queued(question, Timings()) for question in QUESTIONS))

    assert async_to_sync(at_once)() == [retrieve(question, Timings()) for question in QUESTIONS]


def test_the_database_is_asked_three_times_and_milvus_once(index: None, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [Question(CREATING, OPERATOR, limit=n) for n in range(1, 8)]
    together(asked)
    sizes, search = [], VectorStore.search

    def counted(store: VectorStore, queries: Sequence[Any], **where: Any) -> Any:
        sizes.append(len(queries))
        return search(store, queries, **where)

    monkeypatch.setattr(VectorStore, "search", counted)
    with CaptureQueriesContext(connection) as queries:
        together(asked)
    assert (len(queries), sizes) == (3, [7])


def test_a_question_that_is_refused_keeps_nobody_from_answers(index: None) -> None:
    refused, *found = together([QUESTIONS[0], Question("x", OPERATOR, source="Nowhere"), QUESTIONS[1]])
    assert isinstance(refused, QuestionRefused)
    assert found == [retrieve(question, Timings()) for question in QUESTIONS[:2]]


def test_each_caller_gets_what_it_may_see(index: None) -> None:
    restrict(HANDBOOK)
    everything, public = together([Question(CREATING, caller, limit=50) for caller in (OPERATOR, nobody())])
    assert isinstance(everything, list)
    assert isinstance(public, list)
    assert {passage.source for passage in everything} == {"Handbook", "Site"}
    assert {passage.source for passage in public} == {"Site"}


def test_rows_decide_for_each_caller_even_when_the_vectors_are_asked_without_a_filter(
    index: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    restrict(HANDBOOK)
    monkeypatch.setattr(preparation, "selected", lambda *args: Selection())
    callers = (nobody(), OPERATOR, nobody())
    found = together([Question(CREATING, caller, limit=50) for caller in callers])
    seen = [{passage.source for passage in each} for each in found if isinstance(each, list)]
    assert seen == [{"Site"}, {"Handbook", "Site"}, {"Site"}]


def test_an_error_of_the_database_is_everybodys(index: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object) -> None:
        raise DatabaseError("no such table")

    monkeypatch.setattr(index_search, "stored_rows", broken)
    assert [type(each) for each in together(QUESTIONS[:3])] == [DatabaseError] * 3
    monkeypatch.setattr(preparation, "places", broken)
    assert [type(each) for each in together(QUESTIONS[:3])] == [DatabaseError] * 3


class FakeStore:
    """Finds the rows that it is given; refuses a query named "bad", and answers nobody while it is silent."""

    name = "documents"
    channels = ("dense",)

    def __init__(self, keys: Sequence[str], *, silent: bool = False) -> None:
        self.keys, self.silent = keys, silent
        self.asked: list[tuple[int, int]] = []

    def search(self, queries: Sequence[dict[str, Any]], *, limit: int, **where: Any) -> list[dict[str, Hits]]:
        self.asked.append((len(queries), limit))
        if self.silent:
            raise VectorStoreUnavailable("Milvus does not answer.")
        if any("bad" in query for query in queries):
            raise PermanentError("Milvus refused that.")
        return [{"dense": {key: 1 / n for n, key in enumerate(self.keys[:limit], 1)}} for _ in queries]


def searches(store: FakeStore, *queries: str, limits: Sequence[int] = (3, 3, 3)) -> list[Search]:
    found = []
    for query, limit in zip(queries, limits, strict=False):
        asked = Asked(Question(query, OPERATOR, limit=limit), Timings())
        prepared = PreparedQuestion(None, Selection(), [query], [])  # type: ignore[arg-type]
        found.append(Search(EmbeddedQuestion(asked, prepared, []), store, {query: {query: [1.0]}}))  # type: ignore[arg-type]
    return found


def test_what_milvus_refuses_fails_alone(rows: None) -> None:
    store = FakeStore([row.key for row in ROWS])
    first, bad, last = carried_out(searches(store, "dense", "bad", "dense"))
    assert isinstance(bad, PermanentError)
    assert first == last != []
    assert store.asked == [(3, 120), (1, 120), (1, 120), (1, 120)]


def test_a_silent_milvus_is_asked_once(rows: None) -> None:
    store = FakeStore([], silent=True)
    found = carried_out(searches(store, "dense", "dense", "dense"))
    assert [type(each) for each in found] == [VectorStoreUnavailable] * 3
    assert store.asked == [(3, 120)]


def test_only_those_with_too_few_passages_go_deeper(rows: None) -> None:
    Chunk.objects.filter(key__in=[row.key for row in ROWS[1:]]).update(state=Chunk.State.REMOVING)
    store = FakeStore([ROWS[0].key] + [f"orphan-{n}" for n in range(2000)])
    found = carried_out(searches(store, "dense", "dense", limits=(1, 2)))
    assert [len(each) for each in found if isinstance(each, list)] == [1, 1]
    assert store.asked == [(2, 120), (1, 480), (1, 1000)]


def test_every_step_is_timed_and_traced_for_its_own_question(index: None, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: Counter[tuple[int, str]] = Counter()

    def noted(name: str, *args: object) -> Any:
        steps[get_current_span().get_span_context().span_id, name] += 1
        return trace.INVALID_SPAN

    monkeypatch.setattr(tracing, "begin_step", noted)
    clocks = [Timings() for _ in range(3)]

    async def one(number: int) -> None:
        span = NonRecordingSpan(SpanContext(1, number, is_remote=False, trace_flags=TraceFlags(0)))
        with trace.use_span(span):
            await retrieve_queued(Question(CREATING, OPERATOR), clocks[number - 1])

    async def three() -> None:
        await asyncio.gather(*(one(number) for number in (1, 2, 3)))

    async_to_sync(three)()
    names = {"embed", "search", "fuse", "rows"}
    assert {id for id, _ in steps} == {1, 2, 3}
    for number in (1, 2, 3):
        assert {name for id, name in steps if id == number} - {"wait", "load"} == names
        assert set(clocks[number - 1].milliseconds()) - {"wait", "load"} == {*names, "total"}
