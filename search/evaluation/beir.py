"""A folder in BEIR's form → the figures of `manage.py evaluate`, on an index of its own.

In: ``corpus.jsonl``, ``queries.jsonl`` and ``qrels/test.tsv``. A stack of its own, in a folder of its own, ingests the
corpus as any source and answers the queries as any reader's; the index that readers search is not touched. The folder
is removed at the end, unless one is named to be kept: there a second evaluation finds the index ready.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ingestion.benchmarks import processes
from ingestion.types import Json
from search.exceptions import QuestionRefused

FILES = ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv")


def evaluated(folder: Path, keep: Path | None, options: Sequence[str], say: Callable[[str], object]) -> Json:
    """Return the figures of a measurement in the format of BEIR: ingest the folder's corpus, then ask its queries.

    This runs in services of its own, whose folder ``keep`` names if they are to stay; ``options`` are passed on to
    ``manage.py evaluate``. Raises QuestionRefused when a file is missing, BenchmarkError when a process fails.
    """
    corpus, queries, qrels = (folder.resolve() / name for name in FILES)
    if missing := [str(path) for path in (corpus, queries, qrels) if not path.is_file()]:
        raise QuestionRefused(f"There is no {' and no '.join(missing)}; --beir names a folder with {', '.join(FILES)}.")
    with corpus.open("rb") as lines:
        documents = sum(1 for line in lines if line.strip())
    with processes.own_services(keep) as place, processes.stack(place):
        say(f"ingesting {documents} documents")
        ingest = ("ingest", str(corpus), "--max-pages", str(documents), "--json")
        ingested = processes.answer(place, "manage.py", *ingest)
        say("asking the queries")
        asked = ("evaluate", "--json", "--queries", str(queries), "--qrels", str(qrels), *options)
        figures = processes.answer(place, "manage.py", *asked)
    counts = {name: ingested[name] for name in ("documents", "chunks", "failed")}
    return {"ingested": counts, **figures}
