"""Chunk rows → how many of them hold each term, for the questions of the words channel.

In: Chunk rows. Out: the row of ``TermFrequencies``, which also has the words by which questions are corrected. The rows
are counted anew while documents are under way once there are half as many again, when the last of them is done if one
in twenty came or went, when other sources are restricted to groups, and once a day. A source whose terms were never
counted is searched badly: its commonest words pass for the rarest. Of a large index a sample is counted; keys are
hashes, so all keys below a bound are one.
"""

from __future__ import annotations

from datetime import timedelta

import numpy as np
from django.conf import settings
from django.utils import timezone

from ingestion.models import Chunk, ChunkQuerySet, Document, SourceReader, TermFrequencies
from ingestion.pipeline.state.fingerprints import digest
from ingestion.words.vocabulary import VocabularyCounter
from ingestion.words.weights import chunk_weights

# 0.25 ms each: 2.5 s of a core. A term that none of these holds is rarer than one in 10 000, and counts as that. One
# chunk in twenty of 8 400 was enough: nDCG@10 of the words alone was .804 with those frequencies and .802 with all.
SAMPLED_CHUNKS = 10_000
# OpenShift's documentation beside Django's, three times as large, has nDCG@10 .840 by words and .871 fused; with the
# count of Django's alone .782 and .854.
GROWTH, GROWTH_AT_REST = 1.5, 1.05
KEY_DIGITS = 8
ROWS_AT_ONCE = 500


def recount_if_due() -> bool:
    """Count the terms again if the last count is out of date. Return whether they were counted."""
    last = TermFrequencies.objects.only("chunks", "counted_at", "restricted").first()
    chunks = Chunk.objects.live().count()
    if last is not None:
        growth = GROWTH if Document.objects.active().exists() else GROWTH_AT_REST
        grown = max(chunks, last.chunks) / max(1, min(chunks, last.chunks)) >= growth
        old = timezone.now() - last.counted_at > timedelta(seconds=settings.AUDIT_SECONDS)
        if not (grown or old or last.restricted != fingerprint(restricted_sources())):
            return False
    elif not chunks:
        return False
    recount(chunks)
    return True


def recount(chunks: int) -> None:
    """Count the terms of the rows, of which there are ``chunks``, and store the result."""
    restricted = restricted_sources()
    fields = ("text", "context", "heading", "document__title", "document__source")
    held, counter = [], VocabularyCounter()
    for text, context, heading, title, source in sample(chunks).values_list(*fields).iterator(chunk_size=ROWS_AT_ONCE):
        held.append(chunk_weights(f"{context}\n{text}", heading, title).terms)
        if source not in restricted:  # everybody may see a correction
            counter.add(f"{heading}\n{text}")
    terms, counts = np.unique(np.concatenate([np.empty(0, np.uint32), *held]), return_counts=True)
    TermFrequencies.objects.update_or_create(
        pk=1,
        defaults={
            "chunks": chunks,
            "sampled": len(held),
            "terms": terms.astype("<u4").tobytes(),
            "counts": counts.astype("<u4").tobytes(),
            "restricted": fingerprint(restricted),
            "vocabulary": counter.vocabulary().packed(),
            "counted_at": timezone.now(),
        },
    )


def restricted_sources() -> set[int]:
    """Return the ids of the sources that not everybody may read."""
    return set(SourceReader.objects.values_list("source", flat=True))


def fingerprint(restricted: set[int]) -> str:
    """Return the fingerprint of the sources with these ids; empty for none."""
    return digest(*map(str, sorted(restricted))) if restricted else ""


def sample(chunks: int) -> ChunkQuerySet:
    """Select at most about SAMPLED_CHUNKS of the rows, of which there are ``chunks``."""
    rows = Chunk.objects.live()
    if chunks <= SAMPLED_CHUNKS:
        return rows
    return rows.filter(key__lt=f"{16**KEY_DIGITS * SAMPLED_CHUNKS // chunks:0{KEY_DIGITS}x}")
