"""Fixtures over ``search_services``: an index that can be asked, and a language model. A pytest plugin,
named in conftest; it imports nothing of ours that needs Django's registry before a test runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from pytest_django import Settings

from tests.support import search_services
from tests.support.search_services import ModelServer


@pytest.fixture
def rows(db: None) -> None:
    """The corpus in the database; nothing in Milvus, and no model."""
    from ingestion.coordination import circuit_breaker
    from ingestion.exceptions import BufferUnavailable

    search_services.write_rows()
    with suppress(BufferUnavailable):
        circuit_breaker.over()  # what a test before this one did to Milvus


@pytest.fixture
def index(rows: None, milvus_server: str, model_path: Path) -> None:
    """The corpus in the database and in a real Milvus, with vectors of the real stand-in model."""
    from search.retrieval import question_model

    search_services.write_vectors()
    question_model.load(question_model.searched_collection())


@pytest.fixture(autouse=True)
def cold_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """No page view loads the model in the background, and no failure is remembered."""
    from search.retrieval import question_model

    monkeypatch.setattr("search.pages.views.warm_up", lambda: None)
    monkeypatch.setattr(question_model, "_failure", None)


@pytest.fixture
def language_model(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    monkeypatch.setattr("search.answering.answer.RECHECKED_SHARE", 0.0)  # by chance, no answer is given again
    with search_services.model_server() as server:
        settings.LLM_BASE_URL, settings.LLM_MODEL, settings.LLM_API_KEY = server.url, "stub", ""
        settings.LLM_TIMEOUT_SECONDS = 20.0
        settings.ANSWER_CACHE_SECONDS = 0  # tests of the cache turn it on
        yield server
