"""People who search the site while faults strike: how many of their questions are answered, and how soon.

Each asks, reads for a moment and asks again. Like a program that keeps to what it is told, a reader who is asked to
come back later does so, and one whose connection breaks tries again, for PATIENCE_SECONDS; then the question has
failed. An answer without a passage is a failure, too: there are always some.
"""

from __future__ import annotations

import random
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import requests

from tests.chaos.workload import WORDS
from tests.support.running import START_SECONDS

READING_SECONDS = (0.5, 3.5)
# A request that takes longer is given up.
REQUEST_SECONDS = 20.0
PATIENCE_SECONDS = 20.0
# Where the answer does not say when to come back.
PAUSE_SECONDS = 1.0


class Try(NamedTuple):
    """What came of a request, and for how many seconds to wait before the next one if that was no answer."""

    outcome: str
    pause: float


class Readers:
    """``count`` threads, none for 0, that ask ``address`` from ``begin`` to ``end``."""

    def __init__(self, address: str, count: int, seed: int) -> None:
        self.address = address
        self.questions: Counter[str] = Counter()
        self.tries: Counter[str] = Counter()
        self.seconds: list[float] = []
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._read, args=(random.Random(f"{seed} {n}"),)) for n in range(count)
        ]

    def begin(self, say: Callable[[str], None]) -> None:
        """Wait until a first question is answered, and let everybody ask."""
        deadline = time.monotonic() + START_SECONDS
        while self._threads and (outcome := self._try("query").outcome) != "answered":
            assert time.monotonic() < deadline, f"the site answers no question: {outcome}"
            time.sleep(PAUSE_SECONDS)
        for thread in self._threads:
            thread.start()
        if self._threads:
            say(f"{len(self._threads)} readers ask {self.address}")

    def end(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def report(self) -> dict[str, Any]:
        shares = statistics.quantiles(self.seconds, n=100) if len(self.seconds) > 1 else [0.0] * 99
        return {
            "questions": dict(sorted(self.questions.items())),
            "tries": dict(sorted(self.tries.items())),
            "seconds": {f"p{n}": round(shares[n - 1], 3) for n in (50, 95, 99)},
        }

    def _read(self, chance: random.Random) -> None:
        while not self._over.wait(chance.uniform(*READING_SECONDS)):
            started = time.monotonic()
            outcome = self._ask(" ".join(chance.choices(WORDS, k=4)), started)
            self.questions[outcome] += 1
            if outcome == "answered":
                self.seconds.append(time.monotonic() - started)

    def _ask(self, text: str, started: float) -> str:
        """The outcome of a question's last try."""
        while True:
            outcome, pause = self._try(text)
            self.tries[outcome] += 1
            if outcome == "answered" or time.monotonic() + pause - started > PATIENCE_SECONDS:
                return outcome
            time.sleep(pause)

    def _try(self, text: str) -> Try:
        try:
            answer = requests.get(
                f"{self.address}/api/v1/search", params={"q": text}, timeout=REQUEST_SECONDS, allow_redirects=False
            )
        except requests.RequestException as error:
            return Try(type(error).__name__, PAUSE_SECONDS)
        if answer.status_code != requests.codes.ok:
            return Try(str(answer.status_code), float(answer.headers.get("Retry-After", PAUSE_SECONDS)))
        return Try("answered" if answer.json()["passages"] else "no passage", PAUSE_SECONDS)
