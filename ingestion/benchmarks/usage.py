"""Memory, processor time and Redis bytes of a running stack, watched from outside.

``with Usage(pid, redis_url) as usage`` measures the process and its descendants every two seconds; afterwards
``usage.figures()`` returns the peaks by process and the processor seconds spent meanwhile.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from pathlib import PurePath
from types import TracebackType

import psutil
import redis

from ingestion.types import Json

# Measuring once costs 5-10 ms of one core.
EVERY_SECONDS = 2.0


class Usage:
    """Measurements of a process and its descendants, and of the Redis that they use."""

    def __init__(self, pid: int, redis_url: str) -> None:
        self.root = psutil.Process(pid)
        self.redis = redis.Redis.from_url(redis_url)
        self.peak_rss: dict[str, int] = defaultdict(int)
        self.peak_redis = 0
        self._seconds: dict[tuple[int, str], tuple[float, float]] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Usage:
        self.measure()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        if not error:
            self.measure()
        self.redis.close()

    def _watch(self) -> None:
        """Note the figures every EVERY_SECONDS until the ``with`` block ends, in a thread of its own.

        An error of ``measure`` ends the thread before, without one in the block.
        """
        while not self._over.wait(EVERY_SECONDS):
            self.measure()

    def measure(self) -> None:
        """Note the memory and the processor time of each process now, and the memory that Redis uses."""
        for process in [self.root, *self.root.children(recursive=True)]:
            try:
                self._note(process)
            except psutil.NoSuchProcess:
                continue
        self.peak_redis = max(self.peak_redis, int(self.redis.info("memory")["used_memory"]))

    def _note(self, process: psutil.Process) -> None:
        """Note a process's processor seconds so far, and its memory in bytes where that is the peak of its name.

        Seconds are counted from the first time that the process was seen. Raises psutil.NoSuchProcess when it has
        ended.
        """
        with process.oneshot():
            name = name_of(process)
            times = process.cpu_times()
            self.peak_rss[name] = max(self.peak_rss[name], process.memory_info().rss)
        spent = times.user + times.system
        first, _ = self._seconds.get((process.pid, name), (spent, spent))
        self._seconds[process.pid, name] = first, spent

    def figures(self) -> Json:
        """Return peak memory and processor seconds by name of process, and the peak of Redis."""
        seconds: dict[str, float] = defaultdict(float)
        for (_, name), (first, last) in self._seconds.items():
            seconds[name] += last - first
        return {
            "peak_rss_mb": {name: round(size / 2**20) for name, size in sorted(self.peak_rss.items())},
            "peak_redis_bytes": self.peak_redis,
            "processor_seconds": {name: round(spent, 1) for name, spent in sorted(seconds.items())},
        }


def name_of(process: psutil.Process) -> str:
    """Return what a process is, by its command line: ``cpu worker``, ``gpu worker child``, ``redis-server``, …."""
    words = " ".join(process.cmdline()).split()
    parent = process.parent()
    if any("_tracker" in word for word in words):
        return "semaphore tracker"
    if "worker" in words:
        child = parent is not None and "worker" in " ".join(parent.cmdline()).split()
        return f"{words[words.index('-Q') + 1]} worker{' child' if child else ''}"
    if any("spawn_main" in word for word in words) and parent is not None:
        return f"{name_of(parent)} child"
    for known in ("redis-server", "milvus", "beat", "up"):
        if any(PurePath(word).name == known for word in words):
            return known
    return process.name()
