"""`manage.py benchmark query`: milliseconds of each stage of a search, and of the model beside sentence-transformers.

Questions go the way of a web process: into the queue for the model, each of a client of its own and none of them asked
before. They are short (those of the project's set), medium (five of these) or long (twenty-five). Each cell is a
length, a number of questions at once and an option; what it is measured with comes in turn, so that whatever else the
machine does slows down all alike. The index is that of the environment, or one of generated chunks in a data folder of
its own, which is removed again.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from argparse import ArgumentParser
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, median

import numpy as np
from django.conf import settings
from rich.table import Table

from ingestion.benchmarks import processes
from ingestion.models import Chunk
from ingestion.types import Json
from search.access.caller import OPERATOR
from search.evaluation.generated_index import generate
from search.evaluation.question_sets import DJANGO, read_queries
from search.exceptions import TooBusy
from search.forms import MODES, read_question
from search.retrieval import question_model
from search.retrieval.retriever import retrieve_queued
from search.timings import Timings

Say = Callable[[str], object]
LENGTHS = {"short": 1, "medium": 5, "long": 25}
AT_ONCE = (1, 8, 32)
LIMIT = 10
# What Milvus and the model do is not ours.
NOT_OURS = ("embed", "search", "rerank")
SHARES = {"p50": 50, "p95": 95, "p99": 99}


@dataclass(frozen=True, slots=True)
class Cell:
    """What is measured together: questions of one length, so many at once, under one option."""

    length: str
    at_once: int
    option: str = "hybrid"

    def fields(self) -> dict[str, str]:
        """Return the fields that the cell's option adds to a question: its mode, or nothing."""
        return {"mode": self.option} if self.option in MODES else {}


Spent = dict[Cell, dict[str, list[float]]]


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of ``run`` to the parser."""
    parser.add_argument("--chunks", type=int, default=0, metavar="N", help="measure on N generated chunks")
    parser.add_argument("--here", action="store_true", help="generate them into this index, which has to be empty")
    parser.add_argument("--questions", type=int, default=96, metavar="N", help="per cell (default: %(default)s)")
    parser.add_argument("--index-kinds", action="store_true", help="kinds of dense indexes beside exact search")
    parser.add_argument(
        "--beside-ingest", type=Path, metavar="DIR", help="also while this folder is ingested; with --chunks"
    )
    parser.add_argument("--no-peers", action="store_true", help="leave sentence-transformers out")


def run(options: Json, say: Say) -> Json:
    """Measure with the options of ``add_arguments`` and return the figures that ``table`` shows."""
    if options["chunks"] and not options["here"]:
        return on_generated_index(options, say)
    if options["chunks"]:
        say(f"generating {options['chunks']} chunks")
        generate(options["chunks"])
    before = os.getloadavg()[0]
    figures: Json = {"chunks": Chunk.objects.live().count()}
    figures["cells"] = asyncio.run(measured(cells(), options["questions"], say))
    if not options["no_peers"]:
        say("beside sentence-transformers")
        figures["peers"] = [beside_peer(count, options["questions"]) for count in (1, 8)]
    if options["index_kinds"]:
        from search.evaluation.index_kinds import compared

        figures["index_kinds"] = compared(say)
    return figures | {"machine": {"cores": os.cpu_count(), "load": [round(before, 2), round(os.getloadavg()[0], 2)]}}


def on_generated_index(options: Json, say: Say) -> Json:
    """Measure in a stack of its own with generated chunks, and beside an ingest if that is asked for.

    Raises BenchmarkError when there is nothing to ingest or a process fails.
    """
    if options["beside_ingest"] and not options["beside_ingest"].exists():
        raise processes.BenchmarkError(f"There is no {options['beside_ingest']}.")
    asked = ["manage.py", "benchmark", "query", "--json", "--questions", str(options["questions"])]
    extra = [name for name in ("--index-kinds", "--no-peers") if options[name[2:].replace("-", "_")]]
    with processes.own_services() as place, processes.stack(place):
        say(f"generating {options['chunks']} chunks and measuring")
        figures = processes.answer(place, *asked, *extra, "--chunks", str(options["chunks"]), "--here")
        if options["beside_ingest"]:
            say("measuring beside an ingest")
            ingest = [sys.executable, "manage.py", "ingest", str(options["beside_ingest"].resolve()), "--json"]
            with processes.running(ingest, place, "ingest") as ingesting:
                figures["beside_ingest"] = processes.answer(place, *asked, "--no-peers")["cells"]
                figures["ingest_ended_before"] = ingesting.poll() is not None
    return figures


def cells() -> list[Cell]:
    """Return what is measured: each length of question with each number at once, and each option on its own."""
    plain = [Cell(length, count) for length in LENGTHS for count in AT_ONCE]
    return plain + [Cell("short", 1, option) for option in (*MODES[1:], "asked before")]


async def measured(wanted: Sequence[Cell], questions: int, say: Say) -> list[Json]:
    """Ask so many questions in each cell, in rounds over all cells, and return the figures of each cell."""
    spent: Spent = {cell: defaultdict(list) for cell in wanted}
    refused = dict.fromkeys(wanted, 0)
    texts = {cell: asked_texts(cell, questions) for cell in wanted}
    await asyncio.gather(ask(Cell("short", 1), "the first one loads the model", "warm-up"))
    for at in range(0, questions, max(AT_ONCE)):
        say(f"questions {at + 1} to {min(at + max(AT_ONCE), questions)} of {questions}")
        for cell in wanted:
            part = texts[cell][at : at + max(AT_ONCE)]
            for start in range(0, len(part), cell.at_once):
                together = part[start : start + cell.at_once]
                for found in await asyncio.gather(*(ask(cell, text, str(n)) for n, text in enumerate(together))):
                    refused[cell] += found is None
                    for stage, milliseconds in (found or {}).items():
                        spent[cell][stage].append(milliseconds)
    return [figures_of(cell, spent[cell], refused[cell]) for cell in wanted]


def asked_texts(cell: Cell, count: int) -> list[str]:
    """Return ``count`` questions of the cell's length that no other cell asks.

    For the option "asked before" they are one question, repeated.
    """
    texts = [question.text for question in read_queries(DJANGO)]
    parts, name = LENGTHS[cell.length], f"{cell.option} {cell.at_once}"
    chance = np.random.default_rng(len(name))
    if cell.option == "asked before":
        return texts[:1] * count
    return [f"{name} {n}: {' '.join(texts[i] for i in chance.integers(len(texts), size=parts))}" for n in range(count)]


async def ask(cell: Cell, text: str, client: str) -> dict[str, float] | None:
    """Ask as a web process does. Return milliseconds per stage; None: refused."""
    timings = Timings()
    try:
        with timings.stage("parse"):
            fields = {"q": text[: settings.QUESTION_MAX_CHARS], **cell.fields()}
            question = read_question(fields, replace(OPERATOR, name=client), limit=LIMIT)
        await retrieve_queued(question, timings)
    except TooBusy:
        return None
    stages = timings.milliseconds()
    return stages | {"ours": round(stages["total"] - sum(stages.get(stage, 0.0) for stage in NOT_OURS), 1)}


def figures_of(cell: Cell, stages: dict[str, list[float]], refused: int) -> Json:
    """Return a cell's figures for --json: of each stage the mean and the percentiles."""
    found = {
        stage: {"mean": round(fmean(values), 1)}
        | {name: round(float(np.percentile(values, share)), 1) for name, share in SHARES.items()}
        for stage, values in stages.items()
    }
    return {"length": cell.length, "at_once": cell.at_once, "option": cell.option, "refused": refused, "stages": found}


def beside_peer(count: int, questions: int) -> Json:
    """Return the times of our embedder and sentence-transformers for ``count`` questions at once, taken in turn."""
    from ingestion.benchmarks.peers import sentence_transformers
    from ingestion.embedding.loading import load_model

    collection = question_model.searched_collection()
    ours = load_model(settings.QUERY_DEVICE, collection.spec(), questions=True)
    theirs = sentence_transformers(collection.spec(), ours.device, "float32", ours.max_tokens)
    texts = asked_texts(Cell("short", count, "peers"), count * (questions + 1))
    work: dict[str, Callable[[list[str]], object]] = {
        "ours": ours.embed,
        "theirs": lambda batch: theirs.encode(batch, show_progress_bar=False),
    }
    spent: dict[str, list[float]] = {"ours": [], "theirs": []}
    for n in range(0, len(texts), count):
        for name in sorted(work, reverse=bool(n // count % 2)):
            started = time.perf_counter()
            work[name](texts[n : n + count])
            spent[name].append(1000 * (time.perf_counter() - started))
    pairs = [a / b for a, b in zip(spent["ours"][1:], spent["theirs"][1:], strict=True)]
    p50 = {name: round(median(values[1:]), 1) for name, values in spent.items()}
    return {"at_once": count, "ours_p50": p50["ours"], "theirs_p50": p50["theirs"], "ratio": round(median(pairs), 2)}


def table(figures: Json) -> Iterator[Table]:
    """Yield the tables for people."""
    load = " to ".join(map(str, figures["machine"]["load"]))
    title = f"Milliseconds, {figures['chunks']:,} chunks; load {load}"
    yield cells_table(title, figures["cells"])
    if beside := figures.get("beside_ingest"):
        ended = " that ended before: take a larger folder" if figures["ingest_ended_before"] else ""
        yield cells_table(f"Beside an ingest{ended}", beside)
    if "peers" in figures:
        shown = Table("questions", "ours p50", "sentence-transformers p50", "ours to theirs", title="Embedding, ms")
        for each in figures["peers"]:
            shown.add_row(*(str(each[name]) for name in ("at_once", "ours_p50", "theirs_p50", "ratio")))
        yield shown
    if "index_kinds" in figures:
        shown = Table("kind", "recall@10", "p50 ms", "p95 ms", "build s", "refused", title="Kinds of dense indexes")
        for each in figures["index_kinds"]:
            columns = (each.get(name, "") for name in ("recall@10", "p50", "p95", "build_seconds", "refused"))
            shown.add_row(each["kind"], *map(str, columns))
        yield shown


def cells_table(title: str, cells: Sequence[Json]) -> Table:
    """Return a table with a line for each cell: p50 and p95 of each stage."""
    stages = list(dict.fromkeys(stage for cell in cells for stage in cell["stages"]))
    shown = Table("questions", "option", *(f"{stage}\np50  p95" for stage in stages), "refused", title=title)
    for cell in cells:
        figures = (cell["stages"].get(stage, {}) for stage in stages)
        spent = (f"{each['p50']:g}  {each['p95']:g}" if each else "" for each in figures)
        shown.add_row(f"{cell['at_once']} {cell['length']}", cell["option"], *spent, str(cell["refused"]))
    return shown
