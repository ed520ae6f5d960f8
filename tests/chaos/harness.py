"""A stack, a workload and faults together; then silence, and the verdict."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
from django.db import OperationalError
from django.db.models import Count

from ingestion.models import Chunk, Document, Run, Source
from tests.chaos.faults import Attack, planned
from tests.chaos.readers import Readers
from tests.chaos.stack import Stack
from tests.chaos.verdict import Verdict, depths
from tests.chaos.workload import Workload

TURN_SECONDS = 0.2
STEP_SECONDS = 1.5
# The stack has this long for everything that the faults left behind; when nothing at all moves, less.
SETTLE_SECONDS = 1200.0
STILL_SECONDS = 240.0
TELL_SECONDS = 10.0


@dataclass(frozen=True)
class Options:
    faults: int
    seed: int
    without: str
    minutes: float
    only: list[str]
    stub: bool
    every: float
    readers: int


class Harness:
    """``run`` returns the report; whoever made the stack ends it."""

    def __init__(self, stack: Stack, folder: Path, options: Options, say: Callable[[str], None]) -> None:
        self.stack = stack
        self.options = options
        self.say = say
        self.workload = Workload(folder, options.seed)
        self.attack = Attack(stack, say)
        self.readers = Readers(stack.address, options.readers, options.seed)

    def run(self) -> dict[str, Any]:
        started = time.monotonic()
        self.workload.begin()
        self.readers.begin(self.say)
        try:
            self.disturb()
        finally:
            self.attack.end()
            self.readers.end()
        faulty, settled = time.monotonic() - started, self.settle()
        verdict = Verdict(self.stack, self.workload, stub=self.options.stub)
        broken = [*([] if settled else ["it did not settle"]), *verdict.broken]
        return {**self.report(verdict), "fault_seconds": round(faulty), "settle_seconds": settled, "broken": broken}

    def disturb(self) -> None:
        """One fault after the other, while files change."""
        plan = planned(self.options.seed, self.options.only)
        deadline = time.monotonic() + 60 * self.options.minutes
        due = step_due = time.monotonic()
        while self.attack.injected.total() < self.options.faults and time.monotonic() < deadline:
            self.turn()
            if time.monotonic() >= step_due:
                self.step()
                step_due = time.monotonic() + STEP_SECONDS
            if time.monotonic() >= due and self.open() < self.options.faults:
                fault = next(plan)
                self.attack.inject(fault)
                due = time.monotonic() + (self.options.every or fault.gap)

    def open(self) -> int:
        """Faults that were injected or are about to be."""
        return self.attack.injected.total() + len(self.attack.armed)

    def turn(self) -> None:
        time.sleep(TURN_SECONDS)
        self.stack.tend()
        self.attack.look()
        assert self.stack.running.process.poll() is None, "the stack has ended"

    def step(self) -> None:
        try:
            self.workload.step()
        except OperationalError as error:
            self.say(f"the workload waits: {error}")

    # --- Afterwards ---------------------------------------------------------------------------------------

    def settle(self) -> float | None:
        """Wait for what is under way, ingest everything once more, and wait again. Seconds; None when it never ends."""
        started = time.monotonic()
        if not self.rests(lambda: not Run.objects.active().exists(), started):
            return None
        self.workload.finish()
        return round(time.monotonic() - started, 1) if self.rests(self.is_settled, started) else None

    def rests(self, reached: Callable[[], bool], started: float) -> bool:
        """Whether that comes to be in time; given up early when nothing moves any more."""
        before, moved, told = None, time.monotonic(), 0.0
        while time.monotonic() - started < SETTLE_SECONDS and time.monotonic() - moved < STILL_SECONDS:
            self.turn()
            if reached():
                return True
            now = self.rows()
            before, moved = now, (moved if now == before else time.monotonic())
            if time.monotonic() - told > TELL_SECONDS:
                told = time.monotonic()
                self.say(f"settling: {self.picture()}")
        self.say(f"it does not settle: {self.picture()}")
        return False

    def is_settled(self) -> bool:
        return not (
            Run.objects.active().exists()
            or Document.objects.active().exists()
            or Chunk.objects.exclude(state=Chunk.State.INDEXED).exists()
            or Source.objects.filter(deleting=True).exists()
            or self.attack.wounds
            or any(self.depths().values())
        )

    def picture(self) -> dict[str, Any]:
        return {**self.rows(), **self.depths(), "not back": [w.kind for w in self.attack.wounds]}

    def rows(self) -> dict[str, Any]:
        """What moves as long as there is hope; messages come and go for ever."""
        return {
            model.__name__.lower(): dict(model.objects.order_by().values_list("state").annotate(n=Count("id")))
            for model in (Run, Document, Chunk)
        }

    def depths(self) -> dict[str, Any]:
        try:
            return depths(self.stack)
        except redis.RedisError as error:
            return {"redis": str(error)}

    def report(self, verdict: Verdict) -> dict[str, Any]:
        attack = self.attack
        seconds = sorted(s for _, s in attack.recoveries)
        return {
            "seed": self.options.seed,
            "without": self.options.without,
            "injected": attack.injected.total(),
            "faults": dict(sorted(attack.injected.items())),
            "missed": dict(sorted(attack.missed.items())),
            "recoveries": dict(sorted(Counter(kind for kind, _ in attack.recoveries).items())),
            "unrecovered": [w.kind for w in attack.wounds],
            "recovery_seconds": {
                "median": round(statistics.median(seconds), 1) if seconds else None,
                "max": round(seconds[-1], 1) if seconds else None,
            },
            "readers": self.readers.report(),
            "changes": self.workload.steps,
            "runs": Run.objects.count(),
            "documents": verdict.documents,
            "chunks": verdict.chunks,
            "most_attempts": verdict.attempts,
            "lost": len(verdict.lost),
            "duplicated": verdict.duplicated,
            "without_row": len(verdict.strange),
        }
