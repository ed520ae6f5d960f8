"""What the whole stack does while something that documents need is missing: a model's folder comes and goes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from tests.support.running import START_SECONDS, Running, destroy, manage, start

pytestmark = pytest.mark.e2e

# Two probes, the embedder's own pause, a model that is loaded for the first time, and a busy machine.
GOES_ON_SECONDS = 120


def status(running: Running) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(manage(running, "status", "--json").stdout)
    return found


def first_troubles(running: Running) -> list[str]:
    """Return what the status says is wrong, once it says so."""
    deadline = time.monotonic() + START_SECONDS
    while not (troubles := status(running)["troubles"]):
        assert time.monotonic() < deadline, running.output()
        time.sleep(1)
    return list(troubles)


@pytest.mark.usefixtures("model_path")
def test_documents_wait_for_a_model_that_is_missing_and_go_on_when_it_is_back(tmp_path: Path) -> None:
    docs, models = tmp_path / "docs", tmp_path / "data" / "models"
    docs.mkdir()
    for number in range(40):
        (docs / f"{number}.md").write_text(f"# Page {number}\n\nHow the valve {number} is opened.")
    shutil.copytree(Path(settings.MODEL_PATH), models / "stand-in")
    running = start(tmp_path / "data", "--no-web")
    try:
        running.until(running.ready)
        (models / "stand-in").rename(models / "away")
        with subprocess.Popen(
            [sys.executable, "manage.py", "ingest", str(docs), "--json"],
            cwd=settings.BASE_DIR,
            env=running.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as ingest:
            [trouble] = first_troubles(running)
            assert str(models / "stand-in") in trouble
            time.sleep(12)  # some probes later
            now = status(running)
            assert (now["documents"].get("failed", 0), now["troubles"]) == (0, [trouble])
            (models / "away").rename(models / "stand-in")
            figures = json.loads(ingest.communicate(timeout=GOES_ON_SECONDS)[0])
        assert (figures["indexed"], figures["failed"], ingest.returncode) == (40, 0, 0)
        assert status(running)["troubles"] == []
    finally:
        destroy(running)
