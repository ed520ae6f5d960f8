"""What can be done to a stack, in the order that a seed gives, and how it is seen that the stack has got over it."""

from __future__ import annotations

import os
import random
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import psutil
import redis
from django.db import DatabaseError

from ingestion.exceptions import IngestionError
from ingestion.models import Chunk, Collection
from ingestion.vector_store.store import VectorStore, open_store
from ragproject.embedded import services
from tests.chaos.points import POINTS
from tests.chaos.stack import Absent, Stack

# A point that nobody comes by in this time is left alone again; that was no fault.
ARMED_SECONDS = 20.0
# Longer than every lease of its process: a page's is its time limit and a lease.
STOPS = {"cpu": (9.0, 12.0), "gpu": (6.0, 9.0), "index": (6.0, 9.0)}
GAP_SECONDS = (0.5, 4.0)
MINUTE = "milvus out for 60 s"
FAULTS_PER_MINUTE_OUT = 100


class Planned(NamedTuple):
    """``amount`` in [0, 1) chooses the process or how long; ``gap`` is the time to the next one."""

    kind: str
    amount: float
    gap: float


def planned(seed: int, only: list[str]) -> Iterator[Planned]:
    """Without end: all kinds in an order by chance, then all of them in another."""
    chance, number = random.Random(seed), 0
    while True:
        kinds = only or sorted(KINDS.keys() - {MINUTE})
        for kind in chance.sample(kinds, len(kinds)):
            if not only and number % FAULTS_PER_MINUTE_OUT == FAULTS_PER_MINUTE_OUT // 2:
                yield Planned(MINUTE, 0.0, chance.uniform(*GAP_SECONDS))
                number += 1
            yield Planned(kind, chance.random(), chance.uniform(*GAP_SECONDS))
            number += 1


@dataclass(frozen=True)
class Wound:
    """A process that was hurt, or a service that was; it is over when somebody else, or it again, does the work."""

    kind: str
    role: str
    pid: int
    child: bool
    since: float = field(default_factory=time.monotonic)

    def healed(self, stack: Stack) -> bool:
        try:
            players = stack.children(self.role) if self.child else list(stack.players(self.role))
        except (Absent, psutil.Error):
            return False
        return self.pid not in [p.pid for p in players] and not answers_not(self.role)


def answers_not(role: str) -> str:
    trouble: dict[str, Callable[[], str]] = {"redis": services.redis_trouble, "milvus": services.milvus_trouble}
    return trouble[role]() if role in trouble else ""


@dataclass(frozen=True)
class Gap:
    """Rows that Milvus lost; it is closed when it holds as many again as the rows say."""

    kind: str
    since: float = field(default_factory=time.monotonic)

    def healed(self, stack: Stack) -> bool:
        with suppress(IngestionError, DatabaseError):
            indexed = Chunk.objects.filter(state=Chunk.State.INDEXED).count()
            return indexed > 0 and searched_store().count() >= indexed
        return False


@dataclass(frozen=True)
class Armed:
    kind: str
    action: str
    since: float


class Attack:
    """Injects faults and keeps the books of them."""

    def __init__(self, stack: Stack, say: Callable[[str], None]) -> None:
        self.stack = stack
        self.say = say
        self.injected: Counter[str] = Counter()
        self.missed: Counter[str] = Counter()
        self.recoveries: list[tuple[str, float]] = []
        self.wounds: list[Wound | Gap] = []
        self.armed: dict[str, Armed] = {}
        self.undone: dict[threading.Timer, Callable[[], None]] = {}

    def inject(self, plan: Planned) -> None:
        try:
            KINDS[plan.kind](self, plan.kind, plan.amount)
        except (Absent, OSError, psutil.Error, redis.RedisError, sqlite3.Error, IngestionError, DatabaseError) as error:
            self.missed[plan.kind] += 1
            self.say(f"missed: {plan.kind} ({type(error).__name__}: {error})")

    def count(self, kind: str, words: str = "") -> None:
        self.injected[kind] += 1
        self.say(f"{self.injected.total():3} {kind} {words}".rstrip())

    def look(self) -> None:
        """Points that were struck, points in vain, wounds that healed."""
        for path in (self.stack.folder / "struck").iterdir():
            self.struck(path.name, int(path.read_text()))
            path.unlink()
        for name in [n for n, armed in self.armed.items() if time.monotonic() - armed.since > ARMED_SECONDS]:
            self.disarm(name)
        for wound in [w for w in self.wounds if w.healed(self.stack)]:
            self.wounds.remove(wound)
            self.recoveries.append((wound.kind, time.monotonic() - wound.since))

    def struck(self, name: str, pid: int) -> None:
        armed = self.armed.pop(name)
        self.count(armed.kind, f"(process {pid})")
        if armed.action == "stop":
            self.later(STOPS[POINTS[name].role][1], partial(resume, psutil.Process(pid)))
        else:
            self.wounds.append(Wound(armed.kind, POINTS[name].role, pid, child=True))

    def disarm(self, name: str) -> None:
        with suppress(FileNotFoundError):  # somebody has just come by
            (self.stack.folder / "armed" / name).unlink()
            self.missed[self.armed.pop(name).kind] += 1

    def later(self, seconds: float, undo: Callable[[], None]) -> None:
        """In a thread of its own: the harness itself may stand before a locked database."""

        def run() -> None:
            self.undone.pop(timer, None)
            undo()

        timer = threading.Timer(seconds, run)
        self.undone[timer] = undo
        timer.start()

    def end(self) -> None:
        """Nothing is armed, stopped, full or locked any more."""
        for name in list(self.armed):
            self.disarm(name)
        for timer, undo in list(self.undone.items()):
            timer.cancel()
            if self.undone.pop(timer, None):
                undo()
        self.look()


# --- One function for each sort of fault ----------------------------------------------------------------


def chosen(processes: list[psutil.Process], amount: float) -> psutil.Process:
    return processes[int(amount * len(processes))]


def kill(attack: Attack, kind: str, amount: float, *, role: str, child: bool) -> None:
    stack = attack.stack
    process = chosen(stack.children(role) if child else list(stack.players(role)), amount)
    process.kill()
    attack.count(kind, f"(process {process.pid})")
    attack.wounds.append(Wound(kind, role, process.pid, child))


def stop(attack: Attack, kind: str, amount: float, *, role: str) -> None:
    process = chosen(attack.stack.children(role), amount)
    low, high = STOPS[role]
    pause(attack, kind, process, low + amount * (high - low))


def stop_service(attack: Attack, kind: str, amount: float, *, role: str, low: float, high: float) -> None:
    pause(attack, kind, attack.stack.role(role), low + amount * (high - low))


def pause(attack: Attack, kind: str, process: psutil.Process, seconds: float) -> None:
    process.suspend()
    attack.later(seconds, partial(resume, process))
    attack.count(kind, f"(process {process.pid}, for {seconds:.0f} s)")


def resume(process: psutil.Process) -> None:
    with suppress(psutil.Error):
        process.resume()


def strike(attack: Attack, kind: str, amount: float, *, point: str, action: str) -> None:
    """The process that comes by there next."""
    if point in attack.armed:
        raise Absent(f"{point} is armed already")
    attack.armed[point] = Armed(kind, action, time.monotonic())
    waiting = attack.stack.folder / f"{point}.waiting"
    waiting.write_text(action)
    waiting.rename(attack.stack.folder / "armed" / point)


def flush(attack: Attack, kind: str, amount: float) -> None:
    with attack.stack.redis() as client:
        client.flushall()
    attack.count(kind)


def refuse(attack: Attack, kind: str, amount: float, *, setting: str) -> None:
    """Redis refuses every write, or every write that needs memory."""
    seconds = 1 + 4 * amount
    with attack.stack.redis() as client:
        client.config_set(setting, 1)
    attack.later(seconds, partial(accept, attack.stack, setting))
    attack.count(kind, f"(for {seconds:.0f} s)")


def accept(stack: Stack, setting: str) -> None:
    """One that was started again meanwhile does already."""
    for _ in range(20):
        with suppress(redis.RedisError), stack.redis() as client:
            client.config_set(setting, 0)
            return
        time.sleep(0.5)


def fill_disk(attack: Attack, kind: str, amount: float) -> None:
    """Not a byte is left where the database, Redis and Milvus write."""
    data, seconds = attack.stack.data, 1 + 5 * amount
    if not data.is_mount():
        raise Absent("a disk that may be filled")
    filler = data / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(1024 * 1024))
    attack.later(seconds, partial(filler.unlink, missing_ok=True))
    attack.count(kind, f"(for {seconds:.0f} s)")


def drop_collection(attack: Attack, kind: str, amount: float) -> None:
    searched_store().drop()
    attack.count(kind)
    attack.wounds.append(Gap(kind))


def searched_store() -> VectorStore:
    row = Collection.objects.searched()
    if row is None:
        raise Absent("a collection")
    return open_store(row.name, row.dimension)


def damage(attack: Attack, kind: str, amount: float, *, role: str, file: str) -> None:
    """A power cut: a part of the file is there, and its last bytes are zeros."""
    process, path = attack.stack.role(role), attack.stack.data / file
    process.kill()
    kept = int(amount * path.stat().st_size)
    os.truncate(path, kept)
    os.truncate(path, kept + 4096)
    attack.count(kind, f"(process {process.pid}, {kept} bytes left)")
    attack.wounds.append(Wound(kind, role, process.pid, child=False))
    attack.wounds.append(Gap(kind))


def lock(attack: Attack, kind: str, amount: float) -> None:
    url, seconds = attack.stack.running.environment["DATABASE_URL"], 1 + 6 * amount
    if not url.startswith("sqlite:"):
        raise Absent("a database that can be locked whole")
    path = url.removeprefix("sqlite:///")
    holder = sqlite3.connect(path, timeout=5, isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN EXCLUSIVE")
    attack.later(seconds, holder.close)
    attack.count(kind, f"(for {seconds:.0f} s)")


Fault = Callable[[Attack, str, float], None]

KINDS: dict[str, Fault] = {
    **{f"{role} worker killed": partial(kill, role=role, child=False) for role in ("cpu", "gpu", "index")},
    **{f"{role} child killed": partial(kill, role=role, child=True) for role in ("cpu", "gpu", "index")},
    **{f"{role} killed": partial(kill, role=role, child=False) for role in ("redis", "milvus", "beat")},
    **{f"{role} child stopped beyond its lease": partial(stop, role=role) for role in ("cpu", "gpu", "index")},
    **{f"killed at {point}": partial(strike, point=point, action="kill") for point in POINTS},
    "stopped at before-upsert": partial(strike, point="before-upsert", action="stop"),
    "stopped at push-before-rows": partial(strike, point="push-before-rows", action="stop"),
    "redis stopped": partial(stop_service, role="redis", low=1, high=5),
    "redis flushed": flush,
    "redis full": partial(refuse, setting="maxmemory"),
    "redis read-only": partial(refuse, setting="min-replicas-to-write"),
    "redis' log damaged": partial(damage, role="redis", file="redis/appendonly.aof"),
    "milvus' file damaged": partial(damage, role="milvus", file="milvus.db"),
    "collection dropped": drop_collection,
    "disk full": fill_disk,
    "milvus stopped": partial(stop_service, role="milvus", low=3, high=12),
    MINUTE: partial(stop_service, role="milvus", low=60, high=60),
    "database locked": lock,
}
