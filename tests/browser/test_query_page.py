"""The question page in a real Chromium, over a real web server, Milvus Lite and the stand-in model.

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
from tests.support.databases import fresh_url
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
  window.changes = 0;
  const answer = document.querySelector("#answer");
  new MutationObserver((changes) => {
    window.changes += changes.length;
    window.lengths.push(answer.textContent.length);
  }).observe(answer, {childList: true, subtree: true, characterData: true});
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


def serve(stack: ExitStack, database: str, **environment: str) -> str:
    """Start uvicorn; return its address without waiting for it."""
    port = str(free_port())
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "ragproject.asgi:application", "--port", port, "--log-level", "warning"],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "ragproject.settings", "LLM_BASE_URL": "",
             "DATABASE_URL": database, **environment},
    )  # fmt: skip
    stack.callback(stop, process)
    return f"http://127.0.0.1:{port}/"


def answers(address: str) -> bool:
    with urllib.request.urlopen(address, timeout=5) as response:  # noqa: S310  our own server
        return bool(response.status == 200)


@pytest.fixture(scope="module")
def sites(milvus_server: str, model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sites]:
    database = fresh_url(tmp_path_factory.mktemp("web") / "db.sqlite3")
    subprocess.run(
        [sys.executable, "-m", "tests.support.search_services"],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "ragproject.settings", "DATABASE_URL": database},
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


def ask(page: Page, address: str, question: str = QUESTION) -> None:
    page.goto(address)
    page.get_by_label("Your question").fill(question)
    page.get_by_role("button", name="Ask").click()


def finished(page: Page) -> None:
    page.get_by_text("Answered from").wait_for()


def test_the_answer_streams_and_its_citation_leads_to_the_page(
    sites: Sites, model: ModelServer, page: Page, pictures: Path
) -> None:
    page.goto(sites.generating)
    page.evaluate(RECORD_LENGTHS)
    page.get_by_label("Your question").fill(QUESTION)
    page.get_by_role("button", name="Ask").click()
    page.get_by_text("Writing the answer…").wait_for()
    page.screenshot(path=pictures / "busy.png")
    finished(page)
    lengths = page.evaluate("window.lengths")
    assert len(set(lengths)) > 2
    assert lengths == sorted(lengths)
    assert page.locator("#answer").inner_text() == "Run makemigrations 1."
    page.get_by_role("link", name="Source 1").click()
    assert page.evaluate("location.hash") == "#source-1"
    assert page.locator("#source-1:target").count() == 1
    page.locator("#source-1 .passage-title").click()
    page.wait_for_url("**/documents/911/#p0")
    assert "makemigrations" in page.locator(".chunk:target").inner_text()


def test_extracts_stream_as_well(sites: Sites, page: Page) -> None:
    page.goto(sites.extracting)
    page.evaluate(RECORD_LENGTHS)
    page.get_by_label("Your question").fill(QUESTION)
    page.get_by_role("button", name="Ask").click()
    finished(page)
    assert page.evaluate("window.changes") > 3
    assert "python manage.py makemigrations" in page.locator("#answer").inner_text()
    assert page.get_by_text("No language model is configured; these are the passages").is_visible()
    stages = page.locator("#timings dt").all_inner_texts()
    assert stages == ["parse", "embed", "search", "context", "generate", "total"]


def test_a_web_citation_names_the_section(sites: Sites, page: Page) -> None:
    ask(page, sites.extracting, "How do I cache in Redis?")
    finished(page)
    link = page.get_by_role("link", name="Caching").first
    assert link.get_attribute("href") == "https://docs.example.org/topics/cache/#redis-backend"
    assert link.get_attribute("rel") == "noopener nofollow"


def test_everything_can_be_done_by_keyboard(sites: Sites, model: ModelServer, page: Page) -> None:
    page.goto(sites.generating)
    press = page.keyboard.press
    assert page.evaluate("document.activeElement.id") == "q"
    press("Shift+Tab")
    press("Shift+Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.locator(".skip").bounding_box()["x"] >= 0  # type: ignore[index]
    press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    press("Tab")
    page.keyboard.type("first line")
    press("Shift+Enter")
    page.keyboard.type(QUESTION)
    assert "\n" in page.get_by_label("Your question").input_value()
    press("Enter")
    finished(page)
    for _ in range(10):
        press("Tab")
        if page.evaluate("document.activeElement.className") == "cite":
            break
    style = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert style == "solid"
    press("Enter")
    press("Tab")
    assert page.evaluate("document.activeElement.className") == "passage-title"
    press("Tab")
    press("Enter")
    assert page.locator("#source-1 .passage-text").is_visible()
    press("Shift+Tab")
    press("Enter")
    page.wait_for_url("**/documents/*/#p*")


def test_a_model_that_breaks_off_leaves_the_sources(
    sites: Sites, model: ModelServer, page: Page, pictures: Path
) -> None:
    model.behaviour = "half"
    ask(page, sites.generating)
    page.get_by_role("alert").get_by_text("The language model did not finish").wait_for()
    assert "Run makemigrations" in page.locator("#answer").inner_text()
    assert page.locator("#passages > li").count() == 5
    assert not page.locator("body.busy").count()
    page.screenshot(path=pictures / "error.png", full_page=True)


def test_hostile_text_stays_text(sites: Sites, model: ModelServer, page: Page) -> None:
    model.pieces = [ATTACK, " ![x](http://evil.example/?q=1) <b>bold</b> [1", "] [77] `[1] ", ATTACK, "` \x00\x1b"]
    ask(page, sites.generating, f"zebra stripes {ATTACK}")
    finished(page)
    assert ATTACK in page.locator("#answer").inner_text()
    assert "[77]" not in page.locator("#answer").inner_text()
    assert ATTACK in page.locator("#passages").inner_text()
    assert page.evaluate("window.hacked") is None
    assert page.locator("#result img, #result script, #result b, #result style").count() == 0
    assert page.locator("#answer .cite").count() == 1
    hrefs = page.locator("main a").evaluate_all("all => all.map((a) => a.getAttribute('href'))")
    assert not [h for h in hrefs if not h.startswith(("/", "#", "https://docs.example.org/"))]
    page.goto(f"{sites.generating}documents/922/")
    assert ATTACK in page.locator(".document").inner_text()
    assert page.evaluate("window.hacked") is None


def test_code_is_shown_as_it_was_written(sites: Sites, model: ModelServer, page: Page) -> None:
    model.pieces = ["Use ``", "echo `date` **now**", "``, `f(**kwargs)", "` or `` `x` ``", " [1]."]
    ask(page, sites.generating)
    finished(page)
    assert page.locator("#answer code").all_text_contents() == ["echo `date` **now**", "f(**kwargs)", "`x`"]
    assert page.locator("#answer .cite").count() == 1


def test_stop_hangs_up_on_the_model(sites: Sites, model: ModelServer, page: Page) -> None:
    model.behaviour = "endless"
    ask(page, sites.generating)
    page.get_by_text("on and on and").first.wait_for()
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("Stopped.").wait_for()
    assert model.hung_up.wait(120)
    assert page.locator("#passages > li").count() == 5


def test_leaving_hangs_up_on_the_model(sites: Sites, model: ModelServer, page: Page) -> None:
    model.behaviour = "endless"
    ask(page, sites.generating)
    page.get_by_text("on and on and").first.wait_for()
    page.goto("about:blank")
    assert model.hung_up.wait(120)


def test_a_second_question_replaces_the_first(sites: Sites, model: ModelServer, page: Page) -> None:
    model.behaviour = "endless"
    ask(page, sites.generating)
    page.get_by_text("on and on and").first.wait_for()
    model.behaviour = "answer"
    page.get_by_role("button", name="Ask").click()
    finished(page)
    assert page.locator("#answer").inner_text() == "Run makemigrations 1."


def test_a_source_can_be_chosen_and_the_address_shared(sites: Sites, page: Page) -> None:
    page.goto(sites.extracting)
    page.get_by_label("Search in").select_option("Site")
    page.get_by_label("Your question").fill(QUESTION)
    page.get_by_role("button", name="Ask").click()
    finished(page)
    assert set(page.locator("#passages .source").all_inner_texts()) <= {"Site", ""}
    shared = page.url
    page.goto("about:blank")
    page.goto(shared)
    assert page.get_by_label("Your question").input_value() == QUESTION
    assert page.get_by_label("Search in").input_value() == "Site"
    assert page.locator("#passages > li").count() == 3


def test_an_example_is_one_click(sites: Sites, page: Page) -> None:
    page.goto(sites.extracting)
    page.get_by_role("link", name="Caching").click()
    finished(page)
    assert page.get_by_label("Your question").input_value() == "Caching"


def test_it_works_without_javascript(sites: Sites, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    for page in watched(context):
        ask(page, sites.extracting)
        assert page.locator("#passages > li").count() == 5
        page.locator("#source-1 summary").click()
        assert page.locator("#source-1 .passage-text").is_visible()
        page.locator("#source-1 .passage-title").click()
        page.wait_for_url("**/documents/911/#p0")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1100, 400])
def test_it_is_readable(
    sites: Sites, model: ModelServer, browser: Browser, pictures: Path, scheme: Any, width: int
) -> None:
    model.delay = 0
    model.pieces = [
        "Create the migration first, then apply it to the database [1]. Run ", "`python manage.py makemigrations`",
        " after every change of a model; the new file belongs under version control [1][2].\n\nSome operations ",
        "cannot be reversed [3].",
    ]  # fmt: skip
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    for page in watched(context):
        page.goto(sites.extracting)
        examine(page, pictures / f"start-{scheme}-{width}.png", width)
        ask(page, sites.generating)
        finished(page)
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
