"""Data that an earlier version wrote: brought up to date, and nothing of it is embedded again.

`tests/data/upgrade` was written by the program of 2026-11-28, before roles, readers and stored answers: it ingested
pages.jsonl with the stand-in; rows.sql is its database without permissions, milvus.db.gz its index. Redis held nothing
that rows do not tell. Folders have placeholders.
"""

from __future__ import annotations

import gzip
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

from tests.support.running import Running, destroy, ingest, manage, start

pytestmark = pytest.mark.e2e

WRITTEN = settings.BASE_DIR / "tests/data/upgrade"


@pytest.fixture(scope="module")
def upgraded(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("upgraded")
    (folder / "models").mkdir()
    (folder / "models" / settings.STAND_IN).symlink_to(model_path)
    rows = (WRITTEN / "rows.sql").read_text()
    database = sqlite3.connect(folder / "db.sqlite3")
    database.executescript(rows.replace("@DATA_DIR@", str(folder)).replace("@PAGES@", str(WRITTEN / "pages.jsonl")))
    database.close()
    (folder / "milvus.db").write_bytes(gzip.decompress((WRITTEN / "milvus.db.gz").read_bytes()))
    running = start(folder, DATABASE_URL=f"sqlite:///{folder / 'db.sqlite3'}", EMBEDDINGS_FLUSH_SECONDS="3")
    try:
        running.until(running.ready)
        yield running
    finally:
        destroy(running)


def test_the_index_answers_and_agrees_with_the_rows(upgraded: Running) -> None:
    found = json.loads(manage(upgraded, "search", "How often should I descale?", "--json").stdout)
    assert (found[0]["title"], len(found)) == ("Descaling", 4)
    audit = manage(upgraded, "audit", "--json")
    assert audit.returncode == 0, audit.stdout
    assert manage(upgraded, "migrate", "--check").returncode == 0


def test_the_next_refresh_embeds_nothing(upgraded: Running) -> None:
    run = ingest(upgraded, WRITTEN / "pages.jsonl")
    assert (run["code"], run["documents"], run["embedded"], run["reused"]) == (0, 4, 0, 4)
    status = json.loads(manage(upgraded, "status", "--json").stdout)
    assert status["chunks"] == {"indexed": 4}
    assert status["index"]["rows"] == 4
