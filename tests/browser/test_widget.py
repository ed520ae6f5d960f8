"""The widget on a page of another site, whose own policy allows no styles but its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.actions import QUESTION, Sites, watched
from tests.support.search_services import ATTACK, ModelServer

pytestmark = [pytest.mark.browser, pytest.mark.e2e]


ATTRIBUTES = f"""data-accent="#0a58ca" data-sources="Handbook,Site"
        data-questions="{QUESTION}|Other?" data-note=Vorsicht."""
# What is heard of the widget on its page.
HEAR = """() => {
  window.heard = [];
  document.addEventListener("docs-widget", (event) => window.heard.push(event.detail.kind));
}"""
# Styles of the page that would spoil the widget.
SPOIL = """() => {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync("body { letter-spacing: 9px } button, h2 { color: rgb(1, 2, 3) !important }");
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
}"""


@contextmanager
def foreign_page(sites: Sites, port: int, attributes: str = ATTRIBUTES) -> Iterator[str]:
    """Serve a page with the widget, dark by its own choice."""
    server = sites.generating.rstrip("/")
    html = f"""<!doctype html><html lang="de" data-theme="dark"><title>Host</title><body><p>Host page</p>
        <script src="{server}/static/search/widget.js" defer
        {attributes}></script></body></html>"""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            policy = f"default-src 'none'; script-src {server}; connect-src {server}; img-src 'self'"
            self.send_header("Content-Security-Policy", policy)
            self.end_headers()
            self.wfile.write(html.encode())

        def log_message(self, format: str, *args: Any) -> None:
            pass

    web = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{web.server_port}/"
    finally:
        web.shutdown()
        web.server_close()
        thread.join()


def test_it_searches_and_answers_on_a_foreign_page(
    sites: Sites, model: ModelServer, page: Page, pictures: Path
) -> None:
    model.pieces = [ATTACK, " Run ", "makemigrations", " [1]."]
    with foreign_page(sites, urlsplit(sites.foreign).port or 0) as address:
        page.goto(address)
        page.get_by_role("button", name="Doku fragen").click()
        box = page.get_by_role("searchbox", name="Suchen oder eine Frage stellen")
        box.fill("cache in redis")
        link = page.get_by_role("link", name="Redis backend")
        link.wait_for()
        assert link.get_attribute("href") == "https://docs.example.org/topics/cache/#redis-backend"
        page.get_by_label("Suchen in").select_option("Handbook")
        box.fill(QUESTION)
        page.keyboard.press("Enter")
        page.get_by_text("Beantwortet.").wait_for()
        assert ATTACK in page.locator(".answer").inner_text()
        page.get_by_role("link", name="Source 1").click()
        assert page.url == address
        assert page.locator("#source-1 .passage-text").is_visible()
        title = page.locator("#source-1 .passage-title")
        assert title.get_attribute("href") == f"{sites.generating}documents/911/#p0"
        assert title.get_attribute("target") == "_blank"
        assert set(page.locator(".passage .source").all_inner_texts()) == {"Handbook"}
        assert page.get_by_text("Vorsicht.").is_visible()
        assert page.locator(".root").get_attribute("data-theme") == "dark"
        page.screenshot(path=pictures / "widget.png")
        page.evaluate("document.documentElement.dataset.theme = 'light'")
        page.locator(".root[data-theme=light]").wait_for(state="attached")
        page.screenshot(path=pictures / "widget-light.png")
        page.keyboard.press("Escape")
        assert not page.get_by_role("dialog").is_visible()
        assert page.evaluate("window.hacked") is None
        assert page.context.cookies() == []


def test_neither_sides_styles_reach_the_other(sites: Sites, page: Page) -> None:
    style = "(element, name) => getComputedStyle(element)[name]"
    with foreign_page(sites, 0) as address:
        page.goto(address)
        launch = page.get_by_role("button", name="Doku fragen")
        launch.click()
        page.evaluate(SPOIL)
        for shown in (page.locator("dialog h2"), page.get_by_role("button", name="Schließen")):
            assert shown.evaluate(style, "color") != "rgb(1, 2, 3)"
            assert shown.evaluate(style, "letterSpacing") == "normal"
        assert page.locator(".launch").evaluate(style, "backgroundColor") == "rgb(10, 88, 202)"
        assert page.locator("body > p").evaluate(style, "boxSizing") == "content-box"
        page.get_by_role("button", name="Schließen").click()
        page.get_by_role("dialog").wait_for(state="hidden")


def test_the_script_tag_decides(sites: Sites, page: Page) -> None:
    attributes = 'data-label="Aide" data-title="Le manuel" data-language="fr" data-theme="light" data-sources="Site"'
    with foreign_page(sites, 0, attributes) as address:
        page.goto(address)
        page.get_by_role("button", name="Aide").click()
        assert page.get_by_role("dialog", name="Le manuel").is_visible()
        assert page.get_by_role("searchbox", name="Chercher ou poser une question").is_visible()
        assert page.locator(".root").get_attribute("data-theme") == "light"
        assert page.locator("dialog select").input_value() == "Site"
        assert not page.locator("dialog select").is_visible()


def test_closing_it_hangs_up_on_the_model(sites: Sites, model: ModelServer, page: Page) -> None:
    model.behaviour = "endless"
    page.goto(f"{sites.generating}widget/")
    page.get_by_role("button", name="Ask the docs").click()
    page.get_by_role("searchbox").fill(QUESTION)
    page.keyboard.press("Enter")
    page.get_by_text("on and on and").first.wait_for()
    page.get_by_role("button", name="Close").click()
    assert model.hung_up.wait(120)


def test_it_is_refused_on_a_page_that_is_not_named(sites: Sites, browser: Browser) -> None:
    context = browser.new_context()
    page = context.new_page()
    with foreign_page(sites, 0) as address:
        page.goto(address)
        page.get_by_role("button", name="Doku fragen").click()
        page.get_by_role("button", name=QUESTION).click()
        page.get_by_text("Die Antwort kam nicht an.").wait_for()
    context.close()


def test_refusals_and_notices_are_sentences(sites: Sites, model: ModelServer, browser: Browser) -> None:
    model.pieces = ["These documents do not say."]
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{sites.generating}widget/")
    page.get_by_role("button", name="Ask the docs").click()
    refused = {"status": 503, "content_type": "application/problem+json", "body": '{"error": "Too many requests."}'}
    page.route("**/widget/results*", lambda route: route.fulfill(**refused))
    page.get_by_role("searchbox").fill("migrations")
    page.locator(".status.error", has_text="Too many requests.").wait_for()
    assert "{" not in page.locator("dialog").inner_text()
    page.unroute("**/widget/results*")
    page.get_by_role("searchbox").fill("migrations of models")
    page.locator(".hit").first.wait_for()
    assert page.locator(".status").inner_text() == ""
    page.keyboard.press("Enter")
    page.get_by_text("The passages below are the nearest that were found.").wait_for()
    page.get_by_role("button", name="Stop").wait_for(state="hidden")
    assert page.locator(".status").inner_text() == "The passages below are the nearest that were found."
    context.close()


def test_what_is_stopped_or_broken_off_is_not_called_an_answer(
    sites: Sites, model: ModelServer, browser: Browser
) -> None:
    model.behaviour = "endless"
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{sites.generating}widget/")
    page.evaluate(HEAR)
    page.get_by_role("button", name="Ask the docs").click()
    stop = page.get_by_role("button", name="Stop")
    field = page.get_by_role("searchbox")
    ends: list[Callable[[], None]] = [stop.click, lambda: field.fill("cache in redis"), lambda: field.fill("")]
    for end in ends:
        page.get_by_role("searchbox").fill(QUESTION)
        page.keyboard.press("Enter")
        page.get_by_text("on and on and").first.wait_for()
        end()
        stop.wait_for(state="hidden")
        page.locator(".status:empty").wait_for(state="attached")
    broken = {"content_type": "text/event-stream", "body": 'event: html\ndata: {"block": 0, "html": "<p>Run"}\n\n'}
    page.route("**/widget/ask", lambda route: route.fulfill(**broken))
    page.get_by_role("searchbox").fill("What else?")
    page.keyboard.press("Enter")
    page.locator(".status.error", has_text="before the answer was complete").wait_for()
    stop.wait_for(state="hidden")
    assert page.evaluate("window.heard") == ["question"] * 4
    context.close()


def test_its_own_page_shows_it(sites: Sites, model: ModelServer, browser: Browser) -> None:
    for page in watched(browser.new_context()):
        page.goto(f"{sites.generating}widget/")
        assert "widget.js" in page.locator("pre").inner_text()
        page.evaluate(HEAR)
        page.get_by_role("button", name="Ask the docs").click()
        page.get_by_role("searchbox").fill(QUESTION)
        page.keyboard.press("Enter")
        page.get_by_text("Answered.").wait_for()
        assert "Run makemigrations" in page.locator("dialog .answer").inner_text()
        page.get_by_role("button", name="Stop").wait_for(state="hidden")
        assert page.evaluate("window.heard") == ["question", "answered"]
