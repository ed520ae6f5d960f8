"""The whole path with real processes: good pages and bad ones, slow ones and those that kill their reader."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Condition, Thread
from typing import ClassVar

import psutil
import pytest
import redis

from tests.conftest import wait_until
from tests.e2e.conftest import PATIENCE, assert_index_is_exact, corpus, finished, gpu_child, started, status
from tests.support.running import Running, ingest, manage

pytestmark = pytest.mark.e2e


def test_a_folder_is_indexed_completely_and_a_second_time_nothing_is_embedded(stack: Running, tmp_path: Path) -> None:
    folder = corpus(tmp_path / "first", 6, seed=1)
    (folder / "broken.txt").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0")
    first = ingest(stack, folder)
    assert (first["code"], first["indexed"], first["failed"]) == (1, 6, 1)
    assert "broken.txt" in first["said"]
    assert first["embedded"] == first["chunks"] > 0
    assert set(first["stages"]) == {"list", "fetch", "extract", "chunk", "embed", "index"}
    assert_index_is_exact(stack)
    (folder / "broken.txt").unlink()
    second = ingest(stack, folder)
    assert (second["code"], second["unchanged"], second["embedded"]) == (0, 6, 0)
    assert second["reused"] == first["chunks"]


def test_during_a_run_the_model_is_in_the_spawned_gpu_child_only_and_torch_nowhere(
    stack: Running, tmp_path: Path
) -> None:
    run = started(stack, corpus(tmp_path / "tree", 20, seed=2))
    maps = {p.pid: Path(f"/proc/{p.pid}/maps").read_text() for p in stack.tree()}
    assert [pid for pid, files in maps.items() if "ctranslate2" in files] == [gpu_child(stack).pid]
    assert not [pid for pid, files in maps.items() if "libtorch" in files]
    finished(run)


def test_no_cpu_worker_loads_the_client_of_milvus(stack: Running, tmp_path: Path) -> None:
    assert ingest(stack, corpus(tmp_path / "client", 4, seed=3))["indexed"] == 4
    assert not holding(stack, "cpu", "cygrpc")
    assert holding(stack, "index", "cygrpc")


def holding(stack: Running, worker: str, library: str) -> list[int]:
    parent = stack.service("worker", worker)
    children = [parent, *parent.children(recursive=True)]
    return [p.pid for p in children if library in Path(f"/proc/{p.pid}/maps").read_text()]


class Site(BaseHTTPRequestHandler):
    """/ links to a few pages; /poison kills, with SIGKILL, whichever process asks for it."""

    asked: ClassVar[list[int]] = []

    def do_GET(self) -> None:
        if self.path == "/docs/poison":
            self.kill_client()
            return
        if self.path == "/docs/missing":
            self.send_error(404)
            return
        links = "".join(f'<a href="{name}">{name}</a> ' for name in ("one", "two", "poison", "missing"))
        body = f"<html><title>{self.path}</title><main><h1>Page {self.path}</h1><p>About {self.path}.</p>{links}</main>"
        self.send_response(404 if self.path == "/robots.txt" else 200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())

    def kill_client(self) -> None:
        for connection in psutil.net_connections("tcp"):
            # Another process may have the same port of its own, in a connection to elsewhere.
            ends = connection.laddr and connection.raddr and (connection.laddr.port, connection.raddr.port)
            if connection.pid and ends == (self.client_address[1], self.connection.getsockname()[1]):
                self.asked.append(connection.pid)
                os.kill(connection.pid, signal.SIGKILL)

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/docs/"
    server.shutdown()
    server.server_close()


def test_a_page_that_kills_its_worker_is_quarantined_and_the_others_are_indexed(stack: Running) -> None:
    with serving(Site) as site:
        figures = ingest(stack, site)
    assert (figures["indexed"], figures["failed"], figures["gone"]) == (3, 1, 1)
    assert len(Site.asked) == int(PATIENCE["MAX_ATTEMPTS"])
    assert "poison: The worker died each time" in " ".join(figures["said"].split())
    assert_index_is_exact(stack)


class SlowSite(BaseHTTPRequestHandler):
    """/docs/ links to a page that comes only after others that were asked for later, and then to twenty quick ones."""

    overtaking = 3
    answered: ClassVar[list[str]] = []
    overtaken = 0  # quick pages that were answered while the slow one was held, at most
    turn = Condition()

    def do_GET(self) -> None:
        if self.path == "/docs/slow":
            self.wait_for_others()
        names = ("slow", *(f"quick{n}" for n in range(20)))
        links = "".join(f'<a href="/docs/{name}">{name}</a> ' for name in names)
        body = f"<main><h1>Page {self.path}</h1><p>About {self.path}.</p>{links}</main>".encode()
        self.send_response(404 if self.path == "/robots.txt" else 200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        with self.turn:
            self.answered.append(self.path.rpartition("/")[2])
            self.turn.notify_all()

    def wait_for_others(self) -> None:
        """Longer than the page's time limit: an attempt in which nobody overtakes it ends, and another one begins."""
        with self.turn:
            before = len(self.answered)
            self.turn.wait_for(lambda: len(self.answered) - before >= self.overtaking, timeout=30)
            SlowSite.overtaken = max(SlowSite.overtaken, len(self.answered) - before)

    def log_message(self, *args: object) -> None:
        pass


def test_quick_pages_do_not_wait_behind_a_slow_one_and_no_message_leaves_a_trace(stack: Running) -> None:
    with redis.Redis.from_url(stack.environment["REDIS_URL"]) as client:
        before = client.dbsize()
        with serving(SlowSite) as address:
            figures = ingest(stack, address, "--delay", "0", "--connections", "0")
        assert (figures["indexed"], figures["failed"]) == (22, 0)
        assert SlowSite.overtaken >= SlowSite.overtaking
        assert client.dbsize() - before < 10


RETRIES = """
from datetime import timedelta
from django.utils import timezone
from ingestion.models import Document, Run, Source
source = Source.objects.create(name="later", kind="files", target="/later")
run = Run.objects.create(source=source, state=Run.State.RUNNING)
later = timezone.now() + timedelta(hours=1)
pages = [Document(source=source, run=run, url=f"file:///later/{n}", next_attempt_at=later) for n in range(5000)]
Document.objects.bulk_create(pages)
"""


def test_retries_in_an_hour_wait_as_rows_and_not_as_messages(stack: Running) -> None:
    cpu = stack.service("worker", "cpu")
    before = sum(process.memory_info().rss for process in cpu.children(recursive=True))
    assert manage(stack, "shell", "-v", "0", "-c", RETRIES).returncode == 0
    with redis.Redis.from_url(stack.environment["REDIS_URL"]) as client:
        waiting = []
        for _ in range(20):
            time.sleep(0.5)  # several ticks of the dispatcher
            waiting.append(client.llen("cpu") + client.hlen("unacked"))
    assert status(stack)["documents"]["waiting"] == 5000
    assert max(waiting) < 500  # Beat's own, which a busy machine leaves behind
    assert sum(process.memory_info().rss for process in cpu.children(recursive=True)) < before + 10_000_000
    drop = "from ingestion.models import Source; Source.objects.filter(name='later').delete()"
    assert manage(stack, "shell", "-v", "0", "-c", drop).returncode == 0


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("/no/such/folder", "does not exist"),
        ("ftp://example.org/", "no known kind"),
        ("@/no/such/list.txt", "one target per line"),
        ("http://user:pw@127.0.0.1/", "user"),
    ],
)
def test_a_bad_target_is_refused_in_one_clear_line(stack: Running, target: str, words: str) -> None:
    done = manage(stack, "ingest", target)
    assert done.returncode == 1
    assert words in done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_an_unreachable_site_fails_with_its_reason(stack: Running) -> None:
    figures = ingest(stack, "http://127.0.0.1:9/")
    assert (figures["code"], figures["failed"]) == (1, 1)
    assert "127.0.0.1:9" in figures["said"]


def test_targets_given_twice_are_one_source(stack: Running, tmp_path: Path) -> None:
    folder = corpus(tmp_path / "twice", 2, seed=3)
    (tmp_path / "list.txt").write_text(f"# ours\n{folder}\n\n{folder}/\n  {folder}\n")
    figures = ingest(stack, f"@{tmp_path / 'list.txt'}")
    assert (figures["code"], figures["documents"]) == (0, 2)


def test_a_deleted_source_leaves_milvus_and_the_database(stack: Running, tmp_path: Path) -> None:
    ingest(stack, corpus(tmp_path / "gone", 2, seed=4), "--name", "to be deleted")
    code = "from ingestion.models import Source as S; from ingestion.pipeline.state.runs import remove_source as r"
    manage(stack, "shell", "-c", f"{code}; r(S.objects.get(name='to be deleted'))")
    wait_until(lambda: "to be deleted" not in {s["name"] for s in status(stack)["sources"]})
    assert_index_is_exact(stack)


def test_without_redis_the_rows_stand_and_the_command_says_so(stack: Running, tmp_path: Path) -> None:
    lonely = Running(stack.process, stack.log, {**stack.environment, "REDIS_URL": "redis://127.0.0.1:9/0"})
    done = manage(lonely, "ingest", str(corpus(tmp_path / "later", 2, seed=5)), "--name", "later")
    assert done.returncode == 0
    assert "Redis does not answer" in " ".join(done.stderr.split())
    wait_until(lambda: indexed_documents(stack, "later") == 2, every=0.5)


def indexed_documents(stack: Running, name: str) -> int:
    (source,) = (s for s in status(stack)["sources"] if s["name"] == name)
    return int(source["documents"].get("indexed", 0))
