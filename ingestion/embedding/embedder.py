"""Texts → dense and sparse vectors, with BGE-M3's network through FlagEmbedding.

In: texts, or token ids made of them earlier. Out: one ``Vectors`` each, equal to FlagEmbedding's. Knows nothing of
rows, queues or Milvus. A CPU needs neither torch nor FlagEmbedding for it (``cpu_network``); elsewhere they are
imported when the model is loaded, which takes ~7 s and hundreds of MB.

The network and its weights are FlagEmbedding's; batching and post-processing are ours. Its ``encode`` runs the longest
batch twice, pads by count and walks token weights in Python; here a batch is one stream of tokens without padding,
bounded by tokens (``batching``), and on CUDA batches follow one another without waiting for the host.
"""

from __future__ import annotations

import functools
import json
import logging
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from django.conf import settings

from ingestion.coordination.device import may_have_gpu
from ingestion.embedding.batching import batches_by_tokens
from ingestion.embedding.cpu_threads import BatchExecutor, cores, run_here
from ingestion.embedding.lexical_weights import lexical_weights, unused_ids
from ingestion.embedding.malloc import keep_freed_memory
from ingestion.embedding.model_files import check, folder_of
from ingestion.embedding.stream import Stream
from ingestion.embedding.tokenizer import TextTokenizer, first_position
from ingestion.exceptions import ChunkTooLarge, DeviceFailed, ModelError
from ingestion.types import IndexArray, ModelSpec, Vectors

if TYPE_CHECKING:
    import numpy.typing as npt
    from tokenizers import Tokenizer

    from ingestion.embedding.stream import Network, Result

logger = logging.getLogger(__name__)

TokenIds = IndexArray

# int8: attention is padded, hence few texts at once (8 700 tokens/s at 512, 7 400 at 1 024, 5 600 at 4 096).
BATCH_TOKENS = {"cpu": 1024, "int8": 512, "cuda": 16_384, "mps": 4096}
# Batches started, on the device or in each of a CPU's threads, before the first one's result is awaited: one computes,
# one waits behind it while the results of the one before are read here.
IN_FLIGHT = {"cpu": 2, "cuda": 3, "mps": 1}
MODEL_MAX_TOKENS = 8192
HALF = {"float16", "bfloat16"}
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
        """Embed a word for real. Raises DeviceFailed when its vector is not of unit length."""
        dense = self.embed(["health"])[0].dense
        if not abs(float(np.linalg.norm(dense)) - 1) < 0.01:
            raise DeviceFailed(f"The model on {self.device} answers with a vector that is not of unit length.")

    def figures(self) -> EmbedderFigures:
        """Return the figures of all batches since the model was loaded."""
        return self._figures

    def _start(self, ids: Sequence[TokenIds], batch: list[int], start: Callable[..., Future[Result]]) -> RunningBatch:
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


def configured_model() -> ModelSpec:
    """Return the model that the settings name."""
    return ModelSpec(settings.MODEL_PATH, settings.EMBED_POOLING, settings.EMBED_DIMENSION)


@functools.cache
def load_model(device: str = "auto", model: ModelSpec | None = None, *, questions: bool = False) -> Embedder:
    """Return a model, by default the configured one, on ``device`` ("auto", "cpu", "cuda:0", "mps").

    ``questions``: it is for few texts at a time, each of which is waited for.
    It is loaded once per process. Raises ModelError when it is missing, damaged or of another dimension than it should
    have, and when the device cannot be had or does not do ``EMBED_DTYPE``.
    """
    resolved = resolve_device(device)
    dtype = resolve_dtype(resolved, wanted_dtype(device))
    # A web process that embeds questions elsewhere must not compile for minutes.
    compiled = settings.EMBED_COMPILE and device == settings.EMBED_DEVICE
    return read_model(resolved, model or configured_model(), dtype, compiled=compiled, questions=questions)


def read_model(
    device: str, spec: ModelSpec, dtype: str, *, compiled: bool = False, questions: bool = False
) -> Embedder:
    """Load a model on exactly this device and in this precision, not shared with other callers. Raises ModelError."""
    try:
        folder = folder_of(spec.path)
        check(folder, settings.EMBED_MODEL_SHA256 if spec.path == settings.MODEL_PATH else "")
        require_dimension(spec, json.loads((folder / "config.json").read_text()).get("hidden_size", spec.dimension))
        kind = device.partition(":")[0]
        loaded = on_cpu(folder, spec, dtype, questions=questions) if kind == "cpu" else None
        network, tokenizer, unused, executor = loaded or in_pytorch(folder, spec, device, dtype, compiled=compiled)
    except ModelError:
        raise
    except Exception as error:  # four libraries read files here, and their errors have nothing in common
        raise ModelError(
            f"The model {spec.path} cannot be loaded: {error}. Check EMBED_MODEL; without a "
            "connection to the model hub it must be a folder that holds the complete model."
        ) from error
    embedder = Embedder(
        network,
        tokenizer,
        unused,
        device,
        settings.EMBED_BATCH_TOKENS or BATCH_TOKENS["int8" if dtype == "int8" else kind],
        IN_FLIGHT[kind],
        executor,
    )
    require_dimension(spec, embedder.dimension)
    return embedder


def require_dimension(spec: ModelSpec, found: int) -> None:
    """Raise ModelError unless the model's vectors are as long as they should be; before gigabytes are read for it."""
    if found != spec.dimension:
        raise ModelError(
            f"The model {spec.path} has {found} dimensions, EMBED_DIMENSION says {spec.dimension}. Correct "
            "EMBED_DIMENSION or EMBED_MODEL, and start the workers again."
        )


# A network, its tokenizer, the ids of tokens without a lexical weight, and what runs batches.
Loaded = tuple["Network", "Tokenizer", "npt.NDArray[np.int64]", BatchExecutor]


def on_cpu(folder: Path, spec: ModelSpec, dtype: str, *, questions: bool) -> Loaded | None:
    """Return the model as CTranslate2 runs it; None where a model in float32 cannot be converted. Raises ModelError."""
    from tokenizers import Tokenizer

    from ingestion.embedding.conversion import NotConverted, converted
    from ingestion.embedding.cpu_network import CpuNetwork, configuration, question_threads, special_ids

    keep_freed_memory()
    try:
        copy = converted(folder, dtype)
    except NotConverted as error:
        if dtype != "float32":
            raise ModelError(f"{error} EMBED_DTYPE=auto does without.") from error
        logger.warning("%s Until the next start PyTorch runs it, which is slower.", error)
        return None
    threads = question_threads(configuration(copy), dtype, cores()) if questions else 1
    executor = BatchExecutor(cores() // threads)
    network = CpuNetwork(copy, dtype, spec.pooling, parallel=executor.parallel, threads=threads)
    return network, Tokenizer.from_file(str(copy / "tokenizer.json")), special_ids(copy), executor


def in_pytorch(folder: Path, spec: ModelSpec, device: str, dtype: str, *, compiled: bool) -> Loaded:
    """Return the model as PyTorch runs it, with all cores in each operation on a CPU."""
    import torch

    from ingestion.embedding import model_loader
    from ingestion.embedding.packed_encoder import Layers, TorchNetwork

    if device.startswith("cuda"):
        torch.backends.cuda.matmul.allow_fp16_accumulation = settings.EMBED_FP16_ACCUMULATION
    model, tokenizer = model_loader.load(folder, device, dtype)
    layers = Layers(model.model, compiled=compiled)
    network = TorchNetwork(layers, model.sparse_linear, model.colbert_linear, spec.pooling)
    return network, tokenizer.backend_tokenizer, unused_ids(tokenizer), BatchExecutor(1)


def resolve_device(device: str) -> str:
    """Return the device that "auto" means here.

    Raises ModelError when CUDA is asked for and there is none, and when PyTorch does not load: it wants room for
    temporary files.
    """
    if device == "cpu" or (device == "auto" and not may_have_gpu()):
        return "cpu"
    try:
        import torch
    except OSError as error:
        raise ModelError(f"PyTorch cannot be loaded: {error}. Make room on the disks of this machine.") from error

    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ModelError(f"{device} is asked for, but PyTorch finds no CUDA device. Set EMBED_DEVICE=cpu or auto.")
    if device != "auto":
        return device
    return "cuda:0" if torch.cuda.is_available() else "cpu"


def wanted_dtype(device: str) -> str:
    """Return EMBED_DTYPE for EMBED_DEVICE, and "auto" for questions on another device, unless it is int8."""
    is_embed_device = device == settings.EMBED_DEVICE or settings.EMBED_DTYPE == "int8"
    return str(settings.EMBED_DTYPE) if is_embed_device else "auto"


def resolve_dtype(device: str, wanted: str) -> str:
    """Return the precision: for "auto" float16 on CUDA and float32 elsewhere, else the wanted one.

    Raises ModelError when the device does not do that well.
    """
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
