"""A real Chromium over real web servers, Milvus Lite and the stand-in model.

Set SCREENSHOTS to a folder to keep the pictures; look at them after every change of the pages.
"""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.actions import Sites, watched
from tests.conftest import stop, wait_until
from tests.support import search_services
from tests.support.ports import free_port
from tests.support.search_services import ModelServer

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
# The model behaves in another way with each test, so that no answer may come from an earlier one.
MODEL_SETTINGS = {"LLM_TIMEOUT_SECONDS": "20", "ANSWER_CACHE_SECONDS": "0"}
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


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


@pytest.fixture(scope="package")
def sites(
    milvus_server: str, redis_server: str, model_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sites]:
    database = tmp_path_factory.mktemp("web") / "db.sqlite3"
    subprocess.run(
        [sys.executable, "-m", "tests.support.search_services"],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "ragproject.settings", "DATABASE_URL": f"sqlite:///{database}"},
        check=True,
    )
    search_services.write_vectors()
    with ExitStack() as stack:
        model = stack.enter_context(search_services.model_server())
        foreign = f"http://127.0.0.1:{free_port()}"
        of_model = {**MODEL_SETTINGS, "LLM_BASE_URL": model.url, "LLM_MODEL": "stub"}
        generating = serve(stack, database, WIDGET_ORIGINS=foreign, **of_model)
        extracting = serve(stack, database)
        for address in (generating, extracting):
            wait_until(partial(answers, address))
            with urllib.request.urlopen(f"{address}api/search?q=warm+up", timeout=120):  # noqa: S310
                pass
        yield Sites(generating, extracting, foreign, model, database)


@pytest.fixture(scope="package")
def browser(sites: Sites) -> Iterator[Browser]:
    """Start Chromium; its event loop runs in this thread as long, so that no other tests may run meanwhile."""
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


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(os.environ.get("SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder
