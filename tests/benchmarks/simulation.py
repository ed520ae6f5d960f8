"""How long would a million pages take? `python -m tests.benchmarks.simulation [--real 10000] [--gpus 1 2 4 8]`.

A discrete simulation of the pipeline (SimPy): CPU workers that wait for a page and then compute, embedders that take
batches, a drain that writes what there is, and cores that all of them share. What a page costs each of them is measured
on a small real run here. It is compared with a real run of ``--real`` pages; then it says what other machines would
take: those have ``--cores`` and a GPU that embeds ``--tokens-per-second``, a figure that is given, not measured.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any

import django
import simpy
from django.conf import settings

from tests.benchmarks.generated_site import Site, ingested

# What a core does for one process before another has its turn.
SLICE_SECONDS = 0.02
BATCH_PAGES = 16
# A simulation makes steps of so many pages at most: more would not show how stages wait for each other.
LUMPS = 100_000
Step = Generator[simpy.Event, Any, None]


@dataclass(frozen=True)
class Costs:
    """Seconds: a page's wait for its site, and a page's processor time in each stage; ``tokens`` of a page."""

    wait: float
    work: float
    embed: float
    index: float
    rest: float
    tokens: float


@dataclass(frozen=True)
class Machine:
    """``tokens_per_second`` of each embedder, or 0 where it computes on the cores."""

    cores: int
    workers: int
    embedders: int = 1
    tokens_per_second: float = 0.0


class Pipeline:
    """``seconds()`` simulates so many pages on the machine."""

    def __init__(self, pages: int, costs: Costs, machine: Machine) -> None:
        self.lump = math.ceil(pages / LUMPS)
        self.lumps = math.ceil(pages / self.lump)
        self.costs, self.machine = costs, machine
        self.world = simpy.Environment()
        self.cores = simpy.Resource(self.world, machine.cores)
        self.left, self.indexed = self.lumps, 0
        self.processed, self.embedded = simpy.Container(self.world), simpy.Container(self.world)
        self.done = self.world.event()

    def seconds(self) -> float:
        for _ in range(self.machine.workers):
            self.world.process(self.worker())
        for _ in range(self.machine.embedders):
            self.world.process(self.embedder())
        self.world.process(self.drain())
        self.world.run(self.done)
        return float(self.world.now)

    def compute(self, seconds: float) -> Step:
        while seconds > 0:
            with self.cores.request() as core:
                yield core
                yield self.world.timeout(min(SLICE_SECONDS * self.lump, seconds))
            seconds -= SLICE_SECONDS * self.lump

    def worker(self) -> Step:
        while self.left:
            self.left -= 1
            yield self.world.timeout(self.costs.wait * self.lump)
            yield from self.compute(self.costs.work * self.lump)
            self.world.process(self.compute(self.costs.rest * self.lump))  # Redis, Beat, the site itself
            yield self.processed.put(1)

    def embedder(self) -> Step:
        while True:
            taken = max(1, min(BATCH_PAGES, int(self.processed.level)))
            yield self.processed.get(taken)
            pages = taken * self.lump
            if speed := self.machine.tokens_per_second:
                yield self.world.timeout(pages * self.costs.tokens / speed)
            else:
                threads = self.machine.cores
                shares = [self.compute(pages * self.costs.embed / threads) for _ in range(threads)]
                yield self.world.all_of([self.world.process(share) for share in shares])
            yield self.embedded.put(taken)

    def drain(self) -> Step:
        while self.indexed < self.lumps:
            taken = max(1, int(self.embedded.level))
            yield self.embedded.get(taken)
            yield from self.compute(taken * self.lump * self.costs.index)
            self.indexed += taken
        self.done.succeed()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--measured", type=int, default=1000, metavar="PAGES", help="of the run that is measured")
    parser.add_argument("--real", type=int, default=10_000, metavar="PAGES", help="of the run to compare with; 0: none")
    parser.add_argument("--words", type=int, default=100)
    parser.add_argument("--latency", type=float, default=80.0, metavar="MS")
    parser.add_argument("--pages", type=int, default=1_000_000, help="simulated on other machines")
    parser.add_argument("--gpus", type=int, nargs="+", default=[1, 2, 4, 8], metavar="N")
    parser.add_argument("--workers", type=int, default=64, metavar="N", help="CPU workers there")
    parser.add_argument("--cores", type=int, default=32, metavar="N")
    parser.add_argument("--tokens-per-second", type=float, default=100_000.0, metavar="N")
    options = parser.parse_args()
    django.setup()
    site, workers = Site(options.measured, options.words, options.latency), settings.CPU_WORKERS
    here = Machine(os.cpu_count() or 1, workers)
    costs = measured(site, workers)
    say("measured", vars_of(costs))
    if options.real:
        real = ingested(replace(site, pages=options.real), workers, stub=False)["seconds"]
        simulated = Pipeline(options.real, costs, here).seconds()
        say("compared", {"pages": options.real, "real": real, "simulated": simulated, "ratio": simulated / real})
    for gpus in options.gpus:
        machine = Machine(options.cores, options.workers, gpus, options.tokens_per_second)
        seconds = Pipeline(options.pages, costs, machine).seconds()
        say("simulated", {"gpus": gpus, "seconds": seconds, "pages_per_second": options.pages / seconds})


def measured(site: Site, workers: int) -> Costs:
    """What a page cost in a real run."""
    figures = ingested(site, workers, stub=False)
    spent = {name: seconds / site.pages for name, seconds in figures["processor_seconds"].items()}
    sums = {kind: sum(spent.pop(name) for name in [n for n in spent if kind in n]) for kind in ("cpu w", "gpu w")}
    index = sum(spent.pop(name) for name in [n for n in spent if "index" in n or n == "milvus"])
    tokens = figures["tokens"] / site.pages
    return Costs(site.latency / 1000, sums["cpu w"], sums["gpu w"], index, sum(spent.values()), tokens)


def vars_of(costs: Costs) -> dict[str, float]:
    return {name: getattr(costs, name) for name in costs.__dataclass_fields__}


def say(what: str, figures: dict[str, Any]) -> None:
    shown = {name: round(value, 4) if isinstance(value, float) else value for name, value in figures.items()}
    sys.stdout.write(json.dumps({"line": what, **shown}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
