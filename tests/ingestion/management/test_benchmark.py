"""`manage.py benchmark`: what is measured is what is said, and nothing stays behind."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import tarfile
from argparse import ArgumentParser
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import redis
import requests
from django.conf import settings
from django.core.management import CommandError, call_command
from pymilvus import MilvusClient
from rich.console import Console

from ingestion.benchmarks import corpus, django_docs, floor, ingest, naive, processes
from ingestion.benchmarks.processes import BenchmarkError, Place
from ingestion.benchmarks.usage import Usage, name_of
from ingestion.exceptions import SourceError
from ingestion.management.commands.benchmark import Command
from ingestion.tasks import dispatch
from ingestion.types import CrawlPolicy, Json, SourceSpec
from ingestion.vector_store.store import open_store
from tests.conftest import wait_until
from tests.support.local_site import LocalSite

PAGE = b"Title\n=====\n\nA page about models.\n\nPart\n----\n\nAnd about queries.\n"


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    for name in ("a.txt", "b.txt", "part/c d.txt", "part/e.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(PAGE)
    (folder / "picture.png").write_bytes(b"\x89PNG")
    return folder


@pytest.fixture
def here(tmp_path: Path) -> Place:
    (tmp_path / "place").mkdir()
    return Place(tmp_path / "place", {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"})


# --- The pages and their site -----------------------------------------------------------------------------


def test_fewer_pages_are_taken_evenly_from_the_whole(docs: Path) -> None:
    assert [file.name for file in corpus.files(docs)] == ["a.txt", "b.txt", "c d.txt", "e.txt"]
    assert [file.name for file in corpus.files(docs, 2)] == ["a.txt", "c d.txt"]
    assert len(corpus.files(docs, 100)) == 4


def test_a_folder_without_pages_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"holds no .*\.txt"):
        corpus.files(tmp_path)
    with pytest.raises(SourceError, match="is no folder"):
        corpus.folder_of(tmp_path / "none")


@pytest.mark.usefixtures("model_path")
def test_the_texts_are_what_the_model_would_read(docs: Path) -> None:
    pages = corpus.texts(docs, 1)
    assert len(pages) == 1
    assert "A page about models." in " ".join(pages[0])


def test_the_site_names_every_page_and_serves_it_as_it_is(docs: Path, here: Place) -> None:
    files = corpus.files(docs)
    with processes.site(here, docs, files, latency=1) as address, requests.Session() as session:
        sitemap = session.get(f"{address}/sitemap.xml")
        assert sitemap.text.count("<loc>") == len(files)
        assert f"{address}/part/c%20d.txt" in sitemap.text
        page = session.get(f"{address}/part/c%20d.txt")
        assert (page.content, page.headers["content-type"]) == (PAGE, "text/x-rst; charset=utf-8")
        assert session.get(f"{address}/robots.txt").status_code == 404
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{address}/sitemap.xml", timeout=5)


# --- Processes --------------------------------------------------------------------------------------------


def test_a_place_is_a_folder_of_its_own_on_ports_of_its_own_and_leaves_nothing() -> None:
    with processes.own_services() as place:
        assert place.environment["DATA_DIR"] == str(place.folder)
        ports = {place.environment[name].rsplit(":", 1)[1] for name in ("REDIS_URL", "MILVUS_URI")}
        assert len(ports) == 2
        assert place.environment["REDIS_URL"] != settings.REDIS_URL
    assert not place.folder.exists()


def test_a_place_can_take_a_model_where_there_was_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(settings, "DATA_DIR", tmp_path / "new")
    with processes.own_services() as place:
        (place.folder / "models" / "one").mkdir()
    assert (tmp_path / "new" / "models" / "one").is_dir()


def test_what_runs_is_stopped_even_when_it_will_not_end(here: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "STOP_SECONDS", 0.2)
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(99)"
    log = here.folder / "deaf.log"
    with processes.running([sys.executable, "-c", deaf], here, "deaf") as process:
        processes.until(process, log, lambda: bool(log.read_text()))
    assert process.returncode == -signal.SIGKILL


def test_a_process_that_ends_before_it_is_ready_is_an_error_with_its_last_words(here: Place) -> None:
    with (
        processes.running([sys.executable, "-c", "print('no port left')"], here, "early") as process,
        pytest.raises(BenchmarkError, match="no port left"),
    ):
        processes.until(process, here.folder / "early.log", lambda: False)


def test_a_command_that_prints_nothing_is_an_error_with_its_last_words(here: Place) -> None:
    with pytest.raises(BenchmarkError, match="sorry"):
        processes.answer(here, "-c", "import sys; sys.exit('sorry')")
    assert processes.answer(here, "-c", "print('{\"a\": 1}')") == {"a": 1}


def test_usage_holds_peaks_and_processor_time_of_the_whole_tree(clean_redis: redis.Redis, redis_server: str) -> None:
    code = "import subprocess, sys; sum(range(10**6)); subprocess.run([sys.executable, '-c', 'input()'])"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as process:
        wait_until(lambda: psutil.Process(process.pid).children())
        with Usage(process.pid, redis_server) as usage:
            clean_redis.set("large", b"0" * 10**6)
            usage.measure()
            clean_redis.delete("large")
        process.communicate(b"\n")
    figures = usage.figures()
    assert figures["peak_redis_bytes"] > 10**6
    assert len(usage._seconds) == 2
    assert all(size > 0 for size in figures["peak_rss_mb"].values())


@pytest.mark.parametrize(
    ("command", "parent", "name"),
    [
        ("python -m celery worker -n cpu@host -Q cpu -c 2", "python manage.py up", "cpu worker"),
        ("python -m celery worker -n cpu@host -Q cpu -c 2", "python -m celery worker -Q cpu", "cpu worker child"),
        ("python -c from billiard.spawn import spawn_main; spawn_main()", "celery worker -Q gpu", "gpu worker child"),
        ("/x/redis-server 127.0.0.1:1", "python manage.py up", "redis-server"),
        ("/x/lib/milvus /x/milvus.db 127.0.0.1:1", "python manage.py up", "milvus"),
    ],
)
def test_processes_are_named_by_what_they_are(command: str, parent: str, name: str) -> None:
    above = SimpleNamespace(cmdline=parent.split, parent=lambda: None)
    assert name_of(SimpleNamespace(cmdline=command.split, parent=lambda: above)) == name  # type: ignore[arg-type]


# --- Figures ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("length", "megaflop"), [(16, 605.6), (256, 629.1), (8192, 1409)])
def test_the_flop_of_a_token_are_those_of_the_published_shape(length: int, megaflop: float) -> None:
    bge_m3 = SimpleNamespace(hidden_size=1024, intermediate_size=4096, num_hidden_layers=24)
    lengths = np.array([length] * 3)
    assert floor.flop(bge_m3, lengths) / lengths.sum() / 1e6 == pytest.approx(megaflop, rel=1e-3)


MEASURED: Json = {
    "ours": {
        "seconds": 20.0, "chunks": 100, "embedded": 100, "stages": {"embed": 15.0, "index": 0.5},
        "peak_rss_mb": {"up": 90}, "processor_seconds": {"up": 0.1}, "peak_redis_bytes": 5,
        "timeline": {"finished": 20.0},
    },
    "naive": {
        "seconds": 90.0, "chunks": 100, "stages": {"embed": 80.0}, "peak_rss_mb": {"naive worker": 900},
        "processor_seconds": {"naive worker": 80.0}, "peak_redis_bytes": 4,
    },
    "floor": {"seconds": 16.0, "tokens": 8000, "chunks": 100, "limit": {"seconds": 8.0, "share": 0.5}},
    "corpus": {"folder": "/docs", "pages": 9, "latency_ms": 80.0}, "machine": {"cores": 2},
    "rounds": [1.25],
}  # fmt: skip


def test_the_ratios_and_rates_follow_from_the_seconds() -> None:
    assert ingest.ratios(MEASURED) == {"ours_to_floor": 1.25, "naive_to_ours": 4.5}
    assert ingest.rates(MEASURED["ours"], MEASURED["floor"]) == {
        "embedder_busy": 0.75,
        "tokens_per_second": 400,
        "rows_per_second": 200,
    }


def test_the_table_shows_the_three_side_by_side_and_leaves_out_what_was_not_measured() -> None:
    written = StringIO()
    Console(width=120, file=written).print(*ingest.table({**MEASURED, "ratios": ingest.ratios(MEASURED)}))
    shown = " ".join(written.getvalue().split())
    assert "9 pages of /docs, 80 ms each" in shown
    assert "seconds │ 20.00 │ 90.00 │ 16.00" in shown
    assert "start to searchable │ 20.00 │ │" in shown
    assert "naive to ours │ 4.50" in shown
    assert "all rounds" not in shown


def test_of_several_rounds_the_one_with_the_median_ratio_is_shown_and_all_ratios() -> None:
    rounds = [{"ratios": {"ours_to_floor": ratio}} for ratio in (1.3, 1.1, 1.2)]
    assert ingest.middle(rounds) == rounds[2]
    figures = {**MEASURED, "ratios": ingest.ratios(MEASURED), "rounds": [1.1, 1.25, 1.3]}
    written = StringIO()
    Console(width=120, file=written).print(*ingest.table(figures))
    assert "ours to floor, all rounds │ 1.10, 1.25, 1.30" in " ".join(written.getvalue().split())


def test_seconds_in_which_pages_failed_are_not_reported(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("the reason")
    with pytest.raises(BenchmarkError, match="2 pages failed:\nthe reason"):
        ingest.complete({"failed": 2}, tmp_path / "log")
    assert ingest.complete({"failed": 0}, tmp_path / "log") == {"failed": 0}


def test_the_default_latency_is_eighty_milliseconds() -> None:
    parser = ArgumentParser()
    ingest.add_arguments(parser)
    assert vars(parser.parse_args([])) == {"latency": 80.0, "pages": 0, "docs": None, "rounds": 1, "no_naive": False}


# --- The naive pipeline -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("model_path")
def test_the_naive_pipeline_takes_one_page_the_whole_way(  # type: ignore[no-untyped-def]
    clean_redis: redis.Redis, clean_milvus: MilvusClient, settings
) -> None:
    settings.FETCH_PRIVATE_NETWORKS = ["127.0.0.0/8"]
    naive.store.cache_clear()
    with LocalSite() as site:
        url = site.page("/a.html", b"<title>A</title><main><h1>A</h1><p>A page about models.</p></main>")
        written = naive.ingest(SourceSpec("sitemap", site.url("/sitemap.xml"), crawl_policy=CrawlPolicy(0, 0)), url)
    assert written == open_store(naive.QUEUE, settings.EMBED_DIMENSION).count() > 0
    assert all(clean_redis.hexists(naive.FIGURES, stage) for stage in naive.STAGES)


def test_the_projects_own_tasks_do_not_go_to_the_naive_workers() -> None:
    assert dispatch.app.main == "ragproject"
    assert naive.page.app.main == "naive"


def test_of_the_archive_only_texts_below_docs_are_written_and_none_elsewhere(tmp_path: Path) -> None:
    archive, docs = tmp_path / "django.tar.gz", tmp_path / "data" / "Django-1" / "docs"
    docs.parent.parent.mkdir()
    names = ["docs/a.txt", "docs/ref/b.txt", "docs/../../../evil.txt", "docs/page.html", "other.txt"]
    with tarfile.open(archive, "w:gz") as tar:
        for name in (f"d-1/{name}" for name in names):
            member = tarfile.TarInfo(name)
            member.size = 5
            tar.addfile(member, io.BytesIO(b"words"))
        link = tarfile.TarInfo("d-1/docs/link.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    django_docs.unpack(archive, docs)
    written = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*") if path.is_file() or path.is_symlink()}
    assert written == {"django.tar.gz", "data/Django-1/docs/a.txt", "data/Django-1/docs/ref/b.txt"}


# --- The command ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["embed", "ingest"])
def test_every_part_explains_its_options(part: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        Command().create_parser("manage.py", "benchmark").parse_args([part, "--help"])
    assert end.value.code == 0
    assert "--json" in capsys.readouterr().out


def test_a_folder_that_is_none_is_refused_in_one_line() -> None:
    with pytest.raises(CommandError, match="is no folder"):
        call_command("benchmark", "ingest", "--docs", "/no/such/folder")


@pytest.mark.e2e
@pytest.mark.timeout(600)
def test_an_interrupted_benchmark_leaves_no_process_and_no_data(model_path: Path, docs: Path, tmp_path: Path) -> None:
    (tmp_path / "data" / "models").mkdir(parents=True)
    (tmp_path / "data" / "models" / settings.STAND_IN).symlink_to(model_path)
    environment = {**os.environ, "DATA_DIR": str(tmp_path / "data"), "DJANGO_SETTINGS_MODULE": "ragproject.settings"}
    command = [sys.executable, "manage.py", "benchmark", "ingest", "--docs", str(docs), "--no-naive", "--json"]
    process = subprocess.Popen(
        command, cwd=settings.BASE_DIR, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr
    while "ours" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=200)
    assert (process.returncode, output) == (130, "")
    assert "Traceback" not in errors
    assert list((tmp_path / "data").glob("benchmark-*")) == []
    # What was killed with its parent may take a moment to end.
    wait_until(lambda: not [p for p in psutil.process_iter(["cmdline"]) if str(tmp_path) in str(p.info["cmdline"])])
