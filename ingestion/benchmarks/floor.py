"""The embedder alone on the chunks that a stack has indexed: ``python -m ingestion.benchmarks.floor``.

In: the database of the settings. Out, as JSON on standard output: the seconds that the loaded model takes for exactly
those texts, what the device's measured matrix rate would allow, and when the run passed its milestones.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import django
import numpy as np

from ingestion.types import Json, embedding_text

# As many rows as a batch has; on CUDA they saturate the card.
MATRIX_ROWS, MATRIX_SECONDS = {"cpu": 1024, "cuda": 4096, "mps": 4096}, 3.0
WARM_UP_TEXTS = 32


def floor() -> Json:
    """Embed the texts of the last run with the model alone, and return the figures of how long that took."""
    from django.conf import settings

    from ingestion.embedding.loading import load_model
    from ingestion.models import Chunk, Run

    started = time.perf_counter()
    embedder = load_model(settings.EMBED_DEVICE)
    loaded = time.perf_counter() - started
    # Each different text once: the pipeline embeds equal ones once, too.
    chunks = Chunk.objects.filter(document__run=Run.objects.order_by("-id").first(), state=Chunk.State.INDEXED)
    rows = chunks.order_by("id").values_list("digest", "heading", "text")
    texts = [embedding_text(heading, text) for heading, text in {d: (h, t) for d, h, t in rows}.values()]
    embedder.embed(texts[:WARM_UP_TEXTS])
    started, worked = time.perf_counter(), time.process_time()
    embedder.embed(texts)
    seconds, worked = time.perf_counter() - started, time.process_time() - worked
    lengths = np.array([len(ids) for ids in embedder.tokenise(texts)])
    return {
        "seconds": round(seconds, 2),
        "chunks": len(texts),
        "tokens": int(lengths.sum()),
        "tokens_per_second": round(float(lengths.sum()) / seconds),
        "processor_seconds": {"embedder": round(worked, 1)},
        "load_seconds": round(loaded, 1),
        "device": embedder.device,
        "limit": limit(embedder, lengths, seconds),
    }


def limit(embedder: Any, lengths: np.ndarray[Any, Any], seconds: float) -> Json:
    """Return what the device could do at best: every unpadded token at the rate of a bare matrix product.

    The figures are the work in FLOP, that rate, the seconds at it, and their share of the ``seconds`` measured.
    """
    work = float(flop(embedder.network.config, lengths))
    rate = matrix_rate(embedder)
    return {
        "flop": work,
        "matrix_flop_per_second": rate,
        "seconds": round(work / rate, 2),
        "share": round(work / rate / seconds, 3),
    }


def flop(config: Any, lengths: np.ndarray[Any, Any]) -> float:
    """Return the FLOP that an encoder needs for texts of these lengths in tokens.

    Per token and layer: 2·(4h² + 2h·i) for its matrices and 4·S·h for attention over S tokens.
    """
    hidden, inner, layers = int(config.hidden_size), int(config.intermediate_size), int(config.num_hidden_layers)
    matrices = 2 * layers * (4 * hidden**2 + 2 * hidden * inner) + 2 * hidden
    attention = 4 * layers * hidden * float((lengths.astype(float) ** 2).sum())
    return matrices * float(lengths.sum()) + attention


def matrix_rate(embedder: Any) -> float:
    """Return the FLOP a second of the model's largest matrix product where batches compute.

    It is the best of MATRIX_SECONDS, added up over the parallel batches of a CPU, and that of float32 where int8 runs.
    """
    asked = embedder.network.config, embedder.device, getattr(embedder.network, "head", None)
    rates = [embedder.executor.start(product_rate, *asked) for _ in range(embedder.executor.parallel)]
    rate: float = sum(rate.result() for rate in rates)
    return rate


def product_rate(config: Any, device: str, head: Any) -> float:
    """Return the best FLOP a second of the matrix product, measured for MATRIX_SECONDS in one of its threads."""
    import torch

    on_cpu = device == "cpu"
    if on_cpu:
        torch.set_num_threads(1)
    like: dict[str, Any] = {"device": device, "dtype": torch.float32 if on_cpu else head.weight.dtype}
    count = MATRIX_ROWS[device.partition(":")[0]]
    rows = torch.randn(count, config.hidden_size, **like)
    matrix = torch.randn(config.hidden_size, config.intermediate_size, **like)
    work: float = 2.0 * count * config.hidden_size * config.intermediate_size
    best, until = float("inf"), time.perf_counter() + MATRIX_SECONDS
    with torch.inference_mode():
        while time.perf_counter() < until:
            started = time.perf_counter()
            torch.matmul(rows, matrix)
            if rows.is_cuda:
                torch.cuda.synchronize()
            best = min(best, time.perf_counter() - started)
    return work / best


def timeline() -> Json:
    """Return the seconds from the start of the last run to its milestones."""
    from django.db.models import Max, Min

    from ingestion.models import Chunk, Document, Run

    run = Run.objects.order_by("-id").first()
    if run is None or run.finished_at is None:
        return {}
    pages = Document.objects.filter(run=run).aggregate(first=Min("started_at"), last=Max("started_at"))
    vectors = Chunk.objects.filter(document__run=run).aggregate(first=Min("buffered_at"), last=Max("buffered_at"))
    moments = {
        "first_page": pages["first"],
        "last_page": pages["last"],
        "first_vectors": vectors["first"],
        "last_vectors": vectors["last"],
        "finished": run.finished_at,
    }
    return {name: round((at - run.created_at).total_seconds(), 2) for name, at in moments.items() if at}


if __name__ == "__main__":
    django.setup()
    sys.stdout.write(json.dumps({"floor": floor(), "timeline": timeline()}))
