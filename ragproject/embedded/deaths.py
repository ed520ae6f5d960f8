"""Which processes of the embedded stack end again and again, and what they said last.

In: each end, from ``stack``. Out: a small file in DATA_DIR, replaced in one step, that any process can read: the
status, the admin and ``/readyz`` name what stands in it. It says nothing once its stack has ended.
"""

from __future__ import annotations

import fcntl
import json
import time
from collections import defaultdict, deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

FILE = "processes.json"
LOCK = "up.lock"
# So many ends within this time are a trouble; one restart now and then is what supervision is for.
ENDS = 3
WITHIN_SECONDS = 900.0


@dataclass(frozen=True)
class Unsteady:
    """A process that keeps ending."""

    name: str
    ends: int
    cause: str
    last_words: str

    def __str__(self) -> str:
        said = f' Its last words: "{self.last_words}"' if self.last_words else ""
        minutes = f"{WITHIN_SECONDS / 60:.0f} minutes"
        return f"The process {self.name} ended {self.ends} times within {minutes} ({self.cause}).{said}"


class Register:
    """What the supervisor keeps. Times are those of the monotonic clock, which nobody sets back."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self.ends: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=100))
        self.last: dict[str, tuple[str, str]] = {}
        self.written: list[Unsteady] | None = None

    def note(self, name: str, cause: str, last_words: str) -> None:
        self.ends[name].append(time.monotonic())
        self.last[name] = (cause, last_words)

    def publish(self) -> None:
        """Write what has changed since the last time. A full disk must not stop the stack."""
        found = self.unsteady()
        if found == self.written:
            return
        fresh = self.path.with_suffix(".new")
        with suppress(OSError):
            fresh.write_text(json.dumps([vars(each) for each in found]))
            fresh.replace(self.path)
            self.written = found

    def unsteady(self) -> list[Unsteady]:
        since = time.monotonic() - WITHIN_SECONDS
        counted = {name: sum(at > since for at in ends) for name, ends in self.ends.items()}
        return [Unsteady(name, n, *self.last[name]) for name, n in sorted(counted.items()) if n >= ENDS]


def unsteady_processes(folder: Path) -> list[Unsteady]:
    """Return what the stack that runs on this folder says; nothing where none runs, or the file cannot be read."""
    try:
        found = [Unsteady(**each) for each in json.loads((folder / FILE).read_text())]
    except (OSError, ValueError, TypeError):
        return []
    return found if found and stack_runs(folder) else []


def stack_runs(folder: Path) -> bool:
    """Return whether a living supervisor holds the folder's lock."""
    try:
        with (folder / LOCK).open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
