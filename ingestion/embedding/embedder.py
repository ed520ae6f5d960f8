"""Texts -> dense and sparse vectors, with BGE-M3's network through FlagEmbedding.

In: texts, or token ids made of them earlier. Out: one ``Vectors`` each, equal to FlagEmbedding's. Knows nothing of
rows, queues or Milvus. torch and FlagEmbedding are imported only inside ``load_model``: importing them takes ~7 s and
hundreds of MB, so whoever does not embed never pays.

The network and its weights are FlagEmbedding's; batching and post-processing are ours. Its ``encode`` runs the longest
batch twice, pads by count and walks token weights in Python; here a batch is one stream of tokens without padding,
bounded by tokens (``embedders``), and on CUDA batches follow one another without waiting for the host.
"""

from __future__ import annotations

import functools
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from django.conf import settings

from ingestion.embedding.batching import batches_by_tokens, halves
from ingestion.embedding.lexical_weights import lexical_weights, unused_ids
from ingestion.embedding.tokenizer import Tokeniser, usable_positions
from ingestion.exceptions import ChunkTooLarge, DeviceFailed, ModelError
from ingestion.types import IndexArray, ModelSpec, Vectors

if TYPE_CHECKING:
    import numpy.typing as npt

    from ingestion.embedding.cpu_threads import BatchExecutor
    from ingestion.embedding.packed_encoder import Encoder, Network, Stream, Transfer

TokenIds = IndexArray

# int8: attention is padded, hence few texts at once (8 700 tokens/s at 512, 7 400 at 1 024, 5 600 at 4 096).
BATCH_TOKENS = {"cpu": 1024, "int8": 512, "cuda": 16_384, "mps": 4096}
# Batches handed to the device, or to each of a CPU's lanes, before the first one's result is awaited: one computes, one
# waits behind it while the results of the one before are taken apart here.
IN_FLIGHT = {"cpu": 2, "cuda": 3, "mps": 1}
MODEL_MAX_TOKENS = 8192
HALF = {"float16", "bfloat16"}


@dataclass(frozen=True, slots=True)
class EmbedderFigures:
    """Since the model was loaded. ``padded_tokens``: all that the network was given, padding included."""

    texts: int = 0
    tokens: int = 0
    padded_tokens: int = 0
    seconds: float = 0.0  # in which the device had work
    peak_bytes: int = 0  # of the device's memory; 0 on a CPU


@dataclass(eq=False)
class Running:
    """A batch on the device, or done and not yet taken."""

    batch: list[int]
    stream: Stream
    started: float
    result: Future[Transfer]


class Embedder:
    """One loaded model. Safe to share between threads: one forward pass is started at a time, and whoever comes while
    another one's texts are embedded starts when the last of those has been, so that the device does not pause."""

    def __init__(
        self, network: Network, tokenizer: Any, device: str, batch_tokens: int, in_flight: int, lanes: BatchExecutor
    ) -> None:
        self.device = device
        self.batch_tokens = batch_tokens
        self.in_flight = in_flight * lanes.count
        self.lanes = lanes
        self.network = network
        self.tokenizer = tokenizer
        self.dimension = int(network.config.hidden_size)
        self.max_tokens = usable_positions(network.config, MODEL_MAX_TOKENS)
        self.unused_ids = unused_ids(tokenizer)
        self._tokeniser = Tokeniser(tokenizer.backend_tokenizer, self.max_tokens)
        self._figures = EmbedderFigures()
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._busy_until = 0.0

    def embed(self, texts: Sequence[str]) -> list[Vectors]:
        """All vectors, in the order of ``texts``."""
        found: dict[int, Vectors] = {}
        for positions, vectors in self.embed_tokens(self.tokenise(texts)):
            found.update(zip(positions, vectors, strict=True))
        return [found[i] for i in range(len(texts))]

    def tokenise(self, texts: Sequence[str]) -> list[TokenIds]:
        """The ids of each, special tokens included, cut to ``max_tokens``. Needs neither lock nor device."""
        return self._tokeniser(texts)

    def embed_tokens(self, ids: Sequence[TokenIds]) -> Iterator[tuple[list[int], list[Vectors]]]:
        """Yield (positions in ``ids``, their vectors) as each batch is done, longest texts first.

        Raises ChunkTooLarge for the first text that exhausts the memory alone, when all others are done, and
        DeviceFailed when the device cannot be used any more in this process.
        """
        refused: list[ChunkTooLarge] = []
        running: deque[Running] = deque()
        batches = list(batches_by_tokens([len(i) for i in ids], self.batch_tokens, self.lanes.count))
        start = self.lanes.start if len(batches) > 1 else self.lanes.start_alone
        try:
            with self._turn:
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

    def check(self) -> None:
        """Embed a word for real. Raises DeviceFailed when nothing sensible comes back."""
        dense = self.embed(["health"])[0].dense
        if not abs(float(np.linalg.norm(dense)) - 1) < 0.01:
            raise DeviceFailed(f"The model on {self.device} answers with a vector that is not of unit length.")

    def figures(self) -> EmbedderFigures:
        return self._figures

    def _start(self, ids: Sequence[TokenIds], batch: list[int], start: Callable[..., Future[Transfer]]) -> Running:
        from ingestion.embedding.packed_encoder import Stream

        stream = Stream.of([ids[i] for i in batch])
        with self._lock:
            return Running(batch, stream, time.perf_counter(), start(self._run, stream))

    def _run(self, stream: Stream) -> Transfer:
        from ingestion.embedding.packed_encoder import Transfer

        return Transfer(self.network(stream))

    def _finished(
        self, ids: Sequence[TokenIds], running: Running, refused: list[ChunkTooLarge]
    ) -> Iterator[tuple[list[int], list[Vectors]]]:
        """The batch's vectors; those of its halves, one after the other, when it exhausted the memory."""
        if (packed := self._waited(running)) is not None:
            yield running.batch, self._vectors(running, packed)
            return
        if len(running.batch) == 1:
            refused.append(self._too_large(ids, running.batch[0]))
            return
        for half in halves(running.batch):
            yield from self._finished(ids, self._start(ids, half, self.lanes.start_alone), refused)

    def _waited(self, running: Running) -> npt.NDArray[np.float32] | None:
        """None when memory was exhausted, and is free again."""
        from ingestion.embedding import packed_encoder

        with device_errors(self.device):
            try:
                return running.result.result().wait()
            except RuntimeError as error:
                if not packed_encoder.is_out_of_memory(error):
                    raise
                traceback.clear_frames(error.__traceback__)  # they hold the failed batch
        packed_encoder.free_memory(self.device)
        return None

    def _too_large(self, ids: Sequence[TokenIds], position: int) -> ChunkTooLarge:
        return ChunkTooLarge(
            f"A text of {len(ids[position])} tokens alone exhausts the memory of {self.device}. "
            "Lower CHUNK_TOKENS, or use a device with more memory.",
            position,
        )

    def _vectors(self, running: Running, packed: npt.NDArray[np.float32]) -> list[Vectors]:
        """Take a batch's result apart."""
        stream, rows = running.stream, len(running.batch)
        self._count(running)
        dense, weights = packed[: rows * self.dimension], packed[rows * self.dimension :]
        words = np.where(np.isin(stream.ids, self.unused_ids), np.float32(0), weights)
        lexical = lexical_weights(stream.ids, words, stream.lengths)
        return [Vectors(d, i, w) for d, (i, w) in zip(dense.reshape(rows, -1), lexical, strict=True)]

    def _count(self, running: Running) -> None:
        """Batches in flight overlap: time counts once."""
        from ingestion.embedding.packed_encoder import peak_bytes

        tokens = int(running.stream.lengths.sum())
        with self._lock:
            now, before = time.perf_counter(), self._figures
            self._figures = EmbedderFigures(
                texts=before.texts + len(running.batch),
                tokens=before.tokens + tokens,
                padded_tokens=before.padded_tokens + len(running.stream.filled().ids),
                seconds=before.seconds + now - max(running.started, self._busy_until),
                peak_bytes=peak_bytes(self.device),
            )
            self._busy_until = now


@contextmanager
def device_errors(device: str) -> Iterator[None]:
    """After an error in the middle of a computation nothing on the device can be relied on."""
    try:
        yield
    except RuntimeError as error:
        raise DeviceFailed(f"The model failed on {device}: {error}. The process has to be replaced.") from error


def configured_model() -> ModelSpec:
    return ModelSpec(settings.MODEL_PATH, settings.EMBED_POOLING, settings.EMBED_DIMENSION)


@functools.cache
def load_model(device: str = "auto", model: ModelSpec | None = None) -> Embedder:
    """A model, by default the configured one, on ``device`` ("auto", "cpu", "cuda:0", "mps"), loaded once per process.

    Raises ModelError when it is missing, damaged or of another dimension than it should have, and when the device
    cannot be had or does not do ``EMBED_DTYPE``.
    """
    place = resolve_device(device)
    dtype = resolve_dtype(place, wanted_dtype(device))
    # A web process that embeds questions elsewhere must not compile for minutes.
    compiled = settings.EMBED_COMPILE and device == settings.EMBED_DEVICE
    return read_model(place, model or configured_model(), dtype, compiled=compiled)


def read_model(place: str, spec: ModelSpec, dtype: str, *, compiled: bool = False) -> Embedder:
    """The model on exactly this device and in this precision, not shared with other callers."""
    from ingestion.embedding import model_loader
    from ingestion.embedding.cpu_threads import lanes_of
    from ingestion.embedding.packed_encoder import Network, tune

    model, tokenizer = model_loader.read(spec, place, dtype)
    kind = place.partition(":")[0]
    tune(kind, fp16_accumulation=settings.EMBED_FP16_ACCUMULATION)
    lanes = lanes_of(kind)
    embedder = Embedder(
        Network(encoder(model.model, dtype, lanes.count, compiled), model.sparse_linear, spec.pooling),
        tokenizer,
        place,
        settings.EMBED_BATCH_TOKENS or BATCH_TOKENS["int8" if dtype == "int8" else kind],
        IN_FLIGHT[kind],
        lanes,
    )
    if embedder.dimension != spec.dimension:
        raise ModelError(
            f"The model {spec.path} has {embedder.dimension} dimensions, EMBED_DIMENSION says "
            f"{spec.dimension}. Correct EMBED_DIMENSION or EMBED_MODEL."
        )
    return embedder


def encoder(module: Any, dtype: str, lanes: int, compiled: bool) -> Encoder:
    """What runs the model's layers."""
    if dtype == "int8":
        from ingestion.embedding.int8_encoder import Int8Layers

        return Int8Layers(module, lanes)
    from ingestion.embedding.packed_encoder import Layers

    return Layers(module, compiled=compiled)


def resolve_device(device: str) -> str:
    import torch

    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ModelError(f"{device} is asked for, but PyTorch finds no CUDA device. Set EMBED_DEVICE=cpu or auto.")
    if device != "auto":
        return device
    return "cuda:0" if torch.cuda.is_available() else "cpu"


def wanted_dtype(device: str) -> str:
    """EMBED_DTYPE is meant for EMBED_DEVICE; questions elsewhere are embedded in what suits that place."""
    own_place = device == settings.EMBED_DEVICE or settings.EMBED_DTYPE == "int8"
    return str(settings.EMBED_DTYPE) if own_place else "auto"


def resolve_dtype(device: str, wanted: str) -> str:
    """float16 on CUDA, float32 elsewhere, unless something else is wanted that the device does well."""
    on_cuda = device.startswith("cuda")
    if wanted == "auto":
        return "float16" if on_cuda else "float32"
    if wanted in HALF and device == "cpu":
        raise ModelError(
            f"EMBED_DTYPE={wanted} on a CPU is over 100 times slower than float32, for CPUs lack the instructions. "
            "Set EMBED_DTYPE=auto, or int8 for speed, or EMBED_DEVICE to a GPU."
        )
    if wanted == "int8" and device != "cpu":
        raise ModelError(f"EMBED_DTYPE=int8 is for CPUs, and the device is {device}. Set EMBED_DTYPE=auto.")
    return wanted
