"""Which processes of the embedded stack end again and again, and what they wrote last.

In: each end of a process, from ``stack``. Out: a small file in DATA_DIR, replaced in one step, that any process can
read; the status, the admin and ``/readyz`` show what it says. A file whose stack has ended counts as empty.
"""

from __future__ import annotations

import fcntl
import json
import time
from collections import defaultdict, deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

STATE_FILE = "processes.json"
LOCK_FILE = "up.lock"
# A process is reported when it ended this often within this time. One restart now and then is what supervision is for.
ENDS_REPORTED = 3
WITHIN_SECONDS = 900.0


@dataclass(frozen=True)
class UnstableProcess:
    """A process that keeps ending."""

    name: str
    ends: int
    cause: str
    last_words: str

    def __str__(self) -> str:
        said = f' Its last words: "{self.last_words}"' if self.last_words else ""
        minutes = f"{WITHIN_SECONDS / 60:.0f} minutes"
        return f"The process {self.name} ended {self.ends} times within {minutes} ({self.cause}).{said}"


class RestartLog:
    """The supervisor's record of ends. Times are those of the monotonic clock, which nobody sets back."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / STATE_FILE
        self.ends: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=100))
        self.last: dict[str, tuple[str, str]] = {}
        self.written: list[UnstableProcess] | None = None

    def note(self, name: str, cause: str, last_words: str) -> None:
        """Record that the process has ended now; ``publish`` writes it."""
        self.ends[name].append(time.monotonic())
        self.last[name] = (cause, last_words)

    def publish(self) -> None:
        """Write the file if it would differ from what was written last.

        A full disk must not stop the stack: then the next call tries again.
        """
        since = time.monotonic() - WITHIN_SECONDS
        counted = {name: sum(at > since for at in ends) for name, ends in self.ends.items()}
        found = [
            UnstableProcess(name, n, *self.last[name]) for name, n in sorted(counted.items()) if n >= ENDS_REPORTED
        ]
        if found == self.written:
            return
        fresh = self.path.with_suffix(".new")
        with suppress(OSError):
            fresh.write_text(json.dumps([vars(each) for each in found]))
            fresh.replace(self.path)
            self.written = found


def unstable_processes(folder: Path) -> list[UnstableProcess]:
    """Return what the stack that runs on this folder reports; nothing where none runs, or the file cannot be read."""
    try:
        found = [UnstableProcess(**each) for each in json.loads((folder / STATE_FILE).read_text())]
    except (OSError, ValueError, TypeError):
        return []
    return found if found and stack_runs(folder) else []


def stack_runs(folder: Path) -> bool:
    """Return whether a living supervisor holds the folder's lock."""
    try:
        with (folder / LOCK_FILE).open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
