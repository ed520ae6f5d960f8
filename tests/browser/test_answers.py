"""Answers on the search page: streamed, cited, followed up, shared, kept, and hostile."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.actions import QUESTION, Sites, ask, box, finished, text_of_answer, watched
from tests.support.search_services import ATTACK, ModelServer

pytestmark = [pytest.mark.browser, pytest.mark.e2e]

RECORD_LENGTHS = """
() => {
  window.lengths = [];
  const answer = document.querySelector("#answer");
  new MutationObserver(() => window.lengths.push(answer.textContent.length)).observe(answer, {
    childList: true, subtree: true, characterData: true,
  });
}
"""


def test_an_answer_streams_and_its_citation_leads_to_the_passage(
    sites: Sites, model: ModelServer, page: Page, pictures: Path
) -> None:
    page.goto(sites.generating)
    page.evaluate(RECORD_LENGTHS)
    box(page).fill(QUESTION)
    page.get_by_role("button", name="Ask", exact=True).first.click()
    page.get_by_text("Writing the answer…").wait_for()
    page.screenshot(path=pictures / "busy.png")
    finished(page)
    lengths = page.evaluate("window.lengths")
    assert len(set(lengths)) > 2
    assert text_of_answer(page) == "Run makemigrations 1."
    cite = page.get_by_role("link", name="Source 1")
    cite.hover()
    assert "Migrations record changes" in page.get_by_role("tooltip").inner_text()
    cite.click()
    assert page.evaluate("location.hash") == "#source-1"
    assert page.locator("#source-1:target").count() == 1
    assert page.locator("#source-1 .passage-text").is_visible()
    page.locator("#source-1 .passage-title").click()
    page.wait_for_url("**/documents/911/#p0")
    assert "makemigrations" in page.locator(".chunk:target").inner_text()


def test_a_whole_conversation_needs_only_a_keyboard(sites: Sites, model: ModelServer, page: Page) -> None:
    page.goto(sites.generating)
    press = page.keyboard.press
    press("Shift+Tab")
    press("Shift+Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    press("Control+k")
    page.keyboard.type(QUESTION)
    press("Shift+Enter")
    finished(page)
    tab_to(page, ".cite")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert page.get_by_role("tooltip").is_visible()
    press("Escape")
    assert not page.get_by_role("tooltip").is_visible()
    press("Enter")
    assert page.evaluate("document.activeElement.id") == "source-1"
    press("Control+k")
    tab_to(page, "#follow-text")
    page.keyboard.type("And how do I reverse them?")
    press("Enter")
    page.get_by_text("Understood as:").wait_for()
    finished(page)
    assert page.locator("#thread .turn").count() == 1
    assert page.locator("#thread .cite").get_attribute("href") == "#turn-1-source-1"
    press("Control+k")
    tab_to(page, "[data-rating=down]")
    press("Enter")
    page.locator("#note-text:focus").wait_for()
    page.keyboard.type("The command is missing.")
    press("Tab")
    press("Enter")
    page.locator("#status", has_text="note is kept").wait_for()


def tab_to(page: Page, selector: str) -> None:
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate(f"document.activeElement.matches({selector!r})"):
            return
    raise AssertionError(f"{selector} is not reached by Tab")


def test_an_answer_is_shared_loaded_again_and_forgotten(
    sites: Sites, model: ModelServer, page: Page, browser: Browser
) -> None:
    ask(page, sites.generating)
    finished(page)
    page.reload()
    page.locator("#status", has_text="This is the answer of").wait_for()
    assert text_of_answer(page) == "Run makemigrations 1."
    page.get_by_role("button", name="Share").click()
    link = page.get_by_label("Link")
    link.wait_for()
    address = str(link.input_value())
    for other in watched(browser.new_context()):
        other.goto(address)
        assert "Run makemigrations 1." in other.locator(".answer").inner_text()
        assert other.locator(".passage").count() == 7
        assert other.get_by_role("button", name="Delete this link").count() == 0
    mine = page.url
    page.goto(address)
    page.get_by_role("button", name="Delete this link").click()
    page.get_by_role("heading", name="The link is deleted").wait_for()
    assert page.request.get(address).status == 404
    page.goto(mine)
    page.get_by_role("button", name="Forget").click()
    page.locator("#status", has_text="deleted").wait_for()
    assert not page.locator("#answers").is_visible()


def test_history_and_favourites_stay_in_this_browser(sites: Sites, page: Page) -> None:
    ask(page, sites.extracting)
    finished(page)
    page.get_by_role("button", name="Favourite").click()
    ask(page, sites.extracting, "How do I cache in Redis?")
    finished(page)
    page.goto(sites.extracting)
    lines = page.locator("#history-list li").all_inner_texts()
    assert lines == [f"★ {QUESTION}", "How do I cache in Redis?"]
    page.get_by_role("button", name="Clear").click()
    assert page.locator("#history-list li").all_inner_texts() == [f"★ {QUESTION}"]
    page.locator("#history-list a").click()
    finished(page)
    assert box(page).input_value() == QUESTION


def test_extracts_are_shown_as_quotations(sites: Sites, page: Page) -> None:
    ask(page, sites.extracting)
    finished(page)
    assert "python manage.py makemigrations" in text_of_answer(page)
    assert page.locator("#answer blockquote").count() > 0
    assert page.get_by_text("No language model is configured; these are").is_visible()
    stages = page.locator("#timings dt").all_inner_texts()
    assert stages == ["parse", "embed", "search", "fuse", "rows", "context", "generate", "total"]
    page.get_by_role("button", name="Show the passages").click()
    assert page.locator("#source-5 .passage-text").is_visible()


def test_a_source_can_be_chosen(sites: Sites, page: Page) -> None:
    page.goto(sites.extracting)
    page.get_by_label("Search in").select_option("Site")
    box(page).fill(QUESTION)
    page.get_by_role("button", name="Ask", exact=True).first.click()
    finished(page)
    assert set(page.locator("#sources .source").all_inner_texts()) == {"Site"}
    page.reload()
    page.locator("#status", has_text="This is the answer of").wait_for()
    assert page.get_by_label("Search in").input_value() == "Site"


def test_a_suggested_question_is_one_click(sites: Sites, page: Page) -> None:
    page.goto(sites.extracting)
    page.get_by_role("link", name="Caching").click()
    finished(page)
    assert box(page).input_value() == "Caching"


def test_hostile_text_stays_text(sites: Sites, model: ModelServer, page: Page, browser: Browser) -> None:
    model.pieces = [
        ATTACK, " ![x](http://evil.example/?q=1) [go](http://evil.example) <b>bold</b> [1", "] [77] `[1] ", ATTACK,
        '` \x00\x1b\n\n```"><img src=x onerror=window.hacked=1>\ncode\n```\n\n| ', ATTACK, " |\n|---|",
    ]  # fmt: skip
    ask(page, sites.generating, f"zebra stripes {ATTACK}")
    finished(page)
    for part in ("#answer", "#sources", "#results"):
        assert ATTACK in page.locator(part).inner_text()
    assert "[77]" not in text_of_answer(page)
    assert page.locator("main").locator("img, script, b, style, iframe, object").count() == 0
    assert page.locator("#answer .cite").count() == 1
    page.get_by_role("button", name="Share").click()
    page.get_by_label("Link").wait_for()
    shared = str(page.get_by_label("Link").input_value())
    for address in (page.url, shared, sites.generating, f"{sites.generating}documents/922/"):
        page.goto(address)
        page.wait_for_load_state("networkidle")
        hrefs = page.locator("main a").evaluate_all("all => all.map((a) => a.getAttribute('href'))")
        assert not [h for h in hrefs if not h.startswith(("/", "#", "?", "https://docs.example.org/"))]
        assert page.evaluate("window.hacked") is None


def test_code_and_tables_are_shown_as_they_were_written(sites: Sites, model: ModelServer, browser: Browser) -> None:
    model.pieces = [
        "Use ``",
        "echo `date` **now**",
        "`` [1].\n\n```py",
        "thon\nx = 1 < 2\n",
        "```\n\n| a | b |\n|---|---|\n| 1 | `c` |\n",
    ]
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    for page in watched(context):
        ask(page, sites.generating)
        finished(page)
        assert page.locator("#answer p code").all_text_contents() == ["echo `date` **now**"]
        assert page.locator("#answer figure code").inner_text() == "x = 1 < 2\n"
        assert page.locator("#answer figcaption").inner_text() == "python"
        assert page.locator("#answer td").all_inner_texts() == ["1", "c"]
        page.locator("#answer figure").get_by_role("button", name="Copy").click()
        page.get_by_role("button", name="Copied").wait_for()
        assert page.evaluate("navigator.clipboard.readText()") == "x = 1 < 2\n"
        page.get_by_role("button", name="Copy as Markdown").click()
        page.get_by_role("button", name="Copied").nth(0).wait_for()
        assert "```python\nx = 1 < 2\n```" in page.evaluate("navigator.clipboard.readText()")
