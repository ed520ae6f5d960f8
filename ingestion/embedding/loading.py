"""The model of the settings, or another one, on a device → an ``Embedder``.

In: a path or hub id, a device and a precision. On a CPU the layers run in CTranslate2, from a copy that ``conversion``
keeps; elsewhere, and where they cannot be converted, in PyTorch, which is imported then: it takes ~7 s and hundreds of
MB. A process loads a model once.
"""

from __future__ import annotations

import functools
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings

from ingestion.coordination.device import may_have_gpu
from ingestion.embedding.cpu_threads import BatchExecutor, cores
from ingestion.embedding.embedder import Embedder
from ingestion.embedding.lexical_weights import unused_ids
from ingestion.embedding.malloc import keep_freed_memory
from ingestion.embedding.model_files import check, folder_of
from ingestion.exceptions import ModelError
from ingestion.types import ModelSpec

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from tokenizers import Tokenizer

    from ingestion.embedding.stream import Network

logger = logging.getLogger(__name__)

# int8: attention is padded, hence few texts at once (8 700 tokens/s at 512, 7 400 at 1 024, 5 600 at 4 096).
BATCH_TOKENS = {"cpu": 1024, "int8": 512, "cuda": 16_384, "mps": 4096}
# Batches started, on the device or in each of a CPU's threads, before the first one's result is awaited: one computes,
# one waits behind it while the results of the one before are read here.
IN_FLIGHT = {"cpu": 2, "cuda": 3, "mps": 1}
HALF = {"float16", "bfloat16"}


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
    """Return EMBED_DTYPE or, unless that is int8, "auto" on another device than EMBED_DEVICE (for questions)."""
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
