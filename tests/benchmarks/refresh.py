"""What ingesting a website again costs: `python -m tests.benchmarks.refresh FOLDER --data DIR`.

FOLDER holds built HTML, which is served on loopback with ETags and ingested by a stack of its own in DIR
(`manage.py up`, the stand-in model). Then: unchanged with ETags, unchanged without, one edited
paragraph, one deleted page twice, half of the pages gone. One JSON line per run.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import django
from django.conf import settings

MANNERS = ("--delay", "0", "--connections", "0", "--max-pages", "5000", "--depth", "30")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="an empty folder; its models/ may be there")
    parser.add_argument("--edit", default="", help="page to edit, such as /intro/overview.html; else the last one")
    options = parser.parse_args()
    django.setup()
    run(options.folder.resolve(), options.data.resolve(), options.edit)


def run(folder: Path, data: Path, edit: str) -> None:
    from tests.benchmarks import served
    from tests.support.running import destroy, start

    site = served.Site(served.folder(folder))
    running = start(data, FETCH_PRIVATE_NETWORKS="127.0.0.0/8", CRAWL_DELAY_SECONDS="0", CRAWL_CONNECTIONS="0")
    try:
        running.until(running.ready)
        with served.served(site) as address:
            scenario(site, running.environment, f"{address}/", edit)
    finally:
        destroy(running)


def scenario(site: Any, environment: dict[str, str], target: str, edit: str) -> None:
    first = ingest("first", environment, target, site)
    again = ingest("unchanged, ETags", environment, target, site)
    site.etags = False
    ingest("unchanged, no ETags, their first absence", environment, target, site)
    bare = ingest("unchanged, no ETags", environment, target, site)
    site.etags = True
    ingest("unchanged, ETags back", environment, target, site)
    pages = [path for path in first["urls"] if path != "/"]  # the start page leads to the others: it stays
    edit = edit or pages[-1]
    site.edited[edit] = edited(site.read(edit), edit)
    ingest("one paragraph edited", environment, target, site)
    site.gone = {edit}
    ingest("one page deleted", environment, target, site)
    ingest("one page deleted, confirmed", environment, target, site)
    site.gone |= set(pages[: len(pages) // 2])
    ingest("half gone", environment, target, site)
    ingest("half gone, again", environment, target, site)
    report("ratios", {"etags": again["seconds"] / first["seconds"], "no etags": bare["seconds"] / first["seconds"]})


def edited(page: bytes | None, path: str) -> bytes:
    """The page with another first paragraph."""
    if b"</p>" not in (page or b""):
        raise SystemExit(f"{path} has no paragraph to edit: name another page with --edit.")
    return (page or b"").replace(b"</p>", b" An edited paragraph says something new.</p>", 1)


def ingest(name: str, environment: dict[str, str], target: str, site: Any) -> dict[str, Any]:
    site.requests = site.not_modified = 0
    command = [sys.executable, "manage.py", "ingest", target, *MANNERS, "--json"]
    done = subprocess.run(command, cwd=settings.BASE_DIR, env=environment, capture_output=True, text=True, check=False)
    figures: dict[str, Any] = json.loads(done.stdout or '{"seconds": 0}')
    counts = {"requests": site.requests, "answered 304": site.not_modified, "exit": done.returncode}
    report(
        name, {**figures, **counts, "index": index(environment), "said": done.stderr[-300:] if done.returncode else ""}
    )
    return {**figures, "urls": paths(environment)}


def index(environment: dict[str, str]) -> dict[str, Any]:
    command = [sys.executable, "manage.py", "status", "--json"]
    done = subprocess.run(command, cwd=settings.BASE_DIR, env=environment, capture_output=True, text=True, check=True)
    now = json.loads(done.stdout)
    return {"rows": now["index"].get("rows"), "chunks": now["chunks"], "documents": now["documents"]}


def paths(environment: dict[str, str]) -> list[str]:
    """Paths of the indexed pages, in order."""
    rows = "Document.objects.filter(chunk_count__gt=0).values_list('url', flat=True)"
    code = f"from ingestion.models import Document; print(*{rows})"
    command = [sys.executable, "manage.py", "shell", "--no-imports", "-c", code]
    done = subprocess.run(command, cwd=settings.BASE_DIR, env=environment, capture_output=True, text=True, check=True)
    return sorted("/" + url.split("/", 3)[3] for url in done.stdout.split() if url.startswith("http"))


def report(name: str, figures: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps({"run": name, **figures}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
