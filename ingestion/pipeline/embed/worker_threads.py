"""Windows of chunks -> batches of vectors, while the caller claims and delivers.

Three things happen at a time: one thread tokenises the next window (and fetches vectors of texts that the index
has), one or two compute, and the caller, who alone touches rows and the Redis list, takes what is finished. Two compute
where one window's last batches and the next one's first are on the device. Nothing here knows rows or Redis. What is in
memory is bounded by the windows that the caller starts.

Whatever goes wrong with a window reaches the caller as the last thing said of it, and after it nothing is begun: of a
window that overlaps, the batch in hand is the last.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

from ingestion.embedding.embedder import Embedder, TokenIds
from ingestion.exceptions import ChunkTooLarge
from ingestion.models import Chunk
from ingestion.pipeline.embed.push_vectors import Embedded
from ingestion.types import Vectors, embedding_text


@dataclass(eq=False)
class Window:
    """Chunks that are sorted and cut into batches together. ``known``: digest -> vectors that the index has."""

    chunks: Sequence[Chunk]
    known: Callable[[], dict[str, Vectors]] = dict
    tokens: int = field(init=False)

    def __post_init__(self) -> None:
        self.tokens = sum(chunk.tokens for chunk in self.chunks)


@dataclass(frozen=True, kw_only=True)
class Finished:
    """Some of a window. ``refused``: chunks that are too large; ``last``: nothing more comes of this window."""

    window: Window
    embedded: Sequence[Embedded] = ()
    refused: Sequence[Chunk] = ()
    reason: str = ""
    seconds: float = 0.0
    last: bool = False
    error: BaseException | None = None

    def tokens(self) -> int:
        return sum(each.chunk.tokens for each in self.embedded) + sum(chunk.tokens for chunk in self.refused)


Groups = list[list[Chunk]]


class EmbeddingThreads:
    """Started windows are worked off until ``stop``, or until somebody sets ``stop_asked``: then the batch in hand is
    the last one."""

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
        prepared = self._preparing.submit(self._prepare, window)
        self._computing.submit(self._compute, window, prepared)

    def next(self, seconds: float) -> Finished | None:
        """What is finished, in order; None when nothing was within this time."""
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
        return self._stop.is_set() or self._stop_asked.is_set()

    def _prepare(self, window: Window) -> tuple[Groups, list[TokenIds]]:
        """The texts to embed, each with the chunks that have it, and their token ids."""
        known = window.known()
        copies = [Embedded(c, known[c.digest], copied=True) for c in window.chunks if c.digest in known]
        if copies:
            self._finished.put(Finished(window=window, embedded=copies))
        groups = alike(c for c in window.chunks if c.digest not in known)
        texts = [embedding_text(first.heading, first.text) for first, *_ in groups]
        return groups, self.embedder.tokenise(texts) if texts else []

    def _compute(self, window: Window, prepared: Future[tuple[Groups, list[TokenIds]]]) -> None:
        error = None
        try:
            if not self._stops():
                self._embed(window, *prepared.result())
        except BaseException as problem:  # the caller raises it again, in its own thread
            self._stop.set()
            error = problem
        self._finished.put(Finished(window=window, last=True, error=error))

    def _embed(self, window: Window, groups: Groups, ids: Sequence[TokenIds]) -> None:
        """All batches; a text that is too large for the device is taken out, and the others are gone on with."""
        left = dict(enumerate(ids))
        while left and not self._stops():
            order = list(left)
            try:
                self._batches(window, groups, order, left)
                return
            except ChunkTooLarge as error:
                position = order[error.position]
                del left[position]
                self._finished.put(Finished(window=window, refused=groups[position], reason=str(error)))

    def _batches(self, window: Window, groups: Groups, order: Sequence[int], left: dict[int, TokenIds]) -> None:
        started = time.perf_counter()
        for places, vectors in self.embedder.embed_tokens([left[position] for position in order]):
            seconds = self._seconds_since(started)
            embedded: list[Embedded] = []
            for position, vector in zip((order[p] for p in places), vectors, strict=True):
                del left[position]
                first, *others = groups[position]
                embedded += [Embedded(first, vector), *(Embedded(other, vector, copied=True) for other in others)]
            self._finished.put(Finished(window=window, embedded=embedded, seconds=seconds))
            if self._stops():
                return
            started = time.perf_counter()

    def _seconds_since(self, started: float) -> float:
        """Where two windows overlap, time counts once."""
        with self._clock:
            now = time.perf_counter()
            seconds = now - max(started, self._counted_until)
            self._counted_until = now
        return seconds


def alike(chunks: Iterable[Chunk]) -> Groups:
    """Chunks of equal text together."""
    groups: dict[str, list[Chunk]] = defaultdict(list)
    for chunk in chunks:
        groups[chunk.digest or chunk.key].append(chunk)
    return list(groups.values())
