"""FlagEmbedding's BERT or XLM-RoBERTa → the layers as CTranslate2 describes them.

For ``conversion``'s own process: this imports PyTorch and transformers.
"""

from __future__ import annotations

from typing import Any

import torch
from ctranslate2.converters.transformers import BertLoader

from ingestion.embedding.tokenizer import first_position


class Loader(BertLoader):  # type: ignore[misc]
    """CTranslate2's loader for BERT, for XLM-RoBERTa too: the same names, but positions begin after the padding's."""

    def __init__(self, first: int) -> None:
        self.first = first

    def set_position_encodings(self, spec: Any, module: torch.nn.Embedding) -> None:
        spec.encodings = module.weight[self.first :]


def layers(module: Any) -> Any:
    """Return the layers of a transformers module as CTranslate2's specification of a model, which can be saved."""
    config = module.config
    config.position_embedding_type = "absolute"  # transformers knows no other any more; the loader asks
    with torch.no_grad():
        spec = Loader(first_position(config)).get_model_spec(module)
        spec.config.layer_norm_epsilon = config.layer_norm_eps
        # Only ids are asked for, never words.
        spec.register_vocabulary([str(n) for n in range(config.vocab_size)])
        spec.validate()
    return spec
