"""What readers do on the search page, and what a page must not do meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request

from tests.support.search_services import ModelServer

QUESTION = "How do I create migrations after changing a model?"


@dataclass(frozen=True)
class Sites:
    """Two web servers over one index: with a language model, and without."""

    generating: str
    extracting: str
    foreign: str  # the origin that may hold the widget
    model: ModelServer
    database: Path


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
    assert not trouble, trouble


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
