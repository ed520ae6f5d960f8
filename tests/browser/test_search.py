"""Results while somebody types, by keyboard and without JavaScript."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.actions import QUESTION, Sites, ask, box, finished, watched
from tests.support.search_services import HANDBOOK, SITE

pytestmark = [pytest.mark.browser, pytest.mark.e2e]


def test_results_come_while_typing_and_open_by_keyboard(sites: Sites, page: Page) -> None:
    page.goto(sites.extracting)
    press = page.keyboard.press
    assert page.evaluate("document.activeElement.id") == "q"
    page.locator("body").click(position={"x": 5, "y": 5})
    press("/")
    assert page.evaluate("document.activeElement.id") == "q"
    page.keyboard.type("cache in redis", delay=20)
    page.get_by_role("region", name="Caching").get_by_text("Redis backend").wait_for()
    assert page.locator("mark", has_text="cache").count()
    assert "result" in page.get_by_role("status").inner_text()
    press("ArrowDown")
    press("ArrowDown")
    assert page.evaluate("document.activeElement === document.querySelectorAll('.hit')[1]")
    press("ArrowUp")
    assert page.evaluate("document.activeElement === document.querySelectorAll('.hit')[0]")
    press("Escape")
    assert page.evaluate("document.activeElement.id") == "q"
    press("ArrowDown")
    press("s")
    press("/")
    assert box(page).input_value() == "cache in rediss/"
    press("Control+k")
    page.keyboard.type("migrations")
    page.locator("#results .hits:first-child[aria-label^=Migrations]").wait_for()
    press("Enter")
    page.wait_for_url("**/documents/911/#p*")
    assert page.locator(".chunk:target").count() == 1


def test_an_answer_to_an_older_text_never_replaces_a_newer_one(sites: Sites, page: Page) -> None:
    held: list[Any] = []

    def hold_first(route: Any) -> None:
        if "zebra" in route.request.url:
            held.append(route)
        else:
            route.continue_()

    page.route("**/results?*", hold_first)
    page.goto(sites.extracting)
    with page.expect_request("**/results?q=zebra*"):
        box(page).fill("zebra stripes")
    with page.expect_event("requestfailed"):  # the older request is given up
        box(page).fill("cache in redis")
    page.get_by_role("region", name="Caching").wait_for()
    assert "Zebra" not in page.locator("#results .hits").first.inner_text()
    assert len(held) == 1


def test_enter_never_opens_a_result_of_an_older_text(sites: Sites, page: Page) -> None:
    held: list[Any] = []

    def hold_first(route: Any) -> None:
        if held or "migrations" not in route.request.url:
            route.continue_()
        else:
            held.append(route)

    page.route("**/results?*", hold_first)
    page.goto(sites.extracting)
    box(page).fill("cache in redis")
    page.get_by_role("region", name="Caching").wait_for()
    with page.expect_request("**/results?q=migrations*"):
        box(page).fill("migrations")
    with page.expect_event("requestfailed"):  # it is given up for the one that Enter makes
        page.keyboard.press("Enter")
    page.locator("#results .hits:first-child[aria-label^=Migrations]").wait_for()


def test_why_a_search_is_refused_is_said(sites: Sites, browser: Browser) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(sites.extracting)
    refused = {"status": 429, "content_type": "application/problem+json", "body": '{"error": "Wait 5 s."}'}
    page.route("**/results?*", lambda route: route.fulfill(**refused))
    box(page).fill("cache in redis")
    page.get_by_role("alert").get_by_text("Wait 5 s.").wait_for()
    context.close()


def test_keys_for_an_input_method_stay_in_the_box(sites: Sites, page: Page) -> None:
    """Arrows choose among the signs that it offers."""
    page.goto(sites.extracting)
    box(page).fill("cache in redis")
    page.locator(".hit").first.wait_for()
    for composing, focused in ((True, "q"), (False, "")):
        pressed = {"key": "ArrowDown", "isComposing": composing, "bubbles": True}
        box(page).evaluate("(field, pressed) => field.dispatchEvent(new KeyboardEvent('keydown', pressed))", pressed)
        assert page.evaluate("document.activeElement.id") == focused


def test_search_works_without_javascript(sites: Sites, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    for page in watched(context):
        page.goto(sites.extracting)
        box(page).fill(QUESTION)
        page.get_by_label("Search in").select_option("Handbook")
        page.get_by_role("button", name="Search").click()
        assert page.locator(".hit").count() == 4
        page.get_by_role("link", name="Creating").click()
        page.wait_for_url("**/documents/911/#p0")


@pytest.fixture
def versions(sites: Sites) -> Iterator[None]:
    """The handbook is version 1.0 of a guide and the site 2.0, both with one passage of the same words."""
    with closing(sqlite3.connect(sites.database)) as rows:
        texts = rows.execute("SELECT text, heading, id FROM ingestion_chunk").fetchall()
        rows.execute("UPDATE ingestion_source SET product = 'guide', version = '1.0' WHERE id = ?", [HANDBOOK])
        rows.execute("UPDATE ingestion_source SET product = 'guide', version = '2.0' WHERE id = ?", [SITE])
        rows.execute(
            "UPDATE ingestion_chunk SET text = old.text, heading = old.heading FROM ingestion_chunk AS old"
            " WHERE ingestion_chunk.document_id = 921 AND ingestion_chunk.position = 0"
            " AND old.document_id = 911 AND old.position = 0"
        )
        rows.commit()
        yield
        rows.execute("UPDATE ingestion_source SET product = '', version = ''")
        rows.executemany("UPDATE ingestion_chunk SET text = ?, heading = ? WHERE id = ?", texts)
        rows.commit()


@pytest.mark.usefixtures("versions")
def test_a_version_can_be_chosen_and_others_that_say_the_same_are_named(sites: Sites, page: Page) -> None:
    page.goto(sites.extracting)
    box(page).fill(QUESTION)
    shown = page.locator("#results .hits h2 .source")
    shown.filter(has_text="Site 2.0").first.wait_for()
    assert set(shown.all_inner_texts()) == {"Site 2.0"}
    page.get_by_label("Version").select_option("1.0")
    shown.filter(has_text="Handbook 1.0").first.wait_for()
    assert set(shown.all_inner_texts()) == {"Handbook 1.0"}
    assert "version=1.0" in page.url
    page.get_by_label("Version").select_option("All versions")
    page.locator("#results .hit-also", has_text="Also in").first.wait_for()
    page.reload()
    assert page.get_by_label("Version").input_value() == "all"
    assert (
        page.locator("#results .hit-also a", has_text="1.0")
        .or_(page.locator("#results .hit-also a", has_text="2.0"))
        .count()
    )


@pytest.mark.usefixtures("versions")
def test_the_sources_of_an_answer_name_their_versions(sites: Sites, page: Page) -> None:
    ask(page, f"{sites.extracting}?version=all")
    finished(page)
    first = page.locator("#sources .passage").first
    assert "guide" not in first.inner_text()
    assert "2.0" in first.locator(".passage-place").first.inner_text()
    assert "Also in Handbook 1.0" in first.inner_text()
