"""How well retrieval finds known answers: in, BEIR's files of queries and answers; out, the field's measures per mode.

``queries`` are JSON lines of ``{"_id", "text"}``; ``qrels`` lines of query-id, corpus-id and relevance, divided by
tabs, below a header if there is one. A corpus-id is a document's address or, for a source of JSON lines, the ``_id`` of
its line. Only queries with a relevant document are asked. A document stands where the best of its passages stands,
and the measures are ir_measures': recall, reciprocal rank, nDCG (with relevance as gain) and average precision.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import unquote

from ingestion.models import Source
from search.exceptions import QuestionRefused
from search.forms import MODES
from search.questions import Passage, Question
from search.retrieval.retriever import retrieve
from search.timings import Timings

Qrels = Mapping[str, Mapping[str, int]]
# So many passages hold ten documents unless one document has most of the best passages.
PASSAGES = 100
CUTOFFS = (1, 3, 5, 10)


@dataclass(frozen=True, slots=True)
class ModeResult:
    """What one mode of search achieved: the measures are means over the queries, by name."""

    mode: str
    measures: dict[str, float]
    median_milliseconds: float

    def figures(self) -> dict[str, float]:
        """Return the measures and the time under the names that the command prints."""
        return {**self.measures, "p50_ms": self.median_milliseconds}


def read_queries(path: Path) -> dict[str, str]:
    """Return query-id -> question. Raises QuestionRefused with the line that cannot be used."""
    found = {}
    for number, line in enumerate(lines_of(path), 1):
        try:
            entry = json.loads(line)
            found[str(entry["_id"])] = str(entry["text"])
        except (ValueError, KeyError, TypeError) as error:
            raise QuestionRefused(f'{path}, line {number}: write {{"_id": "…", "text": "…"}} ({error}).') from error
    return found


def read_qrels(path: Path) -> dict[str, dict[str, int]]:
    """Return query-id -> corpus-id -> relevance, those above 0 only.

    Raises QuestionRefused with the line that cannot be used.
    """
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for number, line in enumerate(lines_of(path), 1):
        fields = line.split("\t")
        if number == 1 and not fields[-1].strip().isdecimal():
            continue
        if len(fields) != 3 or not fields[2].strip().lstrip("-").isdecimal():
            raise QuestionRefused(f"{path}, line {number}: write query-id, corpus-id and relevance, divided by tabs.")
        if int(fields[2]) > 0:
            found[fields[0]][fields[1]] = int(fields[2])
    return dict(found)


def lines_of(path: Path) -> Iterator[str]:
    """Yield the lines of a file that are not empty. Raises QuestionRefused where it cannot be read."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            yield from (stripped for line in file if (stripped := line.rstrip("\r\n")))
    except (OSError, UnicodeDecodeError) as error:
        raise QuestionRefused(f"{path} cannot be read: {error}.") from error


def evaluate(
    queries: Mapping[str, str], qrels: Qrels, *, source: str = "", modes: Iterable[str] = MODES
) -> Iterator[ModeResult]:
    """Yield the result of each mode. Raises QuestionRefused where no query has a relevant document."""
    asked = {query: text for query, text in queries.items() if query in qrels}
    if not asked:
        raise QuestionRefused("No query has a relevant document; do the ids of both files agree?")
    names = identifiers()
    for mode in modes:
        ranked, spent = {}, []
        for query, text in asked.items():
            timings = Timings()
            passages = retrieve(Question(text, source, PASSAGES, mode), timings)
            spent.append(timings.milliseconds()["total"])
            ranked[query] = rank(passages, qrels[query], names)
        yield ModeResult(mode, measures({query: qrels[query] for query in asked}, ranked), round(median(spent), 1))


def rank(passages: Iterable[Passage], relevant: Mapping[str, int], names: Mapping[str, str]) -> list[str]:
    """Return the documents in the order of their best passages, each under the name that ``relevant`` uses for it.

    A document's name is its address, its ``_id`` in ``names``, or the ``_id`` in ``jsonl:<file>#<_id>``.
    """

    def name_of(address: str) -> str:
        if address in relevant:
            return address
        if named := names.get(address):
            return named
        return unquote(address.partition("#")[2]) if address.startswith("jsonl:") else address

    return list(dict.fromkeys(name_of(passage.url) for passage in passages))


def identifiers() -> dict[str, str]:
    """Return address -> ``_id`` of those lines of JSON that have a web address, which is then their documents'."""
    found: dict[str, str] = {}
    for target in Source.objects.filter(kind=Source.Kind.JSONL).values_list("target", flat=True):
        for line in lines_of(Path(target)):
            with suppress(ValueError, KeyError, TypeError):
                entry = json.loads(line)
                found.setdefault(str(entry["url"]), str(entry["_id"]))
    return found


def measures(qrels: Qrels, ranked: Mapping[str, list[str]]) -> dict[str, float]:
    """Return the measures of ``ranked``, which has each query's documents from the best on, as means by name."""
    import ir_measures
    from ir_measures import AP, RR, R, nDCG

    wanted: dict[str, Any] = {f"recall@{k}": R @ k for k in CUTOFFS}
    wanted |= {"mrr@10": RR @ 10, "ndcg@10": nDCG @ 10, "map": AP}
    scores = {query: {name: -float(at) for at, name in enumerate(names)} for query, names in ranked.items()}
    found = ir_measures.calc_aggregate(wanted.values(), qrels, scores)
    return {name: round(found[measure], 4) for name, measure in wanted.items()}
