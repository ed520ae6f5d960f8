"""`manage.py benchmark embed`: tokens a second beside FlagEmbedding and sentence-transformers on the same texts.

All read the same model folder in the same precision, from texts to vectors. Each works once in every round, so that
whatever else the machine does slows down all of them; a figure is the median of its rounds. FlagEmbedding and
sentence-transformers are tried with several batch sizes first, and the best two of each take part.
"""

from __future__ import annotations

import io
import os
import statistics
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings
from rich.table import Table

from ingestion.benchmarks import corpus, random_weights
from ingestion.benchmarks.floor import flop, matrix_rate
from ingestion.benchmarks.peers import flagembedding, sentence_transformers
from ingestion.chunking.chunker import chunk, load_tokenizer
from ingestion.embedding.embedder import Embedder
from ingestion.embedding.loading import configured_model, read_model, resolve_device, resolve_dtype, wanted_dtype
from ingestion.pipeline.report.preview import fetch_and_extract
from ingestion.types import Json, ModelSpec, SourceSpec, Vectors, embedding_text

Say = Callable[[str], None]
Pages = list[list[str]]

BATCH_SIZES = {"cpu": (4, 8, 16, 32, 64), "cuda": (32, 64, 128, 256, 512), "mps": (8, 16, 32, 64)}
FINALISTS = 2
WARM_UP_TEXTS = 32


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of ``run`` to the parser."""
    parser.add_argument("--texts", type=int, default=300, metavar="N", help="chunks to embed (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="of which the median is taken")
    parser.add_argument("--docs", type=Path, metavar="FOLDER", help="instead of Django's documentation")
    parser.add_argument(
        "--random-weights",
        nargs="?",
        const="full",
        choices=list(random_weights.SHAPES),
        help="with a checkpoint of BGE-M3's size and random weights, or a small one; it stays in DATA_DIR/models, and "
        "EMBED_MODEL can name it",
    )
    parser.add_argument("--compiled", action="store_true", help="ours with EMBED_COMPILE, too")
    parser.add_argument(
        "--fp16-accumulation", action="store_true", help="ours with EMBED_FP16_ACCUMULATION, too (CUDA)"
    )


def run(options: Json, say: Say) -> Json:
    """Measure with the options of ``add_arguments`` and return the figures that ``table`` shows."""
    folder = corpus.folder_of(options["docs"])
    spec = configured_model()
    if shape_name := options["random_weights"]:  # made when it is not there yet
        shape = random_weights.SHAPES[shape_name]
        target = Path(settings.DATA_DIR) / "models" / f"random-{shape_name}"
        say(f"random weights in {target}")
        random_weights.assemble(target, shape, [file.read_text(errors="replace") for file in corpus.files(folder)])
        spec = ModelSpec(str(target), "cls", shape.hidden)
    say(f"cutting {options['texts']} chunks of {folder}")
    pages = pages_of(folder, spec, options["texts"])
    race = Race(spec, pages, say)
    race.enter_ours(compiled=options["compiled"], fp16_accumulation=options["fp16_accumulation"])
    race.enter_peers()
    race.run(options["rounds"])
    return race.figures() | {"corpus": {"folder": str(folder), "texts": len(race.texts), "tokens": race.tokens}}


def pages_of(folder: Path, spec: ModelSpec, texts: int) -> Pages:
    """Return, page by page, what the model reads of pages drawn at random from the folder: ``texts`` texts at most."""
    tokenizer, source = load_tokenizer(spec.path), SourceSpec("files", str(folder))
    files = corpus.files(folder)
    pages: Pages = []
    for drawn in np.random.default_rng(random_weights.SEED).permutation(len(files)):
        if sum(map(len, pages)) >= texts:
            break
        extracted = fetch_and_extract(source, files[drawn].resolve().as_uri())
        found = chunk(extracted, tokenizer=tokenizer, max_tokens=settings.CHUNK_TOKENS)
        left = texts - sum(map(len, pages))
        pages.append([embedding_text(part.heading, part.shown) for part in found[:left]])
    return pages


@dataclass
class Contender:
    """Something to be measured: ``work`` embeds all texts; ``seconds`` has one figure a round."""

    name: str
    work: Callable[[], object]
    batch_size: int = 0
    seconds: list[float] = field(default_factory=list)

    def time(self) -> float:
        """Embed all texts once and return the seconds that it took."""
        started = time.perf_counter()
        with redirect_stderr(io.StringIO()):  # FlagEmbedding's progress bars
            self.work()
        return time.perf_counter() - started

    def median(self) -> float:
        """Return the median of the seconds of all rounds."""
        return statistics.median(self.seconds)


class Race:
    """Contenders that embed the same texts, round by round."""

    def __init__(self, spec: ModelSpec, pages: Pages, say: Say) -> None:
        self.spec, self.pages, self.say = spec, pages, say
        self.texts = [text for page in pages for text in page]
        self.device = resolve_device(settings.EMBED_DEVICE)
        self.kind = self.device.partition(":")[0]
        wanted = wanted_dtype(settings.EMBED_DEVICE)
        self.dtype = resolve_dtype(self.device, "auto" if wanted == "int8" else wanted)
        self.contenders: list[Contender] = []
        self.exact = self._loaded(self.dtype)
        self.lengths = np.array([len(ids) for ids in self.exact.tokenise(self.texts)])
        self.tokens = int(self.lengths.sum())
        self.quality: Json = {}

    def enter_ours(self, *, compiled: bool, fp16_accumulation: bool) -> None:
        """Add this project's embedder to the contenders, and the variants that the options and the device allow."""
        self._enter("ours", lambda: self.exact.embed(self.texts))
        if self.kind == "cpu":
            self._enter_alike("int8", self._loaded("int8"))
        if compiled:
            self._enter_alike("compiled", self._loaded(self.dtype, compiled=True))
        if fp16_accumulation and self.kind == "cuda":
            self._enter("fp16_accumulation", self._accumulated)

    def enter_peers(self) -> None:
        """Add FlagEmbedding, with all texts at once and page by page, and sentence-transformers to the contenders."""
        theirs = flagembedding(self.spec, self.device, self.dtype)
        read = {"return_dense": True, "return_sparse": True, "max_length": self.exact.max_tokens}
        found = theirs.encode(self.texts[:WARM_UP_TEXTS], **read)
        self.quality["flagembedding"] = agreement(self.exact.embed(self.texts[:WARM_UP_TEXTS]), found["dense_vecs"])
        self._enter_best("flagembedding", lambda size: theirs.encode(self.texts, batch_size=size, **read))
        self._enter("flagembedding_per_page", lambda: [theirs.encode(page, **read) for page in self.pages if page])
        other = sentence_transformers(self.spec, self.device, self.dtype, self.exact.max_tokens)
        self._enter_best(
            "sentence_transformers", lambda size: other.encode(self.texts, batch_size=size, show_progress_bar=False)
        )

    def run(self, rounds: int) -> None:
        """Measure every contender once a round, after a first time that does not count."""
        for each in self.contenders:
            each.time()
        for number in range(rounds):
            self.say(f"round {number + 1} of {rounds}")
            for each in self.contenders:
                each.seconds.append(each.time())

    def figures(self) -> Json:
        """Return the speed of the best contender of each name, the ratios, and our share of the device's limit."""
        best: dict[str, Contender] = {}
        for each in self.contenders:
            if each.name not in best or each.median() < best[each.name].median():
                best[each.name] = each
        speeds = {
            name: {
                "tokens_per_second": round(self.tokens / each.median()),
                "rounds": [round(self.tokens / seconds) for seconds in each.seconds],
                "batch_size": each.batch_size,
            }
            for name, each in best.items()
        }
        flops, rate = flop(self.exact.network.config, self.lengths), matrix_rate(self.exact)
        share = round(flops / rate / best["ours"].median(), 3)
        return {
            **speeds,
            "ratios": {
                f"{name}/{peer}": round(best[peer].median() / best[name].median(), 2)
                for name in ("ours", "int8", "compiled", "fp16_accumulation")
                for peer in ("flagembedding", "flagembedding_per_page", "sentence_transformers")
                if name in best
            },
            "padding_overhead": self._padding(best["flagembedding"].batch_size),
            "quality": self.quality,
            "limit": {"flop": flops, "matrix_flop_per_second": rate, "share": share},
            "machine": {
                "device": self.device,
                "dtype": self.dtype,
                "cores": os.cpu_count(),
                "load": os.getloadavg()[0],
            },
            "model": self.spec.path,
        }

    def _loaded(self, dtype: str, *, compiled: bool = False) -> Embedder:
        """Return the race's model, loaded anew on its device in the precision ``dtype``. Raises ModelError."""
        return read_model(self.device, self.spec, dtype, compiled=compiled)

    def _enter(self, name: str, work: Callable[[], object], batch_size: int = 0) -> None:
        """Add a contender whose ``work`` embeds all texts; ``batch_size`` is only shown, 0 where it has none."""
        self.contenders.append(Contender(name, work, batch_size))

    def _enter_alike(self, name: str, embedder: Embedder) -> None:
        """Add a variant of our embedder to the contenders, and note how near its vectors are to the exact ones."""
        some = self.texts[:: max(1, len(self.texts) // 100)]
        dense = [each.dense for each in embedder.embed(some)]
        self.quality[name] = agreement(self.exact.embed(some), dense)
        self._enter(name, lambda: embedder.embed(self.texts))

    def _enter_best(self, name: str, work: Callable[[int], object]) -> None:
        """Add ``work``, which takes a batch size, to the contenders with the FINALISTS sizes fastest at first try."""
        tried = [Contender(name, lambda size=size: work(size), size) for size in BATCH_SIZES[self.kind]]  # type: ignore[misc]
        self.say(f"{name}: batch sizes {', '.join(str(each.batch_size) for each in tried)}")
        tried[0].time()
        self.contenders += sorted(tried, key=Contender.time)[:FINALISTS]

    def _accumulated(self) -> None:
        """Embed all texts with sums of matrix products in float16, then set PyTorch back to EMBED_FP16_ACCUMULATION.

        The setting is PyTorch's for the whole process, and is not set back when embedding fails.
        """
        import torch

        torch.backends.cuda.matmul.allow_fp16_accumulation = True
        self.exact.embed(self.texts)
        torch.backends.cuda.matmul.allow_fp16_accumulation = settings.EMBED_FP16_ACCUMULATION

    def _padding(self, batch_size: int) -> Json:
        """Return what is computed beyond the texts' tokens, as a share of them.

        FlagEmbedding sorts the texts, longest first, makes every text of a batch as long as its longest, and runs the
        first batch twice.
        """
        ours = self.exact.figures()
        longest_first = np.sort(self.lengths)[::-1]
        starts = range(0, len(longest_first), batch_size)
        theirs = sum(int(longest_first[start]) * min(batch_size, len(longest_first) - start) for start in starts)
        probe = int(longest_first[0]) * min(batch_size, len(longest_first))
        return {
            "ours": round(ours.padded_tokens / ours.tokens - 1, 3),
            "flagembedding": round((theirs + probe) / self.tokens - 1, 3),
        }


def agreement(ours: Sequence[Vectors], dense: Sequence[Any]) -> Json:
    """Return the least and the mean cosine between our dense vectors and another's of the same texts."""
    cosines = [float(a.dense @ np.asarray(b, np.float32)) for a, b in zip(ours, dense, strict=True)]
    return {"least_cosine": round(min(cosines), 5), "mean_cosine": round(statistics.fmean(cosines), 5)}


def table(figures: Json) -> Iterator[Table]:
    """Yield tables that show the figures of ``run`` to people."""
    read, machine, limit = figures["corpus"], figures["machine"], figures["limit"]
    shown = Table(
        title=f"{read['texts']} texts, {read['tokens']} tokens, {machine['device']} {machine['dtype']}, "
        f"{machine['cores']} cores, load {machine['load']:.1f}"
    )
    for heading in ("", "tokens/s", "rounds", "batch"):
        shown.add_column(heading, justify="right" if heading else "left")
    for name, each in figures.items():
        if isinstance(each, dict) and "tokens_per_second" in each:
            rounds = " ".join(map(str, each["rounds"]))
            shown.add_row(name, str(each["tokens_per_second"]), rounds, str(each["batch_size"] or ""))
    shown.caption = f"{limit['share']:.0%} of what a bare matrix product reaches here"
    yield shown
    shown = Table("", "times as fast", title="ratios of the medians")
    for name, ratio in figures["ratios"].items():
        shown.add_row(name, f"{ratio:.2f}")
    for name, share in figures["padding_overhead"].items():
        shown.add_row(f"computed beyond the tokens, {name}", f"{share:+.1%}")
    for name, cosines in figures["quality"].items():
        shown.add_row(f"cosine of ours to {name}", f"{cosines['least_cosine']:.5f}, mean {cosines['mean_cosine']:.5f}")
    yield shown
