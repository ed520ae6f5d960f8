"""Results while somebody types, by keyboard and without JavaScript."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.actions import QUESTION, Sites, box, watched

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
    press("s")
    assert box(page).input_value() == "cache in rediss"
    press("Control+k")
    page.keyboard.type("migrations")
    page.locator("#results .hits:first-child[aria-label=Migrations]").wait_for()
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
