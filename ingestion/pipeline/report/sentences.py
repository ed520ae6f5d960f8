"""Sentences that `manage.py` and the admin share, made from the figures of runs and collections."""

from __future__ import annotations

from collections.abc import Mapping

from ingestion.models import Document
from ingestion.pipeline.state.collections import BuildProgress
from ingestion.pipeline.state.runs import Savings

LAYERS = {
    Document.Layer.LISTING: "by the listing",
    Document.Layer.NOT_MODIFIED: "by the server's 304",
    Document.Layer.BYTES: "by equal bytes",
    Document.Layer.TEXT: "by equal text",
}


def savings_sentence(saved: Savings) -> str:
    """Return what a refresh did not have to do; empty when that is nothing."""
    pages = ", ".join(f"{n} {LAYERS[Document.Layer(layer)]}" for layer, n in sorted(saved.pages.items()))
    parts = [f"unchanged pages: {pages}"] if pages else []
    parts += [f"{saved.vectors_copied} vectors of equal texts"] if saved.vectors_copied else []
    parts += [f"about {saved.embedding_seconds} s of embedding"] if saved.embedding_seconds else []
    return "; ".join(parts)


def chunks_sentence(figures: Mapping[str, int]) -> str:
    """Return how many chunks of a run's documents kept their vectors, and how many were embedded; empty without any."""
    total, embedded = figures["chunks"], figures["embedded"]
    return f"{embedded} of {total} chunks embedded, {figures['reused']} kept or copied their vectors" if total else ""


def dropped_sentence(dropped: Mapping[str, int]) -> str:
    """Return how many words rules left out of the documents' texts, by rule; empty when that is none.

    The most come first: PostgreSQL stores the rules of a run's figures in an order of its own.
    """
    most_first = sorted(dropped.items(), key=lambda found: found[1], reverse=True)
    rules = ", ".join(f"{words} of “{rule}”" for rule, words in most_first)
    return f"{sum(dropped.values())} words left out by rules: {rules}" if dropped else ""


def build_sentence(progress: BuildProgress) -> str:
    """Return how far the collection is that is being built, and why it is not used yet."""
    parts = [f"{progress.collection}: {progress.percent} %, {progress.chunks_left} chunks left"]
    parts += [f"about {progress.eta_seconds} s"] if progress.eta_seconds else []
    parts += [f"{progress.found_later} documents are found when it is done"] if progress.found_later else []
    return ", ".join(parts) + (f". {progress.note}" if progress.note else "")
