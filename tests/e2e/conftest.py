"""A stack with short waits, shared by a file's tests, and what they do with it."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.conf import settings

from tests.conftest import wait_until
from tests.support.databases import execute
from tests.support.running import Running, destroy, manage, start

PATIENCE = {
    "EMBEDDINGS_FLUSH_SECONDS": "5",
    "DISPATCH_SECONDS": "0.5",
    "LEASE_SECONDS": "5",
    "RETRY_SECONDS": "0.5",
    "PAGE_TIME_LIMIT_SECONDS": "5",
    "MAX_ATTEMPTS": "3",
    "EMBED_CLAIM_TOKENS": "2000",
    "FETCH_PRIVATE_NETWORKS": "127.0.0.0/8",
}
WORDS = [
    "model",
    "query",
    "field",
    "index",
    "cache",
    "template",
    "form",
    "view",
    "signal",
    "migration",
    "session",
    "token",
    "queue",
    "worker",
]


@pytest.fixture(scope="module")
def stack(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("ingest")
    (folder / "models").mkdir()
    (folder / "models" / settings.STAND_IN).symlink_to(model_path)
    running = start(folder, **PATIENCE)
    running.until(running.ready)
    yield running
    destroy(running)


def started(stack: Running, target: object) -> subprocess.Popen[str]:
    """An ingest under way, with chunks already in the index or on their way."""
    before = indexed(stack)
    process = subprocess.Popen(
        [sys.executable, "manage.py", "ingest", str(target), "--json"],
        cwd=settings.BASE_DIR, env=stack.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_until(lambda: indexed(stack) > before + 8, every=0.02)
    assert process.poll() is None, "the run was over before it could be disturbed"
    return process


def indexed(stack: Running) -> int:
    """From the database itself: on a busy machine a command takes longer to start than a run to end."""
    asked = "SELECT COUNT(*) FROM ingestion_chunk WHERE state IN ('indexed', 'buffered')"
    return int(execute(stack.environment["DATABASE_URL"], asked)[0][0])


def finished(process: subprocess.Popen[str]) -> dict[str, Any]:
    output, errors = process.communicate(timeout=1000)
    assert process.returncode == 0, errors
    figures: dict[str, Any] = json.loads(output)
    return figures


def status(stack: Running) -> dict[str, Any]:
    figures: dict[str, Any] = json.loads(manage(stack, "status", "--json").stdout)
    return figures


def assert_index_is_exact(stack: Running) -> None:
    """Every chunk row is indexed and is exactly one row in Milvus; nothing is left on the way."""
    now = status(stack)
    assert set(now["chunks"]) == {"indexed"}
    assert now["index"]["rows"] == now["chunks"]["indexed"]
    assert now["buffer"]["records"] == now["buffer"]["unusable"] == 0


def corpus(folder: Path, pages: int, *, seed: int) -> Path:
    """Markdown of about 1 500 tokens a page, none like another."""
    random.seed(seed)
    folder.mkdir()
    for page in range(pages):
        sections = (f"## Part {n}\n\n{' '.join(random.choices(WORDS, k=280))}." for n in range(5))
        (folder / f"{page:03}.md").write_text(f"# Page {page} of {seed}\n\n" + "\n\n".join(sections))
    return folder


def gpu_child(stack: Running) -> psutil.Process:
    (child,) = (c for c in stack.service("worker", "gpu").children() if "spawn_main" in " ".join(c.cmdline()))
    return child
