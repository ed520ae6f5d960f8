"""Real workers that describe chunks by a language model, and one that embeds the questions of other processes."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as project

from tests.support.databases import execute
from tests.support.running import Running, destroy, manage, start
from tests.support.search_services import served

pytestmark = pytest.mark.e2e
PAGES = {"tea": "Boil the water and wait.", "soup": "Cut the leeks and stir.", "bread": "Knead the dough for long."}


class Writer(BaseHTTPRequestHandler):
    """Writes a sentence with the title of the document in it, and a word that no page has, once it is ``awake``."""

    awake = threading.Event()

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        prompt = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["messages"][-1]["content"]
        title = prompt.partition("Title: ")[2].partition("\n")[0]
        message = {"role": "assistant", "content": f"Zymurgy of {title}."}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        known = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
        self.send_response(200 if self.awake.is_set() else 503)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(known).encode())


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Running]:
    """A stack whose language model is not awake yet."""
    Writer.awake.clear()
    with served(Writer) as address:
        settings = {"CONTEXT_MODEL": "writer", "LLM_BASE_URL": address, "LLM_MODEL": "m", "QUERY_EMBEDDER": "worker"}
        running = start(tmp_path / "data", "--no-web", DISPATCH_SECONDS="0.5", **settings)
        try:
            running.until(running.ready)
            yield running
        finally:
            destroy(running)


def found(stack: Running, question: str) -> tuple[list[dict[str, Any]], str]:
    done = manage(stack, "search", question, "--json", "--limit", "1")
    assert done.stdout, done.stderr
    return json.loads(done.stdout), done.stderr


def test_chunks_wait_for_the_language_model_and_are_found_by_its_sentences(stack: Running, tmp_path: Path) -> None:
    folder = tmp_path / "pages"
    folder.mkdir()
    for name, text in PAGES.items():
        (folder / f"{name}.md").write_text(f"# About {name}\n\n{text}\n")
    command = [sys.executable, "manage.py", "ingest", str(folder), "--json"]
    ingest = subprocess.Popen(command, cwd=project.BASE_DIR, env=stack.environment, stdout=subprocess.PIPE, text=True)
    rows = partial(execute, stack.environment["DATABASE_URL"])
    stack.until(lambda: "writes nothing" in str(rows("SELECT note FROM ingestion_run")))
    assert rows("SELECT count(*) FROM ingestion_chunk WHERE state = 'indexed'") == [(0,)]
    Writer.awake.set()
    assert json.loads(ingest.communicate(timeout=600)[0])["indexed"] == 3
    for name in PAGES:
        [best], said = found(stack, f"zymurgy of {name}")
        assert best["url"].endswith(f"{name}.md") and "Zymurgy" not in best["text"]
        assert "embeds questions itself" not in said
