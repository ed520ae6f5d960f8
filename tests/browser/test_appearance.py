"""How the pages look: nothing too wide, no text too faint, in light and dark, wide and narrow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.actions import Sites, ask, box, finished, watched
from tests.support.search_services import ModelServer

pytestmark = [pytest.mark.browser, pytest.mark.e2e]

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
        page.goto(f"{sites.extracting}?q=migrations")
        page.locator("#source").evaluate(
            "select => select.add(new Option('/srv/documentation/of/a/product'.repeat(3)))"
        )
        examine(page, pictures / f"long-name-{scheme}-{width}.png", width)


def examine(page: Page, picture: Path, width: int) -> None:
    page.screenshot(path=picture, full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(LOW_CONTRAST) == []
