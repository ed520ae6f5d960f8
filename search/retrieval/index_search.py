"""Questions with their vectors → the passages that answer each, best first.

In: questions that are asked at the same time. Out: the passages of each, or why there are none: SearchError or
IngestionError. Milvus is asked in one request per channel for all that are searched in the same sources, the database
in one query; what a question finds does not depend on those beside it. They go in rounds: candidates of each channel,
fused, joined with their rows, folded; a question for which too few are left goes deeper in another round.

pymilvus is imported on first use only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from django.conf import settings

from ingestion.coordination import circuit_breaker
from ingestion.exceptions import CollectionMissing, VectorStoreUnavailable
from ingestion.models import Chunk
from ingestion.types import Hits, Vectors
from ragproject import span_attributes
from search.exceptions import IndexIncomplete
from search.questions import Passage
from search.retrieval import reranker
from search.retrieval.confirmed_hits import ConfirmedHits, stored_rows
from search.retrieval.corrections import is_meant
from search.retrieval.folding import folded
from search.retrieval.fusion import Pools
from search.retrieval.passages import passages_of
from search.retrieval.preparation import Asked, PreparedQuestion
from search.retrieval.query_vectors import HYBRID, channel_weights, fused, query_vectors

if TYPE_CHECKING:
    from ingestion.vector_store.store import QueryVectors, VectorStore

# Candidates of each channel, however few passages are asked for, so that the order does not depend on the limit. With
# 100 nDCG@10 on the questions about Django is .003 less.
POOL = 120
# Milvus answers at most 16 384 rows; long before that the rest is not worth an answer.
MAX_HITS = 1000
# Hits looked up beyond twice the limit, so that stale ones, copies and those of one page do not cost another query. Of
# 247 questions on Django's documentation, half need the rows of 15 hits for ten passages, one in twenty those of 39.
SPARE_HITS = 30


class EmbeddedQuestion(NamedTuple):
    """A question, where it is searched, and the vectors of its texts."""

    asked: Asked
    prepared: PreparedQuestion
    vectors: Sequence[Vectors]


@dataclass(eq=False)
class Search:
    """One question's search: what it asks the index for, and what it has found so far.

    ``queries`` are the vectors of each text, the question's first, once the collection's channels are known. ``ranked``
    has all candidates, best first, ``found_by`` the text that found one, where that is not the question itself. It has
    ended when there is an ``outcome``.
    """

    embedded: EmbeddedQuestion
    store: VectorStore
    queries: dict[str, QueryVectors] = field(default_factory=dict)
    depth: int = POOL
    found: dict[str, Pools] = field(default_factory=dict)
    ranked: Hits = field(default_factory=dict)
    found_by: dict[str, str] = field(default_factory=dict)
    outcome: list[Passage] | Exception | None = None

    def __post_init__(self) -> None:
        self.asked, self.prepared, self.vectors = self.embedded
        self.question, self.timings = self.asked.question, self.asked.timings
        self.confirmed = ConfirmedHits(self.question.caller, 2 * self.question.limit + SPARE_HITS)

    def ask_for(self, weights: Mapping[str, float]) -> None:
        """Make the vectors of the texts, for the channels that the collection holds."""
        self.queries = self.queries or {
            text: query_vectors(
                text, self.question.mode, vectors, self.store.channels, weights, self.prepared.frequencies
            )
            for text, vectors in zip(self.prepared.texts, self.vectors, strict=True)
        }

    def step(self, work: Callable[[], None]) -> None:
        """Do a part of the search in the question's context, unless it has ended; an error ends it, and no other."""
        if self.outcome is None:
            try:
                self.asked.context.run(work)
            except Exception as error:  # raised where the question is awaited
                self.outcome = error

    def rank(self, pools: Iterable[Pools]) -> None:
        """Put the candidates of this round behind those of the rounds before, whose order depends on nothing else.

        ``is_meant`` decides whether the corrected question or the original is dropped.
        """
        with self.timings.stage("fuse"):
            self.found = dict(zip(self.queries, pools, strict=True))
            text, meant = self.question.text, self.prepared.meant
            if meant in self.found and text in self.found:
                wrong = text if is_meant(self.found[meant], self.found[text]) else meant
                del self.found[wrong], self.queries[wrong]
            ranked, found_by = ranking(self.found, text, self.question.mode)
            self.found_by |= {key: found for key, found in found_by.items() if key not in self.ranked}
            self.ranked = self.ranked | ranked | self.ranked if self.ranked else ranked

    def conclude(self) -> None:
        """End the search with its passages, unless too few candidates have rows and there may be more of them."""
        question = self.question
        if question.rerank and question.mode == HYBRID and self.depth == POOL and reranker.configured():
            with self.timings.stage("rerank"):
                self.ranked = reranker.reranked_hits(next(iter(self.queries)), self.ranked, self.confirmed)
        with self.timings.stage("rows"):
            passages = passages_of(folded(self.confirmed.of(self.ranked), question.limit), self.found_by)
        exhausted = all(len(pool) < self.depth for pools in self.found.values() for pool in pools.values())
        if len(passages) >= question.limit or exhausted or self.depth >= MAX_HITS:
            self.end(passages)
        self.depth = min(4 * self.depth, MAX_HITS)

    def end(self, passages: list[Passage]) -> None:
        """End the search with these passages.

        Raises IndexIncomplete where there are none although chunks are in the index, or on their way: dense vectors are
        near or far, but some are nearest.
        """
        if not passages and any("dense" in query for query in self.queries.values()) and not self.question.path:
            states = (Chunk.State.INDEXED, *Chunk.PENDING)
            expected = Chunk.objects.filter(state__in=states, document__source__deleting=False)
            if self.prepared.selection.source_ids:
                expected = expected.filter(document__source__in=self.prepared.selection.source_ids)
            if expected.exists():
                raise IndexIncomplete(
                    "The index lacks passages that it should hold. It is being completed; please try again in a few "
                    "minutes."
                )
        self.outcome = passages


def find_each(embedded: Sequence[EmbeddedQuestion]) -> list[list[Passage] | Exception]:
    """Return the passages of each question, or the exception that it raised."""
    from ingestion.vector_store.store import open_store

    searches = []
    for each in embedded:
        collection = each.prepared.served.collection
        store = open_store(collection.name, collection.dimension, settings.SERVICE_TIMEOUT_SECONDS)
        searches.append(Search(each, store))
    return carried_out(searches)


def carried_out(searches: Sequence[Search]) -> list[list[Passage] | Exception]:
    """Go in rounds until all searches have ended, and return their outcomes."""
    while under_way := [search for search in searches if search.outcome is None]:
        alike = defaultdict(list)
        for search in under_way:
            alike[search.store.name, search.prepared.selection, search.depth].append(search)
        for group in alike.values():
            ask_index(group)
        read_rows(under_way)
        for search in under_way:
            search.step(search.conclude)
    return [search.outcome or [] for search in searches]


def ask_index(group: Sequence[Search]) -> None:
    """Ask the collection for the candidates of all searches, which ask the same of it, and rank those of each.

    What Milvus refuses is asked again for each search alone, so that none fails for another.
    """
    store, depth, weights = group[0].store, group[0].depth, channel_weights()
    try:
        with ExitStack() as stages, circuit_breaker.interactive():
            for search in group:
                search.asked.begin(stages, "search", lambda: span_attributes.retrieval(store.name, depth))
                search.ask_for(weights)
            queries = [query for search in group for query in search.queries.values()]
            pools = iter(store.search(queries, limit=depth, **asdict(group[0].prepared.selection)))
    except CollectionMissing:
        for search in group:
            search.step(partial(search.end, []))
    except Exception as error:  # raised where each question is awaited
        if len(group) > 1 and not isinstance(error, VectorStoreUnavailable):
            for search in group:
                ask_index([search])
        else:
            for search in group:
                search.outcome = error
    else:
        for search in group:
            search.step(partial(search.rank, [next(pools) for _ in search.queries]))


def read_rows(searches: Iterable[Search]) -> None:
    """Read the rows of the best hits of all searches that have not ended, in one query."""
    searches = [search for search in searches if search.outcome is None]
    try:
        with ExitStack() as stages:
            for search in searches:
                search.asked.begin(stages, "rows")
            unread = [search.confirmed.unread(search.ranked) for search in searches]
            rows = stored_rows({key for keys in unread for key in keys})
    except Exception as error:  # raised where each question is awaited
        for search in searches:
            search.outcome = error
    else:
        for search, keys in zip(searches, unread, strict=True):
            search.confirmed.keep(keys, rows)


def ranking(found: Mapping[str, Pools], question: str, mode: str) -> tuple[Hits, dict[str, str]]:
    """Return the candidates of all texts with their best scores, and which text found one so, if not the question."""
    hits = {
        text: fused(pools, text, channel_weights()) if mode == HYBRID else dict(chain(*map(dict.items, pools.values())))
        for text, pools in found.items()
    }
    if hits.keys() == {question}:
        return hits[question], {}
    ranked: Hits = {}
    found_by: dict[str, str] = {}
    of_all = ((key, score, text) for text, scores in hits.items() for key, score in scores.items())
    for key, score, text in sorted(of_all, key=lambda each: -each[1]):
        if key not in ranked:
            ranked[key] = score
            if text != question:
                found_by[key] = text
    return ranked, found_by
