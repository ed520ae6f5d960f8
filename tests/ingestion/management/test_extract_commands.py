"""`extract` and `chunk`: one record per document, errors in their place, no database and no service."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError

from ingestion.exceptions import BufferUnavailable, HostBusy
from ingestion.pipeline.report import preview
from ingestion.types import Page

pytestmark = pytest.mark.slow


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.md").write_text("# Tea\n\nBoil *water*.\n\n## Cups\n\nDrink.\n")
    (tmp_path / "sub" / "b.rst").write_text("Pots\n====\n\nHold ``tea``.\n")
    (tmp_path / "empty.md").write_text("\n")
    return tmp_path


def run(command: str, *arguments: object, failed: bool = False) -> list[dict[str, Any]]:
    """Return the records of a command, which must exit with 1 exactly when a document failed."""
    out = StringIO()
    status = None
    try:
        call_command(command, *map(str, arguments), "--json", stdout=out, stderr=StringIO())
    except SystemExit as end:
        status = end.code
    assert status == (1 if failed else None)
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_it_extracts_each_document_of_each_target_in_order(docs: Path) -> None:
    records = run("extract", docs / "sub" / "b.rst", docs, failed=True)
    assert records == [
        {"target": str(docs / "sub/b.rst"), "title": "Pots", "markdown": "# Pots\n\nHold `tea`.", "error": None},
        {
            "target": str(docs / "a.md"),
            "title": "Tea",
            "markdown": "# Tea\n\nBoil *water*.\n\n## Cups\n\nDrink.",
            "error": None,
        },
        {"target": str(docs / "empty.md"), "title": "", "markdown": "", "error": records[2]["error"]},
        {"target": str(docs / "sub/b.rst"), "title": "Pots", "markdown": "# Pots\n\nHold `tea`.", "error": None},
    ]
    assert "empty.md" in records[2]["error"]


def test_it_explains_which_rule_left_out_which_words(docs: Path) -> None:
    page = docs / "page.html"
    page.write_text("<nav>to the shop</nav><main><h1>Tea</h1><p>Boil it.<button>Copy this</button></p></main>")
    (record,) = run("extract", page, "--explain")
    assert record["markdown"] == "# Tea\n\nBoil it."
    assert record["dropped"] == [
        {"rule": "navigation", "words": 3, "sample": "to the shop"},
        {"rule": "buttons", "words": 2, "sample": "Copy this"},
    ]


def test_the_files_of_a_folder_have_the_name_it_was_given_by(docs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(docs)
    assert [record["target"] for record in run("extract", "sub", "./a.md")] == ["sub/b.rst", "./a.md"]


def test_globs_and_a_number_choose_documents(docs: Path) -> None:
    assert [r["target"] for r in run("extract", docs, "--include", "*.rst")] == [str(docs / "sub/b.rst")]
    assert [r["target"] for r in run("extract", docs, "--exclude", "empty*", "--max-pages", 1)] == [str(docs / "a.md")]
    assert run("extract", docs, "--include", "nothing*", failed=True) == []


def test_a_bad_target_loses_nothing_else(docs: Path) -> None:
    records = run("extract", docs / "none.md", "ftp://x.example/", "", docs / "a.md", failed=True)
    assert [bool(record["error"]) for record in records] == [True, True, True, False]
    assert "none.md" in records[0]["error"]


def test_a_fault_of_ours_is_the_error_of_its_document(docs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def faulty(page: Page) -> None:
        raise KeyError("surprise")

    monkeypatch.setattr(preview, "extract", faulty)
    assert run("extract", docs / "a.md", failed=True)[0]["error"] == "Unexpected KeyError: 'surprise'."


def test_it_cuts_chunks_whose_offsets_lead_into_the_extracted_text(docs: Path, model_path: Path) -> None:
    markdown = run("extract", docs / "a.md")[0]["markdown"]
    record = run("chunk", docs / "a.md")[0]
    assert (record["target"], record["error"]) == (str(docs / "a.md"), None)
    assert record["chunks"]
    for piece in record["chunks"]:
        assert set(piece) == {"start", "end", "heading", "tokens", "text"}
        assert markdown[piece["start"] : piece["end"]] == piece["text"]
        assert piece["heading"].startswith("Tea")
    assert run("chunk", docs / "empty.md", failed=True)[0]["chunks"] == []


def test_a_model_that_is_not_there_is_named_with_what_to_do(docs: Path, settings: Any, tmp_path: Path) -> None:
    settings.MODEL_PATH = str(tmp_path / "no-model")
    with pytest.raises(CommandError, match=r"no-model.*standin_model"):
        call_command("chunk", str(docs / "a.md"), stdout=StringIO())


def test_without_json_people_read_text_and_errors_apart(docs: Path, model_path: Path) -> None:
    for command, shown in (("extract", "# Tea\n\nBoil *water*."), ("chunk", " tokens · Tea")):
        out, err = StringIO(), StringIO()
        with pytest.raises(SystemExit):
            call_command(command, str(docs / "a.md"), str(docs / "empty.md"), stdout=out, stderr=err)
        assert shown in out.getvalue()
        assert str(docs / "a.md") in out.getvalue()
        assert "no text" in err.getvalue()
        assert "no text" not in out.getvalue()


def test_a_web_page_waits_for_its_turn_and_is_one_document(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = iter([HostBusy("wait", retry_after=0.0), None])

    def fetch(spec: object, url: str) -> Page:
        if busy := next(turns):
            raise busy
        return Page(url, b"<h1>Tea</h1>", "text/html")

    monkeypatch.setattr(preview, "fetch", fetch)
    assert [r["title"] for r in run("extract", "https://t.example/tea")] == ["Tea"]


def test_a_web_page_without_redis_says_what_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(spec: object, url: str) -> Page:
        raise BufferUnavailable("Redis does not answer.")

    monkeypatch.setattr(preview, "fetch", fetch)
    assert "manage.py up" in run("extract", "https://t.example/tea", failed=True)[0]["error"]


# --- As a program -------------------------------------------------------------------------------------------


@pytest.fixture
def program(tmp_path: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Yield a list for processes that run without a database and services; end them afterwards."""
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        process.kill()
        process.communicate()


def start(program: list[subprocess.Popen[bytes]], folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "ragproject.settings",
        "DATA_DIR": str(folder / "data"),
        "DATABASE_URL": f"sqlite:///{folder}/none/none.sqlite3",
        "REDIS_URL": "redis://127.0.0.1:9/0",
        "MILVUS_URI": "http://127.0.0.1:9",
    }
    command = [sys.executable, "-W", "ignore", "manage.py", *arguments]
    process = subprocess.Popen(
        command, cwd=settings.BASE_DIR, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    program.append(process)
    return process


def test_it_needs_neither_database_nor_services(program: list[subprocess.Popen[bytes]], docs: Path) -> None:
    out, err = start(program, docs, "extract", "--json", str(docs / "a.md")).communicate(timeout=60)
    assert [json.loads(line)["title"] for line in out.splitlines()] == ["Tea"]
    assert err == b""


def many(docs: Path) -> Path:
    """More documents than a pipe holds."""
    folder = docs / "many"
    folder.mkdir()
    for number in range(60):
        (folder / f"{number}.txt").write_text("Words of tea.\n\n" * 2000)
    return folder


def test_a_reader_that_leaves_ends_it_quietly(program: list[subprocess.Popen[bytes]], docs: Path) -> None:
    process = start(program, docs, "extract", str(many(docs)))
    assert process.stdout
    assert process.stdout.readline()
    process.stdout.close()
    assert process.wait(60) == 141
    assert process.stderr
    assert process.stderr.read() == b""


def test_ctrl_c_ends_it_quietly(program: list[subprocess.Popen[bytes]], docs: Path) -> None:
    process = start(program, docs, "extract", "--json", str(many(docs)))
    assert process.stdout
    assert process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert b"Traceback" not in process.communicate(timeout=60)[1]
    assert process.returncode == 130
