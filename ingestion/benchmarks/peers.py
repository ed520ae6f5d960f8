"""The libraries that the embedder is measured beside, with the same model folder in the same precision."""

from __future__ import annotations

from typing import Any

from ingestion.types import ModelSpec


def flagembedding(spec: ModelSpec, device: str, dtype: str) -> Any:
    """Load the model that ``spec`` names with FlagEmbedding and return it."""
    from FlagEmbedding import BGEM3FlagModel

    return BGEM3FlagModel(
        spec.path,
        pooling_method=spec.pooling,
        devices=device,
        use_fp16=dtype == "float16",
        use_bf16=dtype == "bfloat16",
    )


def sentence_transformers(spec: ModelSpec, device: str, dtype: str, max_tokens: int) -> Any:
    """Load the model that ``spec`` names with sentence-transformers, for dense vectors only, and return it."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Normalize, Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    words = Transformer(spec.path, max_seq_length=max_tokens)
    layers = [words, Pooling(spec.dimension, pooling_mode=spec.pooling), Normalize()]
    return SentenceTransformer(modules=layers, device=device).to(getattr(torch, dtype))
