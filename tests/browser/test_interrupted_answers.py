"""Answers that break off, are stopped or replaced."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.browser.actions import Sites, ask, box, finished, text_of_answer
from tests.support.search_services import ModelServer

pytestmark = [pytest.mark.browser, pytest.mark.e2e]


def test_a_model_that_breaks_off_leaves_the_sources(
    sites: Sites, model: ModelServer, page: Page, pictures: Path
) -> None:
    model.behaviour = "half"
    ask(page, sites.generating)
    page.get_by_role("alert").get_by_text("The language model did not finish").wait_for()
    assert "Run makemigrations" in text_of_answer(page)
    assert page.locator("#sources > li").count() == 7
    assert not page.locator("body.busy").count()
    page.screenshot(path=pictures / "error.png", full_page=True)
    model.behaviour = "answer"
    page.get_by_role("button", name="Ask again").click()
    finished(page)
    page.locator("#stop").wait_for(state="hidden")
    assert not page.get_by_role("alert").is_visible()
    assert page.locator("#answer").get_attribute("aria-busy") is None


def test_a_search_leaves_the_status_and_the_address_to_the_answer_being_written(
    sites: Sites, model: ModelServer, page: Page
) -> None:
    model.behaviour = "endless"
    ask(page, sites.generating)
    page.get_by_text("on and on and").first.wait_for()
    page.locator("#status", has_text="Writing the answer…").wait_for()
    address = page.url
    box(page).fill("cache in redis")
    page.locator("#results .hits:first-child[aria-label^=Caching]").wait_for()
    assert page.locator("#status").inner_text() == "Writing the answer…"
    box(page).fill("")
    page.locator("#results .hit").first.wait_for(state="detached")
    assert page.locator("#status").inner_text() == "Writing the answer…"
    assert page.url == address
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("Stopped.").wait_for()


def test_stop_keeps_the_text_and_hangs_up_on_the_model(sites: Sites, model: ModelServer, page: Page) -> None:
    model.behaviour = "endless"
    ask(page, sites.generating)
    page.get_by_text("on and on and").first.wait_for()
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("Stopped.").wait_for()
    assert model.hung_up.wait(120)
    assert "on and on" in text_of_answer(page)
    assert page.locator("#sources > li").count() == 7
    model.behaviour = "answer"
    page.get_by_role("button", name="Ask again").click()
    finished(page)
    assert text_of_answer(page) == "Run makemigrations 1."


def test_loading_the_page_again_says_that_the_answer_was_interrupted(
    sites: Sites, model: ModelServer, page: Page
) -> None:
    model.behaviour = "endless"
    ask(page, sites.generating)
    page.get_by_text("on and on and").first.wait_for()
    page.reload()
    page.get_by_text("loaded again before the answer was complete").wait_for()
    assert model.hung_up.wait(120)
    model.behaviour = "answer"
    page.get_by_role("button", name="Ask again").click()
    finished(page)


def test_a_second_question_replaces_the_first(sites: Sites, model: ModelServer, page: Page) -> None:
    model.behaviour = "endless"
    ask(page, sites.generating)
    page.get_by_text("on and on and").first.wait_for()
    model.behaviour = "answer"
    page.get_by_role("button", name="Ask", exact=True).first.click()
    finished(page)
    assert text_of_answer(page) == "Run makemigrations 1."
