"""What many documents cost: `python -m tests.benchmarks.hundred_thousand --data DIR [--documents 100000]`.

A stack of its own in DIR (`manage.py up`) with the real queues, buffer, rows and Milvus, and a stub for the embedder,
ingests a generated folder. Every few seconds a JSON line: documents done, memory of Redis and of each process, and
what the dispatcher, `manage.py status` and the admin's lists take meanwhile. At the end: documents a second, each
memory's peak up to 5 000 documents and after, and the same queries at rest. The aims: no peak grows after the first
5 000, and no query takes 50 ms.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import django
import psutil
import redis
from django.conf import settings

from ragproject.embedded.parent_watch import bound_to_parent
from tests.benchmarks.generated import write_pages

WORDS = 100
EVERY_SECONDS = 5.0
SETTLED_DOCUMENTS = 5000
REPETITIONS = 5
LISTS = ("source", "document", "run")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="an empty folder; its models/ may be there")
    parser.add_argument("--documents", type=int, default=100_000, metavar="N")
    options = parser.parse_args()
    run(options.data.resolve(), options.documents)


def run(data: Path, documents: int) -> None:
    from tests.support.running import destroy, environment, start

    os.environ |= environment(data) | {"DJANGO_SETTINGS_MODULE": "tests.benchmarks.stub_settings"}
    django.setup()
    running = start(data, "--no-web", **own_variables())
    try:
        running.until(running.ready)
        watch(running, write_pages(data / "pages", documents, words=WORDS, seed=1), documents)
    finally:
        destroy(running)


def own_variables() -> dict[str, str]:
    """The stack's and this process's: one database, one Redis, one Milvus."""
    names = ("DJANGO_SETTINGS_MODULE", "DATABASE_URL", "REDIS_URL", "MILVUS_URI", "WEB_PORT")
    return {name: os.environ[name] for name in names}


def watch(running: Any, folder: Path, documents: int) -> None:
    command = [sys.executable, "manage.py", "ingest", str(folder), "--max-pages", str(2 * documents), "--json"]
    process = subprocess.Popen(
        bound_to_parent(command),
        cwd=settings.BASE_DIR,
        env=running.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    peaks, spent, started = Peaks(), defaultdict[str, list[Cost]](list), time.monotonic()
    while process.poll() is None:
        time.sleep(EVERY_SECONDS)
        done = past_embedding()
        now = peaks.look(running, done)
        took = asked()
        for name, value in took.items():
            spent[name].append(value)
        wall = {name: cost.wall for name, cost in took.items()}
        say({"seconds": round(time.monotonic() - started), "done": done, **now, "milliseconds": wall})
    finish(json.loads(process.communicate()[0]), peaks, spent)


def finish(figures: dict[str, Any], peaks: Peaks, spent: dict[str, list[Cost]]) -> None:
    at_rest = defaultdict[str, list[Cost]](list)
    for _ in range(REPETITIONS):
        for name, cost in asked().items():
            at_rest[name].append(cost)
    say({"ingest": figures, "documents_per_second": round(figures["documents"] / figures["seconds"], 1)})
    say({"peaks_up_to_5000": peaks.early, "peaks_after": peaks.late})
    say({"milliseconds_under_load": {name: percentiles([cost.wall for cost in each]) for name, each in spent.items()}})
    worked = {name: percentiles([cost.processor for cost in each]) for name, each in spent.items()}
    say({"of_which_processor_of_this_process": worked})
    say({"milliseconds_at_rest": {name: statistics.median(c.wall for c in each) for name, each in at_rest.items()}})


def percentiles(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {"p50": statistics.median(ordered), "p95": ordered[int(0.95 * (len(ordered) - 1))], "max": ordered[-1]}


# --- Memory -------------------------------------------------------------------------------------------------


class Peaks:
    """The highest figures in megabytes: while the first documents settle, and from then on."""

    def __init__(self) -> None:
        self.early: dict[str, float] = {}
        self.late: dict[str, float] = {}

    def look(self, running: Any, done: int) -> dict[str, float]:
        now = memory(running)
        peak = self.early if done <= SETTLED_DOCUMENTS else self.late
        peak |= {name: max(size, peak.get(name, 0.0)) for name, size in now.items()}
        return now


def memory(running: Any) -> dict[str, float]:
    """The largest process of each kind, and what Redis holds."""
    from ingestion.benchmarks.usage import name_of

    found = {"redis data": redis.Redis.from_url(settings.REDIS_URL).info("memory")["used_memory"] / 1e6}
    for process in running.tree():
        with suppress(psutil.NoSuchProcess):  # Redis forks one now and then that writes its log anew
            name = name_of(process)
            found[name] = max(found.get(name, 0.0), process.memory_info().rss / 1e6)
    return {name: round(size, 1) for name, size in found.items()}


# --- Queries ------------------------------------------------------------------------------------------------


class Cost(NamedTuple):
    """Milliseconds that passed, and those in which this process had a core: SQLite works within it, Redis outside."""

    wall: float
    processor: float


def past_embedding() -> int:
    from ingestion.models import Document

    earlier = (Document.State.WAITING, Document.State.FETCHING, Document.State.EMBEDDING)
    return Document.objects.count() - Document.objects.filter(state__in=earlier).count()


def asked() -> dict[str, Cost]:
    """The cost of each query; what a tick of ours leased is sent as Beat's would be."""
    from ingestion import tasks
    from ingestion.pipeline.dispatcher import tick
    from ingestion.pipeline.report.status import status

    ticked, work = timed(tick)
    tasks.send(work)
    lists = {f"admin {name}": timed(admin_list(name))[0] for name in LISTS}
    return {"tick": ticked, "status": timed(status)[0], **lists}


def admin_list(name: str) -> Callable[[], object]:
    """The rows that a page of the list shows; making HTML of them is no query."""
    from django.contrib import admin
    from django.contrib.auth import get_user_model
    from django.test import RequestFactory

    request = RequestFactory().get("/")
    request.user = get_user_model()(is_staff=True, is_superuser=True)
    model = django.apps.apps.get_model("ingestion", name)

    def rows() -> object:
        shown = admin.site.get_model_admin(model).get_changelist_instance(request)
        return [[column(shown, field, row) for field in shown.list_display] for row in shown.result_list]

    return rows


def column(shown: Any, field: Any, row: Any) -> object:
    method = getattr(shown.model_admin, field, None)
    return method(row) if callable(method) else getattr(row, field, None)


def timed(ask: Callable[[], Any]) -> tuple[Cost, Any]:
    started, worked = time.perf_counter(), time.process_time()
    answer = ask()
    spent = time.perf_counter() - started, time.process_time() - worked
    return Cost(*(round(1000 * seconds, 1) for seconds in spent)), answer


def say(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
