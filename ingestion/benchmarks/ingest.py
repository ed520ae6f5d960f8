"""`manage.py benchmark ingest`: the whole pipeline beside the naive one and the floor, on the same pages.

A folder of documentation is served on loopback, each answer after the same latency. The embedded stack, in a data
folder of its own, ingests that site with its model loaded; so does the naive pipeline before it, with as many worker
processes as ours fetches with. The floor is the embedder alone on exactly the chunks that came of it, in a process of
its own when the stack has stopped. Everything that is started is stopped, and its data removed. On a machine of
unsteady speed take several rounds: the figures are then those of the round with the median ratio.
"""

from __future__ import annotations

import os
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import redis
from django.conf import settings
from django.core.management import call_command
from rich.table import Table

from ingestion.benchmarks import corpus, processes
from ingestion.benchmarks.naive import FIGURES, QUEUE, READY, STAGES, TASK, app
from ingestion.benchmarks.processes import Place
from ingestion.benchmarks.site import path_of
from ingestion.benchmarks.usage import Usage
from ingestion.types import Json

Say = Callable[[str], object]
DEFAULT_LATENCY_MS = 80.0
POLL_SECONDS = 0.5
UNBOUNDED = ("--delay", "0", "--connections", "0")
WARM_UP = "# Warm-up\n\nA page that makes the worker load its model and create the collection.\n"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of ``run`` to the parser."""
    parser.add_argument(
        "--latency", type=float, default=DEFAULT_LATENCY_MS, metavar="MS", help="of every answer (default: %(default)g)"
    )
    parser.add_argument("--pages", type=int, default=0, metavar="N", help="evenly from the whole (default: all)")
    parser.add_argument("--docs", type=Path, metavar="FOLDER", help="instead of Django's documentation")
    parser.add_argument("--rounds", type=int, default=1, metavar="N", help="the one with the median ratio is shown")
    parser.add_argument("--no-naive", action="store_true", help="leave the naive pipeline out, which takes longest")


def run(options: Json, say: Say) -> Json:
    """Measure with the options of ``add_arguments`` and return the figures that ``table`` shows."""
    folder = corpus.folder_of(options["docs"])
    files = corpus.files(folder, options["pages"])
    if settings.EMBED_MODEL == settings.STAND_IN:
        call_command("standin_model", corpus=folder)
    load = os.getloadavg()[0]
    rounds = []
    for _ in range(max(1, options["rounds"])):
        with processes.own_services() as place:
            measured = measure(place, folder, files, options, say)
            say("the embedder alone on the same chunks")
            measured |= processes.answer(place, "-m", "ingestion.benchmarks.floor")
        ours = measured["ours"] | {"timeline": measured.pop("timeline")}
        rounds.append({**measured, "ours": ours | rates(ours, measured["floor"]), "ratios": ratios(measured)})
    return {
        **middle(rounds),
        "rounds": sorted(each["ratios"]["ours_to_floor"] for each in rounds),
        "corpus": {"folder": str(folder), "pages": len(files), "latency_ms": options["latency"]},
        "machine": {"cores": os.cpu_count(), "load_before": round(load, 2), "cpu_workers": settings.CPU_WORKERS},
    }


def middle(rounds: Sequence[Json]) -> Json:
    """Return the round with the median of the ratios of ours to the floor."""
    ordered = sorted(rounds, key=lambda each: float(each["ratios"]["ours_to_floor"]))
    return ordered[len(ordered) // 2]


def measure(place: Place, folder: Path, files: Sequence[Path], options: Json, say: Say) -> Json:
    """Return the figures of the naive pipeline, measured while our stack is idle, and then those of our stack."""
    with processes.site(place, folder, files, options["latency"]) as address, processes.stack(place) as stack:
        watched, sitemap = {}, f"{address}/sitemap.xml"
        if not options["no_naive"]:
            say(f"the naive pipeline, {len(files)} pages")
            watched["naive"] = naive(place, [address + path_of(folder, file) for file in files], sitemap)
        say(f"ours, {len(files)} pages")
        watched["ours"] = ours(place, sitemap, stack.pid)
    return watched


# --- Ours -----------------------------------------------------------------------------------------------


def ours(place: Place, sitemap: str, pid: int) -> Json:
    """Have the stack whose process is ``pid`` ingest the sitemap, with its model loaded, and return the figures.

    Raises BenchmarkError when pages failed.
    """
    file = place.folder / "warm-up.md"
    file.write_text(WARM_UP)
    processes.answer(place, "manage.py", "ingest", str(file), "--json")
    with Usage(pid, place.environment["REDIS_URL"]) as usage:
        figures = processes.answer(place, "manage.py", "ingest", sitemap, *UNBOUNDED, "--json")
    return complete({**figures, **usage.figures()}, place.folder / "command.log")


def complete(figures: Json, log: Path) -> Json:
    """Return the figures, or raise BenchmarkError when pages failed: the seconds then say nothing."""
    if figures["failed"]:
        raise processes.BenchmarkError(f"{figures['failed']} pages failed:\n{processes.tail(log)}")
    return figures


def rates(figures: Json, floor: Json) -> Json:
    """Return rates of our pipeline over the whole time; ``embedder_busy`` is the share in which it embedded."""
    wall, index = figures["seconds"], figures["stages"]["index"]
    return {
        "embedder_busy": round(figures["stages"]["embed"] / wall, 3),
        "tokens_per_second": round(floor["tokens"] / wall),
        "rows_per_second": round(figures["embedded"] / index) if index else None,
    }


# --- The naive pipeline ---------------------------------------------------------------------------------


def naive(place: Place, urls: Sequence[str], sitemap: str) -> Json:
    """Measure the naive pipeline; its workers use the Redis and the Milvus of the idle stack."""
    workers, redis_url, log = settings.CPU_WORKERS, place.environment["REDIS_URL"], place.folder / "naive.log"
    # As many processes as ours fetches with; the threads of each are a share of the cores.
    threads = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // workers))}
    command = [sys.executable, "-m", "celery", "-q", "-A", "ingestion.benchmarks.naive", "worker", "-l", "WARNING"]
    command += ["-Q", QUEUE, "-c", str(workers), "--pool-start-method", "spawn", "-O", "fair", "--without-gossip"]
    running = processes.running(command, Place(place.folder, {**place.environment, **threads}), "naive")
    with redis.Redis.from_url(redis_url, decode_responses=True) as client, running as worker:
        processes.until(worker, log, lambda: int(client.get(READY) or 0) >= workers)
        with Usage(worker.pid, redis_url) as usage:
            started = time.monotonic()
            with app.connection_for_write(redis_url) as connection:
                for url in urls:
                    app.send_task(TASK, (sitemap, url), connection=connection)
            while int(client.hget(FIGURES, "pages") or 0) < len(urls):
                time.sleep(POLL_SECONDS)
            seconds = time.monotonic() - started
        noted = client.hgetall(FIGURES)
    counts = {name: int(noted.get(name, 0)) for name in ("pages", "failed", "chunks")}
    stages = {stage: round(float(noted.get(stage, 0)), 3) for stage in STAGES}
    figures = complete({**counts, "stages": stages}, log)
    return {"seconds": round(seconds, 2), "workers": workers, **figures, **usage.figures()}


# --- Side by side ---------------------------------------------------------------------------------------


def ratios(measured: Json) -> Json:
    """Return our time over that of the model alone, and the naive pipeline's time over ours, for the whole corpus.

    The number of pages may differ by duplicates, which does not matter.
    """
    seconds = measured["ours"]["seconds"]
    found = {"ours_to_floor": round(seconds / measured["floor"]["seconds"], 3)}
    if "naive" in measured:
        found["naive_to_ours"] = round(measured["naive"]["seconds"] / seconds, 2)
    return found


def table(figures: Json) -> Iterator[Table]:
    """Yield the tables for people: the pipelines side by side, then peak memory and processor seconds by process."""
    ours, floor, naive = figures["ours"], figures["floor"], figures.get("naive", {})
    columns = [(name, column) for name, column in (("ours", ours), ("naive", naive), ("floor", floor)) if column]
    read, machine = figures["corpus"], figures["machine"]
    shown = Table(
        title=f"{read['pages']} pages of {read['folder']}, {read['latency_ms']:g} ms each; {machine['cores']} cores"
    )
    shown.add_column("")
    for name, _ in columns:
        shown.add_column(name, justify="right")
    for words, where in ROWS.items():
        shown.add_row(words, *(text(pick(column, where)) for _, column in columns))
    for words, ratio in figures["ratios"].items():
        shown.add_row(words.replace("_", " "), text(ratio))
    if len(figures["rounds"]) > 1:
        shown.add_row("ours to floor, all rounds", ", ".join(text(each) for each in figures["rounds"]))
    yield shown
    shown = Table("process", "peak MB", "processor s", title="Processes")
    for column in filter(None, (ours, naive)):
        for name, size in column["peak_rss_mb"].items():
            shown.add_row(name, text(size), text(column["processor_seconds"][name]))
    yield shown


# What is shown, and where it stands in the figures of a column.
ROWS = {
    "seconds": "seconds",
    "chunks": "chunks",
    "tokens": "tokens",
    "tokens/s": "tokens_per_second",
    **{f"  {stage}, seconds of work": f"stages.{stage}" for stage in ("list", *STAGES)},
    "embedder busy": "embedder_busy",
    "rows/s written": "rows_per_second",
    "seconds at the matrix rate": "limit.seconds",
    "share of the matrix rate": "limit.share",
    "Redis, peak bytes": "peak_redis_bytes",
    "  start to first page": "timeline.first_page",
    "  start to first vectors": "timeline.first_vectors",
    "  start to last page": "timeline.last_page",
    "  start to last vectors": "timeline.last_vectors",
    "  start to searchable": "timeline.finished",
}


def pick(figures: Any, where: str) -> Any:
    """Return the figure at a dotted path, or None when there is none."""
    for name in where.split("."):
        figures = figures.get(name, {})
    return None if figures == {} else figures


def text(value: Any) -> str:
    """Return a number with separators of thousands, two decimals if it is a float; nothing for None."""
    if value is None:
        return ""
    return f"{value:,.2f}" if isinstance(value, float) else f"{value:,}"
