"""The model of an embedding worker in the place of one in this process; for QUERY_EMBEDDER=worker.

In: texts, or their token ids. Out: vectors. Texts are cut into tokens here, and the worker is asked through Redis.
Where no worker with this model answers, this process loads the model itself, says so in its log, and asks the worker
again after a while.

The model's libraries are imported only where the worker does not answer.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from time import monotonic

from django.conf import settings

from ingestion.chunking.token_counter import load_tokenizer
from ingestion.coordination import question_service
from ingestion.embedding.embedder import TokenIds
from ingestion.embedding.loading import load_model
from ingestion.embedding.tokenizer import TextTokenizer
from ingestion.exceptions import NobodyAnswers
from ingestion.types import ModelSpec, Vectors

logger = logging.getLogger(__name__)

# A worker that starts has its model loaded within a minute.
RETRY_SECONDS = 30.0


class WorkerModel:
    """A model that a worker has loaded. Raises ModelError where there is no tokenizer of it."""

    def __init__(self, spec: ModelSpec) -> None:
        self.spec = spec
        # Of the longest text that is asked about, with the token that ends it; the model itself may read more.
        self.max_tokens = max(settings.CHUNK_TOKENS, settings.QUESTION_MAX_TOKENS) + 1
        self._tokenizer = TextTokenizer(load_tokenizer(spec.path), self.max_tokens)
        self._left_alone_until = 0.0

    def tokenise(self, texts: Sequence[str]) -> list[TokenIds]:
        """Return the token ids of each text."""
        return self._tokenizer(texts)

    def embed(self, texts: Sequence[str]) -> list[Vectors]:
        """Return the vectors of all texts, in their order."""
        found: dict[int, Vectors] = {}
        for positions, vectors in self.embed_tokens(self.tokenise(texts)):
            found.update(zip(positions, vectors, strict=True))
        return [found[at] for at in range(len(texts))]

    def embed_tokens(self, ids: Sequence[TokenIds]) -> Iterator[tuple[list[int], list[Vectors]]]:
        """Yield (positions in ``ids``, their vectors)."""
        if not ids:
            return
        if monotonic() >= self._left_alone_until:
            try:
                yield list(range(len(ids))), question_service.ask(self.spec, ids)
                return
            except NobodyAnswers as error:
                logger.warning("%s This process embeds questions itself for %g s.", error, RETRY_SECONDS)
                self._left_alone_until = monotonic() + RETRY_SECONDS
        own = load_model(settings.QUERY_DEVICE, self.spec, questions=True)
        yield from own.embed_tokens([each[: own.max_tokens] for each in ids])

    def similarities(self, question: TokenIds, texts: Sequence[TokenIds], until: float) -> list[float]:
        """Return how near each text is to a question, token by token. Raises NobodyAnswers."""
        return question_service.ask_similarities(self.spec, question, texts, until - monotonic())
