"""Answers on the search page: streamed, cited, followed up, shared, kept, and hostile."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.actions import QUESTION, Sites, ask, box, finished, text_of_answer, watched
from tests.support.search_services import ATTACK, ModelServer

pytestmark = [pytest.mark.browser, pytest.mark.e2e]


class Held(list[str]):
    """Pieces of an answer: the model says the first, and the others once ``rest`` is set."""

    def __init__(self, pieces: list[str]) -> None:
        super().__init__(pieces)
        self.rest = threading.Event()

    def __iter__(self) -> Iterator[str]:
        for number, piece in enumerate(super().__iter__()):
            assert number == 0 or self.rest.wait(120)
            yield piece


def test_an_answer_streams_and_its_citation_leads_to_the_passage(
    sites: Sites, model: ModelServer, page: Page, pictures: Path
) -> None:
    model.pieces = pieces = Held(["Run makemigrations", " [1", "]."])
    ask(page, sites.generating)
    page.locator("#answer", has_text="Run makemigrations").wait_for()
    page.locator("#status", has_text="Writing the answer…").wait_for()
    page.screenshot(path=pictures / "busy.png")
    pieces.rest.set()
    finished(page)
    assert text_of_answer(page) == "Run makemigrations 1."
    cite = page.get_by_role("link", name="Source 1")
    cite.hover()
    assert "Migrations record changes" in page.get_by_role("tooltip").inner_text()
    page.locator("#asked").hover()
    page.get_by_role("tooltip").wait_for(state="hidden")
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
    load_again(page)
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
    load_again(page)
    assert link.input_value() == address
    mine = page.url
    page.goto(address)
    page.get_by_role("button", name="Delete this link").click()
    page.get_by_role("heading", name="The link is deleted").wait_for()
    assert page.request.get(address).status == 404
    page.goto(mine)
    page.get_by_role("button", name="Share").click()
    link.wait_for()
    assert page.request.get(address).status == 200
    page.get_by_role("button", name="Delete the link").click()
    link.wait_for(state="hidden")
    assert page.request.get(address).status == 404
    page.get_by_role("button", name="Forget").click()
    page.locator("#status", has_text="with its conversation").wait_for()
    assert not page.locator("#answers").is_visible()
    page.goto(sites.generating)
    assert page.locator("#history-list li").count() == 0


def load_again(page: Page) -> None:
    page.reload()
    page.locator("#status", has_text="This is the answer of").wait_for()


def test_a_rating_is_shown_after_loading_again_and_can_be_taken_back(
    sites: Sites, model: ModelServer, page: Page
) -> None:
    ask(page, sites.generating)
    finished(page)
    helpful = page.get_by_role("button", name="Helpful", exact=True)
    helpful.click()
    page.locator("#status", has_text="rating is kept").wait_for()
    assert helpful.get_attribute("aria-pressed") == "true"
    load_again(page)
    assert helpful.get_attribute("aria-pressed") == "true"
    helpful.click()
    page.locator("#status", has_text="taken back").wait_for()
    load_again(page)
    assert helpful.get_attribute("aria-pressed") == "false"
    helpful.click()
    page.locator("#status", has_text="rating is kept").wait_for()
    page.get_by_role("button", name="Ask again").click()
    finished(page)
    helpful.wait_for()
    assert helpful.get_attribute("aria-pressed") == "false"


def test_a_follow_up_asked_again_is_the_same_follow_up(sites: Sites, model: ModelServer, page: Page) -> None:
    ask(page, sites.generating)
    finished(page)
    page.get_by_label("Search in").select_option("Site")
    page.get_by_label("Ask a follow-up").fill("And how do I reverse them?")
    with page.expect_request("**/ask") as asked:
        page.keyboard.press("Enter")
    assert (asked.value.post_data_json or {})["source"] == ""  # the conversation's
    understood = page.get_by_text("Understood as:")
    understood.wait_for()
    page.get_by_role("button", name="Ask again").click()
    finished(page)
    assert page.locator("#turn").get_by_text("Understood as:").is_visible()
    assert page.locator("#thread .turn").count() == 1
    load_again(page)
    page.get_by_role("button", name="Ask again").click()
    understood.wait_for()
    finished(page)
    page.get_by_label("Ask a follow-up").fill("And after that?")
    page.keyboard.press("Enter")
    page.locator("#thread .turn").wait_for()
    page.get_by_role("button", name="Ask", exact=True).first.click()
    page.locator("#thread .turn").wait_for(state="detached")
    finished(page)


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
    favourite = page.get_by_role("button", name="Favourite")
    page.locator("#favourite[aria-pressed=true]").wait_for()
    favourite.click()
    page.goto(sites.extracting)
    assert page.locator("#history-list li").all_inner_texts() == [QUESTION]


def test_extracts_are_shown_as_quotations(sites: Sites, page: Page) -> None:
    ask(page, sites.extracting)
    finished(page)
    assert "python manage.py makemigrations" in text_of_answer(page)
    assert page.locator("#answer blockquote").count() > 0
    assert page.get_by_text("No language model is configured; these are").is_visible()
    stages = page.locator("#timings dt").all_inner_texts()
    assert stages == ["parse", "embed", "search", "fuse", "rows", "context", "generate", "total"]
    show = page.get_by_role("button", name="Show the passages")
    show.click()
    assert show.get_attribute("aria-expanded") == "true"
    assert page.locator("#source-5 .passage-text").is_visible()
    page.get_by_role("button", name="Ask again").click()
    finished(page)
    assert show.get_attribute("aria-expanded") == "false"
    show.click()
    assert page.locator("#source-5 .passage-text").is_visible()
    load_again(page)
    assert page.get_by_text("No language model is configured; these are").is_visible()


def test_a_source_can_be_chosen(sites: Sites, page: Page) -> None:
    page.goto(sites.extracting)
    page.get_by_label("Search in").select_option("Site")
    box(page).fill(QUESTION)
    page.get_by_role("button", name="Ask", exact=True).first.click()
    finished(page)
    assert set(page.locator("#sources .source").all_inner_texts()) == {"Site"}
    load_again(page)
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
        page.clock.install()
        copy = page.locator("#answer figure button")
        for _ in range(2):  # the second time while it still says that it did
            page.evaluate("navigator.clipboard.writeText('')")
            copy.click()
            page.wait_for_function("async () => await navigator.clipboard.readText() === 'x = 1 < 2\\n'")
            assert copy.inner_text() == "Copied"
        page.clock.run_for(10_000)
        copy.filter(has_text="Copy").wait_for()
        page.get_by_role("button", name="Copy as Markdown").click()
        page.locator("#copy", has_text="Copied").wait_for()
        assert "```python\nx = 1 < 2\n```" in page.evaluate("navigator.clipboard.readText()")
