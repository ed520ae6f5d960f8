"""The search page in a real Chromium, over a real web server, Milvus Lite and the stand-in model.

Set SCREENSHOTS to a folder to keep the pictures; look at them after every change of the page.
"""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, sync_playwright

from tests.conftest import stop, wait_until
from tests.settings import free_port
from tests.support import search_services
from tests.support.search_services import ATTACK, ModelServer

pytestmark = [pytest.mark.browser, pytest.mark.e2e]

QUESTION = "How do I create migrations after changing a model?"
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
# The model behaves in another way with each test, so that no answer may come from an earlier one.
MODEL_SETTINGS = {"LLM_TIMEOUT_SECONDS": "20", "ANSWER_CACHE_SECONDS": "0"}
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
RECORD_LENGTHS = """
() => {
  window.lengths = [];
  const answer = document.querySelector("#answer");
  new MutationObserver(() => window.lengths.push(answer.textContent.length)).observe(answer, {
    childList: true, subtree: true, characterData: true,
  });
}
"""
# Every visible text against the nearest opaque background, by WCAG 2.2's formula.
LOW_CONTRAST = """
() => {
  const channel = (c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const parse = (css) => css.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c.length < 4 || c[3] === 1) return c;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const e of document.querySelectorAll("body *")) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!own || !e.checkVisibility()) continue;
    const [a, b] = [light(parse(getComputedStyle(e).color)), light(ground(e))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) found.push(`${e.tagName}.${e.className} ${ratio.toFixed(2)}`);
  }
  return found;
}
"""


@dataclass(frozen=True)
class Sites:
    """Two web servers over one index: with a language model, and without."""

    generating: str
    extracting: str
    model: ModelServer


def serve(stack: ExitStack, database: Path, **environment: str) -> str:
    """Start uvicorn; return its address without waiting for it."""
    port = str(free_port())
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "ragproject.asgi:application", "--port", port, "--log-level", "warning"],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "ragproject.settings", "LLM_BASE_URL": "",
             "DATABASE_URL": f"sqlite:///{database}", **environment},
    )  # fmt: skip
    stack.callback(stop, process)
    return f"http://127.0.0.1:{port}/"


def answers(address: str) -> bool:
    with urllib.request.urlopen(address, timeout=5) as response:  # noqa: S310  our own server
        return bool(response.status == 200)


@pytest.fixture(scope="module")
def sites(milvus_server: str, model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sites]:
    database = tmp_path_factory.mktemp("web") / "db.sqlite3"
    subprocess.run(
        [sys.executable, "-m", "tests.support.search_services"],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "ragproject.settings", "DATABASE_URL": f"sqlite:///{database}"},
        check=True,
    )
    search_services.write_vectors()
    with ExitStack() as stack:
        model = stack.enter_context(search_services.model_server())
        generating = serve(stack, database, LLM_BASE_URL=model.url, LLM_MODEL="stub", **MODEL_SETTINGS)
        extracting = serve(stack, database)
        for address in (generating, extracting):
            wait_until(partial(answers, address))
            with urllib.request.urlopen(f"{address}api/search?q=warm+up", timeout=120):  # noqa: S310
                pass
        yield Sites(generating, extracting, model)


@pytest.fixture(scope="module")
def browser(sites: Sites) -> Iterator[Browser]:
    if not Path(CHROMIUM).exists() and not os.environ.get("REQUIRE_BROWSER"):
        pytest.skip(f"no browser at {CHROMIUM}; set CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def model(sites: Sites) -> Iterator[ModelServer]:
    """Give the language model time to be watched, and put it back afterwards."""
    fresh = ModelServer()
    for name in ("behaviour", "pieces", "requests", "hung_up"):
        setattr(sites.model, name, getattr(fresh, name))
    sites.model.delay = 0.15
    yield sites.model
    sites.model.hung_up.set()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """Open a page that must write nothing to the console and stay on its own site."""
    context = browser.new_context(viewport={"width": 1100, "height": 900})
    yield from watched(context)


def watched(context: BrowserContext) -> Iterator[Page]:
    trouble: list[str] = []
    page = context.new_page()

    def heard(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            trouble.append(message.text)

    def asked(request: Request) -> None:
        if not request.url.startswith("http://127.0.0.1:"):
            trouble.append(f"a request to {request.url}")

    page.on("console", heard)
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("request", asked)
    yield page
    context.close()
    assert trouble == []


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(os.environ.get("SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def box(page: Page) -> Any:
    return page.get_by_label("Search, or ask a question")


def ask(page: Page, address: str, question: str = QUESTION) -> None:
    page.goto(address)
    box(page).fill(question)
    page.get_by_role("button", name="Ask", exact=True).first.click()


def finished(page: Page) -> None:
    page.locator("#status", has_text="Answered from").wait_for()


def text_of_answer(page: Page) -> str:
    return str(page.locator("#answer").inner_text()).strip()


# --- Search -----------------------------------------------------------------------------------------------------


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


# --- Answers ----------------------------------------------------------------------------------------------------


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
        assert other.locator(".passage").count() == 5
        assert other.get_by_role("button", name="Delete this link").count() == 0
    page.goto(address)
    page.get_by_role("button", name="Delete this link").click()
    page.get_by_role("heading", name="The link is deleted").wait_for()
    assert page.request.get(address).status == 404
    page.go_back()
    page.go_back()
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
    assert stages == ["parse", "embed", "search", "context", "generate", "total"]
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


# --- What can go wrong ------------------------------------------------------------------------------------------


def test_a_model_that_breaks_off_leaves_the_sources(
    sites: Sites, model: ModelServer, page: Page, pictures: Path
) -> None:
    model.behaviour = "half"
    ask(page, sites.generating)
    page.get_by_role("alert").get_by_text("The language model did not finish").wait_for()
    assert "Run makemigrations" in text_of_answer(page)
    assert page.locator("#sources > li").count() == 5
    assert not page.locator("body.busy").count()
    page.screenshot(path=pictures / "error.png", full_page=True)


def test_stop_keeps_the_text_and_hangs_up_on_the_model(sites: Sites, model: ModelServer, page: Page) -> None:
    model.behaviour = "endless"
    ask(page, sites.generating)
    page.get_by_text("on and on and").first.wait_for()
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("Stopped.").wait_for()
    assert model.hung_up.wait(120)
    assert "on and on" in text_of_answer(page)
    assert page.locator("#sources > li").count() == 5
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


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_it_is_readable(
    sites: Sites, model: ModelServer, browser: Browser, pictures: Path, scheme: Any, width: int
) -> None:
    model.delay = 0
    model.pieces = [
        "Create the migration first, then apply it to the database [1]. Run ", "`python manage.py makemigrations`",
        " after every change of a model [1][2].\n\n```python\nclass Book(models.Model):\n    title = models.CharField()"
        "  # the title as it stands on the cover, without the subtitle, in the language of the edition\n```\n\n",
        "| Command | Does |\n|---|---|\n| `migrate` | applies [2] |\n\nSome operations are not reversed 42 times [3].",
    ]  # fmt: skip
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    for page in watched(context):
        page.goto(sites.extracting)
        examine(page, pictures / f"start-{scheme}-{width}.png", width)
        box(page).fill("migrations")
        page.locator(".hit").first.wait_for()
        examine(page, pictures / f"results-{scheme}-{width}.png", width)
        ask(page, sites.generating)
        finished(page)
        page.get_by_role("button", name="Share").click()
        page.get_by_role("button", name="Not helpful").click()
        page.locator("#note").wait_for()
        page.locator("#answer .cite").first.hover()
        examine(page, pictures / f"answer-{scheme}-{width}.png", width)
        ask(page, sites.extracting)
        finished(page)
        page.locator("#source-1 summary").click()
        examine(page, pictures / f"extract-{scheme}-{width}.png", width)
        page.locator("#source-1 .passage-title").click()
        page.wait_for_url("**/documents/911/#p0")
        examine(page, pictures / f"document-{scheme}-{width}.png", width)


def examine(page: Page, picture: Path, width: int) -> None:
    page.screenshot(path=picture, full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(LOW_CONTRAST) == []
