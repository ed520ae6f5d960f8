"""Texts → dense and sparse vectors, with BGE-M3's network through FlagEmbedding.

In: texts, or token ids made of them earlier. Out: one ``Vectors`` each, equal to FlagEmbedding's. Knows nothing of
rows, queues or Milvus, nor where the network came from (``loading``).

The network and its weights are FlagEmbedding's; batching and post-processing are ours. Its ``encode`` runs the longest
batch twice, pads by count and walks token weights in Python; here a batch is one stream of tokens without padding,
bounded by tokens (``batching``), and on CUDA batches follow one another without waiting for the host.
"""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ingestion.embedding.batching import batches_by_tokens
from ingestion.embedding.cpu_threads import BatchExecutor, run_here
from ingestion.embedding.lexical_weights import lexical_weights
from ingestion.embedding.stream import Stream
from ingestion.embedding.tokenizer import TextTokenizer, first_position
from ingestion.exceptions import ChunkTooLarge, DeviceFailed
from ingestion.types import IndexArray, Vectors

if TYPE_CHECKING:
    import numpy.typing as npt
    from tokenizers import Tokenizer

    from ingestion.embedding.stream import Network, Result

logger = logging.getLogger(__name__)

TokenIds = IndexArray

MODEL_MAX_TOKENS = 8192
# The allocators of CPUs and cuBLAS raise a plain RuntimeError with one of these.
OUT_OF_MEMORY = ("can't allocate memory", "failed to allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")


@dataclass(frozen=True, slots=True)
class EmbedderFigures:
    """Counts since the model was loaded; ``padded_tokens`` are all that the network was given, padding included."""

    texts: int = 0
    tokens: int = 0
    padded_tokens: int = 0
    seconds: float = 0.0  # in which the device had work
    peak_bytes: int = 0  # of the device's memory; 0 on a CPU


@dataclass(eq=False)
class RunningBatch:
    """A batch that was started and whose result was not read yet; ``positions`` are those of its texts."""

    positions: list[int]
    stream: Stream
    started: float
    result: Future[Result]


class Embedder:
    """One loaded model, safe to share between threads.

    One forward pass is started at a time. A caller that comes while another one's texts are embedded starts its own
    when the last of those has been started, so that the device does not pause.
    """

    def __init__(
        self,
        network: Network,
        tokenizer: Tokenizer,
        unused: npt.NDArray[np.int64],
        device: str,
        batch_tokens: int,
        in_flight: int,
        executor: BatchExecutor,
    ) -> None:
        self.device = device
        self.batch_tokens = batch_tokens
        self.in_flight = in_flight * executor.parallel
        self.executor = executor
        self.network = network
        self.tokenizer = tokenizer
        self.dimension = int(network.config.hidden_size)
        positions = int(network.config.max_position_embeddings) - first_position(network.config)
        self.max_tokens = min(positions, MODEL_MAX_TOKENS)
        self.unused_ids = unused
        self._text_tokenizer = TextTokenizer(tokenizer, self.max_tokens)
        self._figures = EmbedderFigures()
        self._lock = threading.Lock()
        self._caller_lock = threading.Lock()
        self._busy_until = 0.0

    def embed(self, texts: Sequence[str]) -> list[Vectors]:
        """Return the vectors of all texts, in the order of ``texts``."""
        found: dict[int, Vectors] = {}
        for positions, vectors in self.embed_tokens(self.tokenise(texts)):
            found.update(zip(positions, vectors, strict=True))
        return [found[i] for i in range(len(texts))]

    def tokenise(self, texts: Sequence[str]) -> list[TokenIds]:
        """Return the token ids of each text, special ones included, cut to ``max_tokens``.

        Needs neither the lock nor the device.
        """
        return self._text_tokenizer(texts)

    def embed_tokens(
        self, ids: Sequence[TokenIds], *, urgent: bool = False
    ) -> Iterator[tuple[list[int], list[Vectors]]]:
        """Yield (positions in ``ids``, their vectors) as each batch is done, longest texts first.

        ``urgent``: batches are started between those of another caller, and not after all of them.
        Raises ChunkTooLarge for the first text that exhausts the memory alone, when all others are done, and
        DeviceFailed when the device cannot be used any more in this process.
        """
        refused: list[ChunkTooLarge] = []
        running: deque[RunningBatch] = deque()
        batches = list(batches_by_tokens([len(i) for i in ids], self.batch_tokens, self.executor.parallel))
        start = self.executor.start if len(batches) > 1 else run_here
        try:
            with nullcontext() if urgent else self._caller_lock:
                for batch in batches:
                    while len(running) >= self.in_flight:
                        yield from self._finished(ids, running.popleft(), refused)
                    running.append(self._start(ids, batch, start))
            while running:
                yield from self._finished(ids, running.popleft(), refused)
        finally:
            for each in running:
                each.result.cancel()
        if refused:
            raise refused[0]

    def similarities(self, question: TokenIds, texts: Sequence[TokenIds], until: float) -> list[float]:
        """Return how near each text is to a question, token by token; 1 at most.

        Batches run between those of other callers. Raises TimeoutError when the monotonic clock passes ``until``, and
        RuntimeError when the device fails.
        """
        with self._lock:
            asked = self.network.token_vectors(Stream.of([question]))
        found = np.zeros(len(texts), np.float32)
        for batch in batches_by_tokens([len(text) for text in texts], self.batch_tokens):
            if time.monotonic() > until:
                raise TimeoutError
            with self._lock:
                found[batch] = self.network.similarities(asked, Stream.of([texts[n] for n in batch]))
        return [float(each) for each in found]

    def check(self) -> None:
        """Embed one word to test the device. Raises DeviceFailed when its vector is not of unit length."""
        dense = self.embed(["health"])[0].dense
        if not abs(float(np.linalg.norm(dense)) - 1) < 0.01:
            raise DeviceFailed(f"The model on {self.device} answers with a vector that is not of unit length.")

    def figures(self) -> EmbedderFigures:
        """Return the figures of all batches since the model was loaded."""
        return self._figures

    def _start(self, ids: Sequence[TokenIds], batch: list[int], start: Callable[..., Future[Result]]) -> RunningBatch:
        """Start to compute the texts at the positions ``batch`` of ``ids``; return the batch to be waited for.

        ``start`` calls the network, in this thread or another one, for one batch after the other. An error of the
        network is kept in the batch's ``result`` and not raised here.
        """
        stream = Stream.of([ids[i] for i in batch])
        with self._lock:
            return RunningBatch(batch, stream, time.perf_counter(), start(self.network, stream))

    def _finished(
        self, ids: Sequence[TokenIds], running: RunningBatch, refused: list[ChunkTooLarge]
    ) -> Iterator[tuple[list[int], list[Vectors]]]:
        """Yield a batch's vectors, or those of its halves, one after the other, when it exhausted the memory.

        A text that exhausts the memory alone is added to ``refused``.
        """
        packed, batch, stream = self._waited(running), running.positions, running.stream
        if packed is not None:
            self._count(running)
            dense, weights = np.split(packed, [len(batch) * self.dimension])
            words = np.where(np.isin(stream.ids, self.unused_ids), np.float32(0), weights)
            lexical = lexical_weights(stream.ids, words, stream.lengths)
            yield batch, [Vectors(d, i, w) for d, (i, w) in zip(dense.reshape(len(batch), -1), lexical, strict=True)]
        elif len(batch) > 1:
            middle = len(batch) // 2
            for half in (batch[:middle], batch[middle:]):
                yield from self._finished(ids, self._start(ids, half, run_here), refused)
        else:
            message = (
                f"A text of {len(ids[batch[0]])} tokens alone exhausts the memory of {self.device}. "
                "Lower CHUNK_TOKENS, or use a device with more memory."
            )
            refused.append(ChunkTooLarge(message, batch[0]))

    def _waited(self, running: RunningBatch) -> npt.NDArray[np.float32] | None:
        """Wait for a batch and return its result, or None when memory was exhausted, and is free again.

        Raises DeviceFailed for any other error: after one in the middle of a computation nothing on the device can be
        relied on.
        """
        try:
            return running.result.result().wait()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                message = f"The model failed on {self.device}: {error}. The process has to be replaced."
                raise DeviceFailed(message) from error
            traceback.clear_frames(error.__traceback__)  # they hold the failed batch
        if self.device.startswith("cuda"):
            import torch

            torch.cuda.empty_cache()
        return None

    def _count(self, running: RunningBatch) -> None:
        """Add a finished batch to the figures; the time in which batches overlap counts once."""
        tokens = int(running.stream.lengths.sum())
        with self._lock:
            now, before = time.perf_counter(), self._figures
            self._figures = EmbedderFigures(
                texts=before.texts + len(running.positions),
                tokens=before.tokens + tokens,
                padded_tokens=before.padded_tokens + self.network.tokens_read(running.stream),
                seconds=before.seconds + now - max(running.started, self._busy_until),
                peak_bytes=peak_bytes(self.device),
            )
            self._busy_until = now


def is_out_of_memory(error: Exception) -> bool:
    """Return whether an error of NumPy, CTranslate2, PyTorch or cuBLAS says that memory is exhausted."""
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return named or any(words in str(error) for words in OUT_OF_MEMORY)


def peak_bytes(device: str) -> int:
    """Return the most memory that was taken of the device; 0 on a CPU."""
    if not device.startswith("cuda"):
        return 0
    import torch

    return torch.cuda.max_memory_allocated(device)
