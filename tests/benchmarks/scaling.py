"""Pages a second with more and more CPU workers: `python -m tests.benchmarks.scaling [--workers 1 2 4 8]`.

A site of generated pages on loopback, every answer after the same latency, is ingested by a stack of its own for each
number of workers, with vectors that cost nothing: what is measured is how fetching scales. The bound beside it is what
so many workers can fetch when a page costs its latency alone, or its processor time on all cores, whichever is less.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from typing import Any

import django

from tests.benchmarks.generated_site import Site, ingested


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8], metavar="N")
    parser.add_argument("--pages", type=int, default=1000)
    parser.add_argument("--words", type=int, default=300)
    parser.add_argument("--latency", type=float, default=80.0, metavar="MS")
    options = parser.parse_args()
    django.setup()
    first = 0.0
    for workers in options.workers:
        line = measured(Site(options.pages, options.words, options.latency), workers)
        first = first or line["pages_per_second"] / workers
        line["of_linear"] = round(line["pages_per_second"] / workers / first, 2)
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


def measured(site: Site, workers: int) -> dict[str, Any]:
    figures = ingested(site, workers, stub=True)
    processor = sum(figures["processor_seconds"].values()) / site.pages
    by_latency = 1000 * workers / site.latency if site.latency else math.inf
    by_cores = (os.cpu_count() or 1) / processor
    return {
        "workers": workers,
        "pages_per_second": round(site.pages / figures["seconds"], 1),
        "bound": round(min(by_latency, by_cores), 1),
        "processor_ms_per_page": round(1000 * processor, 1),
        "seconds": figures["seconds"],
        "stages": figures["stages"],
    }


if __name__ == "__main__":
    main()
