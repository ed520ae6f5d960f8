"""Settings of a search that cannot work are named before anything starts."""

from __future__ import annotations

import pytest
from pytest_django import Settings

from search.checks import check_language_model, check_reranker, check_weights, check_widget_origins


@pytest.mark.parametrize("weights", [[1.0, 0.0, 0.0], [0.5, 0.2, 0.3], [3.0, 2.0, 1.0]])
def test_weights_need_not_sum_to_1(settings: Settings, weights: list[float]) -> None:
    settings.SEARCH_WEIGHTS = weights
    assert check_weights() == []


@pytest.mark.parametrize(
    "weights", [[], [1.0], [0.5, 0.5], [0.0, 0.0, 0.0], [1.0, -0.1, 0.1], [float("inf"), 1.0, 1.0], [float("nan")] * 3]
)
def test_other_weights_are_refused(settings: Settings, weights: list[float]) -> None:
    settings.SEARCH_WEIGHTS = weights
    [found] = check_weights()
    assert found.id == "search.E003" and "dense, sparse, words" in str(found.hint)


def test_an_origin_of_the_widget_has_no_path(settings: Settings) -> None:
    settings.WIDGET_ORIGINS = ["https://www.example.org", "http://localhost:3000"]
    assert check_widget_origins() == []
    for wrong in ("https://www.example.org/", "www.example.org", "*", "null", "http://[::1:3000", "https://a.example?"):
        settings.WIDGET_ORIGINS = [wrong]
        [error] = check_widget_origins()
        assert wrong in error.msg


@pytest.mark.parametrize("address", ["http://[::1:8000/v1", "127.0.0.1:8000/v1", "ftp://docs.example.org/"])
def test_an_address_of_a_server_that_is_none_is_named(settings: Settings, address: str) -> None:
    settings.LLM_BASE_URL, settings.RERANK_URL, settings.RERANKER = address, address, "tei"
    assert [found.id for found in (*check_language_model(), *check_reranker())] == ["search.E002", "search.E006"]
