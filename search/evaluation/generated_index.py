"""An index of generated chunks, for measuring.

In: how many chunks. Out: rows in the database and in Milvus that the environment names, as if they had been ingested,
with all three channels. Dense vectors lie in clusters, as those of documentation do, and words are as frequent as words
are (Zipf); the words of the questions that are asked are among the frequent ones. Not for a database with documents of
its own: it is refused.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from django.conf import settings
from django.utils import timezone

from ingestion.models import Chunk, Collection, Document, Source, TermFrequencies
from ingestion.types import EmbeddedChunk, FloatArray, Vectors
from ingestion.vector_store.store import open_store
from ingestion.words.terms import tokens
from ingestion.words.weights import chunk_weights
from search.evaluation.question_sets import DJANGO, read_queries
from search.exceptions import QuestionRefused

NAME = "generated"
# As the chunks of Django's documentation are: 120 words on average, 12 chunks a page, 70 different tokens.
WORDS, CHUNKS_PER_DOCUMENT, SPARSE_TOKENS = 120, 12, 70
VOCABULARY = 30_000
# A vector lies as far from its cluster's middle as two passages on one subject: cosine about 0.7.
CHUNKS_PER_CLUSTER, SPREAD = 50, 0.9
SEED, ROWS_AT_ONCE = 1, 100 * CHUNKS_PER_DOCUMENT


def generate(count: int) -> None:
    """Write ``count`` made-up chunks to the database and Milvus, in a collection of their own.

    Raises QuestionRefused where there are documents already.
    """
    if Document.objects.exists():
        raise QuestionRefused("There are documents already; generated chunks belong into a DATA_DIR of their own.")
    collection = Collection.objects.create(
        name=f"{settings.MILVUS_COLLECTION}_{NAME}", model=settings.MODEL_PATH, pooling=settings.EMBED_POOLING,
        dimension=settings.EMBED_DIMENSION, active=True,
    )  # fmt: skip
    store = open_store(collection.name, collection.dimension)
    store.ensure()
    frequencies: Counter[int] = Counter()
    for part in parts(count):
        store.upsert(part)
        for chunk in part:
            frequencies.update(chunk.words.terms.tolist())
    terms = np.array(sorted(frequencies), np.uint32)
    TermFrequencies.objects.create(
        chunks=count, sampled=count, terms=terms.tobytes(), counted_at=timezone.now(),
        counts=np.array([frequencies[int(term)] for term in terms], np.uint32).tobytes(),
    )  # fmt: skip


def parts(count: int) -> Iterator[list[EmbeddedChunk]]:
    """Write the rows of ``count`` made-up chunks in batches, and yield each batch with vectors for Milvus."""
    chance, words = np.random.default_rng(SEED), vocabulary()
    share = 1 / np.arange(2, len(words) + 2)
    share /= share.sum()
    middles = chance.standard_normal((max(1, count // CHUNKS_PER_CLUSTER), settings.EMBED_DIMENSION), np.float32)
    source = Source.objects.create(name=NAME, kind=Source.Kind.FILES, target=f"/{NAME}")
    for start in range(0, count, ROWS_AT_ONCE):
        size = min(ROWS_AT_ONCE, count - start)
        drawn = chance.choice(len(words), (size, WORDS), p=share)
        texts = [" ".join(words[n] for n in row) + "." for row in drawn]
        dense = unit_vectors(chance, middles, size)
        rows = write_rows(source, start, texts)
        yield [
            EmbeddedChunk(
                key=row.key, chunk_id=row.pk, document_id=row.document_id, source_id=source.pk, url=row.document.url,
                title=row.document.title, heading=row.heading, position=row.position, text=row.text,
                vectors=Vectors(vector, *sparse(chance, len(words))),
                words=chunk_weights(row.text, row.heading, row.document.title),
            )
            for row, vector in zip(rows, dense, strict=True)
        ]  # fmt: skip


def vocabulary() -> list[str]:
    """Return words, the most frequent first: those of the questions, then made-up ones."""
    asked = Counter(token for question in read_queries(DJANGO) for token in tokens(question.text))
    known = [word for word, _ in asked.most_common()]
    return known + [made_up(number) for number in range(VOCABULARY - len(known))]


def made_up(number: int) -> str:
    """Return a word of letters that differs from those of other numbers."""
    return "".join(chr(ord("a") + byte % 26) for byte in hashlib.blake2b(str(number).encode(), digest_size=9).digest())


def unit_vectors(chance: np.random.Generator, middles: FloatArray, size: int) -> FloatArray:
    """Return vectors of unit length, each near one of the middles."""
    near = middles[chance.integers(len(middles), size=size)]
    drawn = near + SPREAD * chance.standard_normal(near.shape, np.float32)
    found: FloatArray = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    return found


def sparse(chance: np.random.Generator, size: int) -> tuple[Any, Any]:
    """Return token ids, frequent ones more often than rare ones, and their weights."""
    ids = np.unique((size ** chance.random(SPARSE_TOKENS)).astype(np.uint32))
    return ids, chance.uniform(0.05, 0.5, len(ids)).astype(np.float32)


def write_rows(source: Source, start: int, texts: Sequence[str]) -> list[Chunk]:
    """Write the rows of chunks and their documents; ``start`` is the number of the first chunk."""
    numbers = range(start, start + len(texts))
    documents = Document.objects.bulk_create(
        Document(
            source=source, url=f"file:///{NAME}/{n}.txt", title=f"Page {n}", state=Document.State.INDEXED,
            chunk_count=CHUNKS_PER_DOCUMENT,
        )
        for n in numbers[::CHUNKS_PER_DOCUMENT]
    )  # fmt: skip
    return Chunk.objects.bulk_create(
        Chunk(
            document=documents[at // CHUNKS_PER_DOCUMENT], key=made_key(n),
            position=at % CHUNKS_PER_DOCUMENT, text=text, heading=f"Page › Part {n}", start=0, end=len(text),
            tokens=WORDS, state=Chunk.State.INDEXED,
        )
        for at, (n, text) in enumerate(zip(numbers, texts, strict=True))
    )  # fmt: skip


def made_key(number: int) -> str:
    """Return a key like those of chunks: a hash."""
    return hashlib.blake2b(str(number).encode(), digest_size=16).hexdigest()
