"""What a large source costs a small one: `python -m tests.benchmarks.fairness --data DIR [--large 2000] [--small 50]`.

A stack of its own in DIR (`manage.py up`, the stand-in model) ingests folders of small pages: the small source alone,
then one like it together with the large source, then another one when the large source is under way. One JSON line
for each and one with the ratios; the aim is that a small source takes at most three times as long as alone.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import django
from django.conf import settings

from ragproject.embedded.parent_watch import bound_to_parent
from tests.benchmarks.generated import write_pages

WORDS = 100
# Until the large source has filled the lines in front of the CPU workers and the embedder.
HEAD_START_SECONDS = 20.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="an empty folder; its models/ may be there")
    parser.add_argument("--large", type=int, default=2000, metavar="PAGES")
    parser.add_argument("--small", type=int, default=50, metavar="PAGES")
    options = parser.parse_args()
    django.setup()
    run(options.data.resolve(), options.large, options.small)


def run(data: Path, large: int, small: int) -> None:
    from tests.support.running import destroy, start

    running = start(data, "--no-web")
    try:
        running.until(running.ready)
        compare(running, data / "pages", large, small)
    finally:
        destroy(running)


def compare(running: Any, folder: Path, large: int, small: int) -> None:
    figures(ingesting(running, write_pages(folder / "warm", 1, words=WORDS, seed=0)))
    alone = report("alone", figures(ingesting(running, write_pages(folder / "alone", small, words=WORDS, seed=1))))
    write_pages(folder / "large", large, words=WORDS, seed=2)
    write_pages(folder / "together", small, words=WORDS, seed=3)
    write_pages(folder / "late", small, words=WORDS, seed=4)
    huge = ingesting(running, folder / "large")
    together = report("together", figures(ingesting(running, folder / "together")))
    time.sleep(HEAD_START_SECONDS)
    is_late_beside = huge.poll() is None
    late = report("late", figures(ingesting(running, folder / "late")))
    whole = report("large", figures(huge))
    ratios = {"together": together / alone, "late": late / alone, "late_was_beside_large": is_late_beside}
    say({"run": "ratios", **ratios, "large_to_together": whole / together})


def ingesting(running: Any, folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        bound_to_parent([sys.executable, "manage.py", "ingest", str(folder), "--json"]),
        cwd=settings.BASE_DIR, env=running.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def figures(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    printed: dict[str, Any] = json.loads(process.communicate()[0])
    return printed


def report(name: str, printed: dict[str, Any]) -> float:
    shown = {key: printed[key] for key in ("documents", "indexed", "failed", "chunks", "seconds", "stages")}
    say({"run": name, **shown})
    return float(printed["seconds"])


def say(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
