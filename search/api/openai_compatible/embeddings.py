"""Texts → vectors of the model that embeds questions.

In: texts, and who asks. Out: dense vectors in order, and how many tokens were read. Texts of one request are embedded
one after the other, and each waits for its caller's turn, so that a long list never keeps a reader's question waiting
for more than one text.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import numpy as np
from asgiref.sync import sync_to_async
from django.conf import settings

from search.access.caller import Caller
from search.access.fair_queue import process_queues, to_its_end
from search.api.openai_compatible import catalogue
from search.api.openai_compatible.errors import RequestRefused
from search.retrieval.query_embedder import question_queue
from search.retrieval.question_model import searched_collection, served_model
from search.timings import Timings

if TYPE_CHECKING:
    from ingestion.embedding.embedder import TokenIds
    from ingestion.types import FloatArray
    from search.retrieval.question_model import QuestionModel

# No token of a text is longer on average; what is, is refused before it is tokenised.
CHARS_PER_TOKEN = 40


async def embed(texts: list[str], model: str, caller: Caller) -> tuple[list[FloatArray], int]:
    """Return the vectors and the number of tokens. Raises RequestRefused, SearchError or IngestionError."""
    searches = process_queues().searches
    found: list[FloatArray] = []
    async with searches.served(caller):
        embedder, ids = await to_its_end(sync_to_async(prepare)(texts, model))
    for each in ids:
        async with searches.served(caller):
            found.append((await question_queue().embed(embedder, each)).dense)
    return found, sum(map(len, ids))


def prepare(texts: list[str], model: str) -> tuple[QuestionModel, list[TokenIds]]:
    """Return the model and the tokens of each text.

    Raises RequestRefused for a model that is not the index's, and for a text that is longer than any chunk of the
    index.
    """
    served = served_model(searched_collection(), Timings())
    embedder = catalogue.embedder_name(served.collection.model)
    if model != embedder:
        raise catalogue.unknown(model, embedder, "embedding model")
    longest = min(settings.CHUNK_TOKENS, served.embedder.max_tokens - 1)
    for number, text in enumerate(texts):
        if len(text) > CHARS_PER_TOKEN * longest:
            raise too_long(number, longest)
    ids = served.embedder.tokenise([text.encode(errors="replace").decode() for text in texts])
    for number, each in enumerate(ids):
        if len(each) > longest:
            raise too_long(number, longest)
    return served.embedder, list(ids)


def too_long(number: int, longest: int) -> RequestRefused:
    """Return the refusal of the text at the index ``number``, which has more than ``longest`` tokens."""
    message = f"input.{number}: a text has at most {longest} tokens here, as the passages of the index. Divide it."
    return RequestRefused(message, param="input", code="context_length_exceeded")


def in_base64(vector: FloatArray) -> str:
    """Return the vector's little-endian float32 bytes."""
    return base64.b64encode(vector.astype(np.dtype("<f4")).tobytes()).decode()
