"""What CONTEXT_MODEL, as it is set now, means for the chunks that are stored already; and making it so.

In: the rows. Out: how many sentences would be asked for and how many chunks embedded again, or rows that say so. New
chunks are described by themselves; what is stored already is changed when a person wants it, because it costs.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Q, Sum

from ingestion.context.sentence import TOKENS_AROUND
from ingestion.models import Chunk, ChunkQuerySet, ContextSentence
from ingestion.pipeline.state.fingerprints import context_key, context_model, embedding_digest

ROWS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Changes:
    """Chunks in all, sentences to ask for with the tokens that the language model reads at most, chunks to embed."""

    chunks: int
    asked: int
    asked_tokens: int
    embedded: int
    embedded_tokens: int


def changed(*, retry: bool = False) -> ChunkQuerySet:
    """Return the chunks whose sentence of context, or lack of one, is not what CONTEXT_MODEL asks for now.

    ``retry``: also those that have no sentence because of an error.
    """
    rows = Chunk.objects.live()
    if not settings.CONTEXT_MODEL:
        return rows.exclude(context="", context_model="")
    again = ~Q(context_error="") if retry else Q(pk__in=())
    return rows.filter(~Q(context_model=context_model()) | again)


def changes(*, retry: bool = False) -> Changes:
    """Return how many sentences ``apply`` would ask for, and how many chunks it would have embedded again."""
    again = changed(retry=retry) if settings.CONTEXT_MODEL else changed().exclude(context="")
    embedded = again.aggregate(chunks=Count("*"), tokens=Sum("tokens", default=0))
    asked: set[str] = set()
    asked_tokens = 0
    if settings.CONTEXT_MODEL:
        texts = again.order_by().values_list("document__title", "heading", "text", "tokens")
        rows = texts.iterator(chunk_size=ROWS_AT_ONCE)
        while part := {context_key(*text): tokens for *text, tokens in islice(rows, ROWS_AT_ONCE)}:
            kept = ContextSentence.objects.filter(key__in=part).values_list("key", flat=True)
            missing = part.keys() - asked - set(kept)
            asked |= missing
            asked_tokens += sum(part[key] + TOKENS_AROUND for key in missing)
    return Changes(Chunk.objects.live().count(), len(asked), asked_tokens, embedded["chunks"], embedded["tokens"])


def apply(*, retry: bool = False) -> None:
    """Mark the chunks that ``changed`` returns to be described.

    Without a CONTEXT_MODEL, take their sentences away, and have those that had one embedded again. The drain writes no
    record that was made with another sentence than its row has.
    """
    if settings.CONTEXT_MODEL:
        changed(retry=retry).update(context_wanted=True)
        return
    while rows := list(changed().only("id", "heading", "text", "context")[:ROWS_AT_ONCE]):
        with transaction.atomic():
            again = Chunk.objects.filter(id__in=[row.pk for row in rows if row.context])
            for row in rows:
                row.context, row.context_model, row.context_error, row.context_wanted = "", "", "", False
                row.digest = embedding_digest(row.heading, row.text)
            fields = ("context", "context_model", "context_error", "context_wanted", "digest")
            Chunk.objects.bulk_update(rows, fields)
            again.embed_again()
            again.filter(state__in=(Chunk.State.EMBEDDING, Chunk.State.BUFFERED)).back_to_waiting()
