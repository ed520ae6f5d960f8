"""Windows of chunks -> batches of vectors, while the caller claims and delivers.

In: windows. Out: ``Finished``, for each batch and at the end of each window. Knows neither rows nor Redis, and holds in
memory what the caller starts, no more.

Three things happen at a time: one thread tokenises the next window (and fetches vectors of texts that the index has),
one or two compute, and the caller, who alone touches rows and the Redis list, takes what is finished. Two compute where
one window's last batches and the next one's first are on the device.

An error of a window reaches the caller in the window's last ``Finished``, and no batch is begun after it. Of another
window that is on the device too, the batch in hand is the last.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

from ingestion.embedding.embedder import Embedder, TokenIds
from ingestion.exceptions import ChunkTooLarge
from ingestion.models import Chunk
from ingestion.pipeline.embed.push_vectors import Embedded
from ingestion.types import Vectors, embedding_text


@dataclass(eq=False)
class Window:
    """Chunks that are sorted and cut into batches together. ``known`` returns digest -> vectors that the index has."""

    chunks: Sequence[Chunk]
    known: Callable[[], dict[str, Vectors]] = dict
    tokens: int = field(init=False)

    def __post_init__(self) -> None:
        self.tokens = sum(chunk.tokens for chunk in self.chunks)


@dataclass(frozen=True, kw_only=True)
class Finished:
    """Part of a window. ``refused``: chunks that are too large; ``last``: nothing more comes of this window.

    ``seconds``: of computing, counted once where two windows overlap.
    """

    window: Window
    embedded: Sequence[Embedded] = ()
    refused: Sequence[Chunk] = ()
    reason: str = ""
    seconds: float = 0.0
    last: bool = False
    error: BaseException | None = None

    def tokens(self) -> int:
        """Return how many tokens the embedded and the refused chunks have."""
        return sum(each.chunk.tokens for each in self.embedded) + sum(chunk.tokens for chunk in self.refused)


Groups = list[list[Chunk]]


class EmbeddingThreads:
    """Threads that work started windows off until ``stop``, or until somebody sets ``stop_asked``.

    Then the batch in hand is the last one.
    """

    def __init__(self, embedder: Embedder, stop_asked: threading.Event) -> None:
        self.embedder = embedder
        self._stop_asked = stop_asked
        self._stop = threading.Event()
        self._finished: SimpleQueue[Finished] = SimpleQueue()
        self._preparing = ThreadPoolExecutor(1, "prepare")
        self._computing = ThreadPoolExecutor(2, "compute")
        self._clock = threading.Lock()
        self._counted_until = 0.0

    def start(self, window: Window) -> None:
        """Begin to tokenise and then to compute a window."""
        prepared = self._preparing.submit(self._prepare, window)
        self._computing.submit(self._compute, window, prepared)

    def next(self, seconds: float) -> Finished | None:
        """Return what is finished, in order, or None when nothing was within so many seconds."""
        try:
            return self._finished.get(timeout=seconds)
        except Empty:
            return None

    def stop(self) -> list[Finished]:
        """Let the batch in hand finish, join the threads, and return what nobody has taken."""
        self._stop.set()
        self._preparing.shutdown(cancel_futures=True)
        self._computing.shutdown(cancel_futures=True)
        return list(iter(lambda: None if self._finished.empty() else self._finished.get(), None))

    def _stops(self) -> bool:
        """Return whether no further batch may begin: ``stop`` was called, a window failed, or ``stop_asked`` is set."""
        return self._stop.is_set() or self._stop_asked.is_set()

    def _prepare(self, window: Window) -> tuple[Groups, list[TokenIds]]:
        """Hand on the chunks whose vectors are known. Return the others, those of equal text together, and token ids.

        The token ids are those of each different text.
        """
        known = window.known()
        copies = [Embedded(c, known[c.digest], copied=True) for c in window.chunks if c.digest in known]
        if copies:
            self._finished.put(Finished(window=window, embedded=copies))
        by_text: dict[str, list[Chunk]] = defaultdict(list)
        for chunk in window.chunks:
            if chunk.digest not in known:
                by_text[chunk.digest or chunk.key].append(chunk)
        groups = list(by_text.values())
        texts = [embedding_text(first.heading, first.text, first.context) for first, *_ in groups]
        return groups, self.embedder.tokenise(texts) if texts else []

    def _compute(self, window: Window, prepared: Future[tuple[Groups, list[TokenIds]]]) -> None:
        """Embed a window; whatever happens, its last ``Finished`` follows."""
        error = None
        try:
            if not self._stops():
                self._embed(window, *prepared.result())
        except CancelledError:  # stopped before its texts were tokenised
            pass
        except BaseException as problem:  # the caller raises it again, in its own thread
            self._stop.set()
            error = problem
        self._finished.put(Finished(window=window, last=True, error=error))

    def _embed(self, window: Window, groups: Groups, ids: Sequence[TokenIds]) -> None:
        """Compute all batches. A text that is too large for the device is refused, and the others are computed."""
        left = dict(enumerate(ids))
        while left and not self._stops():
            order = list(left)
            try:
                self._run_batches(window, groups, order, left)
                return
            except ChunkTooLarge as error:
                number = order[error.position]
                del left[number]
                self._finished.put(Finished(window=window, refused=groups[number], reason=str(error)))

    def _run_batches(self, window: Window, groups: Groups, order: Sequence[int], left: dict[int, TokenIds]) -> None:
        """Compute the texts that are ``left``, numbered as ``groups``, in this order, and take them out of ``left``."""
        started = time.perf_counter()
        for positions, vectors in self.embedder.embed_tokens([left[number] for number in order]):
            with self._clock:  # where two windows overlap, time counts once
                now = time.perf_counter()
                seconds = now - max(started, self._counted_until)
                self._counted_until = now
            embedded: list[Embedded] = []
            for number, vector in zip((order[p] for p in positions), vectors, strict=True):
                del left[number]
                first, *others = groups[number]
                embedded += [Embedded(first, vector), *(Embedded(other, vector, copied=True) for other in others)]
            self._finished.put(Finished(window=window, embedded=embedded, seconds=seconds))
            if self._stops():
                return
            started = time.perf_counter()
