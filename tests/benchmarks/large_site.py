"""A site of many pages on loopback: `python -m tests.benchmarks.large_site --data DIR [--pages 10000]`.

Pages are made on request, a tree of links with some fifty words each. Printed every few seconds: documents done,
memory of each CPU worker, broker and buffer; at the end pages per second and the highest figures.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import django
import redis
from django.conf import settings

from ragproject.embedded.parent_watch import bound_to_parent

FAN_OUT = 25
WORDS = ["model", "query", "field", "index", "cache", "template", "form", "view", "signal", "migration", "session"]
EVERY_SECONDS = 5.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="an empty folder; its models/ may be there")
    parser.add_argument("--pages", type=int, default=10_000)
    options = parser.parse_args()
    django.setup()
    run(options.data.resolve(), options.pages)


LETTERS = str.maketrans("0123456789", "ghijklmnop")


def name_of(number: int) -> str:
    """Letters only: of addresses that differ in numbers a source takes five hundred."""
    return str(number).translate(LETTERS)


def number_of(name: str) -> int:
    backwards = {ord(letter): chr(digit) for digit, letter in {k: chr(v) for k, v in LETTERS.items()}.items()}
    digits = name.translate(backwards)
    return int(digits) if digits.isdecimal() and name_of(int(digits)) == name else -1


def page(number: int, pages: int) -> bytes:
    text = random.Random(number).choices(WORDS, k=50)
    children = range(number * FAN_OUT + 1, min(number * FAN_OUT + FAN_OUT + 1, pages))
    links = "".join(f'<li><a href="/docs/{name_of(n)}">{n}</a></li>' for n in children)
    name = f"Page {number}"
    return f"<title>{name}</title><main><h1>{name}</h1><p>{' '.join(text)}.</p><ul>{links}</ul></main>".encode()


def run(data: Path, pages: int) -> None:
    from tests.benchmarks import served
    from tests.support.running import destroy, start

    def read(path: str) -> bytes | None:
        number = number_of(path.removeprefix("/docs/")) if path != "/docs/" else 0
        return page(number, pages) if path.startswith("/docs/") and 0 <= number < pages else None

    running = start(data, FETCH_PRIVATE_NETWORKS="127.0.0.0/8")
    try:
        running.until(running.ready)
        with served.served(served.Site(read)) as address:
            watch(running, f"{address}/docs/", pages)
    finally:
        destroy(running)


def watch(running: Any, target: str, pages: int) -> None:
    options = ("--delay", "0", "--connections", "0", "--max-pages", str(2 * pages), "--depth", "10")
    command = [sys.executable, "manage.py", "ingest", target, *options, "--json"]
    started, fetched_after = time.monotonic(), 0.0
    highest = dict.fromkeys(("worker_mb", "index_mb", "redis_mb", "queued"), 0.0)
    process = subprocess.Popen(
        bound_to_parent(command),
        cwd=settings.BASE_DIR,
        env=running.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None:
        time.sleep(EVERY_SECONDS)
        now = look(running)
        highest = {name: max(value, now[name]) for name, value in highest.items()}
        if not fetched_after and now["past_fetching"] >= pages:
            fetched_after = time.monotonic() - started
        report({"seconds": round(time.monotonic() - started, 1), **now})
    figures = json.loads(process.communicate()[0])
    rate = pages / fetched_after if fetched_after else None
    report({"pages": pages, "fetched_after": fetched_after, "pages_per_second": rate, **highest, "ingest": figures})


def look(running: Any) -> dict[str, Any]:
    client = redis.Redis.from_url(running.environment["REDIS_URL"])
    sizes = worker_sizes(running, "cpu")
    return {
        "past_fetching": past_fetching(running),
        "worker_mb": max(sizes, default=0.0),
        "workers_mb": sizes,
        "index_mb": max(worker_sizes(running, "index")),
        "redis_mb": round(client.info("memory")["used_memory"] / 1e6, 1),
        "queued": sum(client.llen(key) for key in client.scan_iter("cpu*", _type="list")),
    }


def worker_sizes(running: Any, name: str) -> list[float]:
    """Resident memory of each process of a worker, parent included, in units of 1 000 000 bytes."""
    parent = running.service("worker", name)
    return [round(p.memory_info().rss / 1e6, 1) for p in [parent, *parent.children(recursive=True)]]


def past_fetching(running: Any) -> int:
    import sqlite3

    database = running.environment["DATABASE_URL"].removeprefix("sqlite:///")
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        row = connection.execute("select count(*) from ingestion_document where state not in ('waiting', 'fetching')")
        return int(row.fetchone()[0])


def report(figures: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(figures) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
