"""What a step did -> its name and attributes, by OpenTelemetry's conventions for GenAI and databases.

Names, numbers and ids only; see ``tracing`` for what must never be among them.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePath
from typing import NamedTuple
from urllib.parse import urlsplit

from django.conf import settings

from ragproject.tracing import Attributes

# Ids of one batch; more would make spans of kilobytes.
MOST_IDS = 100


class Described(NamedTuple):
    """A span's name and attributes."""

    name: str
    attributes: Attributes


def embedding(model: str, tokens: int, dimension: int, documents: Iterable[int] = ()) -> Described:
    """Return a span's name and attributes for an embedding; a model given by its path is named by its folder."""
    name = PurePath(model).name if model.startswith("/") else model
    attributes: Attributes = {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.request.model": name,
        "gen_ai.usage.input_tokens": tokens,
        "gen_ai.embeddings.dimension.count": dimension,
        **document_ids(documents),
    }
    return Described(f"embeddings {name}", attributes)


def retrieval(collection: str, depth: int) -> Described:
    """Describe a search in a collection for the ``depth`` nearest rows."""
    attributes: Attributes = {
        "gen_ai.operation.name": "retrieval",
        "gen_ai.data_source.id": collection,
        "gen_ai.request.top_k": depth,
        **milvus("search", collection),
    }
    return Described(f"retrieval {collection}", attributes)


def chat(input_tokens: int, output_tokens: int, first_token_seconds: float) -> Described:
    """Describe a completion; the provider "openai" names the API, whoever speaks it."""
    address = urlsplit(settings.LLM_BASE_URL)
    attributes: Attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": settings.LLM_MODEL,
        "gen_ai.request.max_tokens": settings.LLM_MAX_TOKENS,
        "gen_ai.usage.input_tokens": input_tokens,
        "gen_ai.usage.output_tokens": output_tokens,
        "gen_ai.response.time_to_first_chunk": first_token_seconds,
        "server.address": address.hostname or "",
        "server.port": address.port or (443 if address.scheme == "https" else 80),
    }
    return Described(f"chat {settings.LLM_MODEL}", attributes)


def upsert(collection: str, rows: int, documents: Iterable[int]) -> Described:
    """Describe a write of so many rows."""
    sizes: Attributes = {"db.operation.batch.size": rows}
    return Described(f"upsert {collection}", {**milvus("upsert", collection), **sizes, **document_ids(documents)})


def milvus(operation: str, collection: str) -> Attributes:
    """Return the attributes that the span of every call of Milvus has."""
    return {"db.system.name": "milvus", "db.operation.name": operation, "db.collection.name": collection}


def document_ids(ids: Iterable[int]) -> Attributes:
    """Return the attribute that names the documents of a batch, MOST_IDS of them at most; none where there are none."""
    named = sorted(set(ids))[:MOST_IDS]
    return {"ragproject.document.ids": named} if named else {}
