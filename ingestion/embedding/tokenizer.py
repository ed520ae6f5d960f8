"""Texts → token ids, as FlagEmbedding's tokenizer gives them, for any text.

Several threads may ask at once: the tokenizer's settings are fixed when it is made (transformers' own call sets them
anew each time, which fails beside a call of another thread).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ingestion.types import IndexArray

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# Beyond this, no text changes what fits: prose has 4-5 characters a token. A tokenizer needs 300 bytes of memory per
# token of the whole text, so that one word of 5 MB would cost more than the model.
MAX_CHARS_PER_TOKEN = 64


class TextTokenizer:
    """Texts → token ids, special ones included, cut to ``max_tokens``."""

    def __init__(self, tokenizer: Tokenizer, max_tokens: int) -> None:
        self._tokenizer = type(tokenizer).from_str(tokenizer.to_str())
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_tokens)
        self._max_chars = MAX_CHARS_PER_TOKEN * max_tokens

    def __call__(self, texts: Sequence[str]) -> list[IndexArray]:
        """Return the token ids of each text."""
        # Lone surrogates, which no tokenizer takes, become question marks.
        readable = [text[: self._max_chars].encode("utf-8", "replace").decode() for text in texts]
        return [np.array(found.ids, np.uint32) for found in self._tokenizer.encode_batch_fast(readable)]


def first_position(config: Any) -> int:
    """Return the first position of a text: RoBERTa's models count from after the padding's id, BERT's from 0."""
    return int(config.pad_token_id) + 1 if "roberta" in config.model_type else 0
