"""Loading of a model: its files are found and checked (``model_files``), and FlagEmbedding reads them.

Nothing in the files is run: weights come from safetensors, pickles are read for tensors only (FlagEmbedding and
transformers both ask for that), and code from a hub is never trusted.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from django.conf import settings

from ingestion.embedding.model_files import check, folder_of
from ingestion.exceptions import ModelError
from ingestion.types import ModelSpec


def read(spec: ModelSpec, device: str, dtype: str) -> tuple[Any, Any]:
    """Return FlagEmbedding's module on the device, and its tokenizer. Raises ModelError."""
    try:
        folder = folder_of(spec.path)
        check(folder, settings.EMBED_MODEL_SHA256 if spec.path == settings.MODEL_PATH else "")
        require_dimension(spec, json.loads((folder / "config.json").read_text()).get("hidden_size", spec.dimension))
        return load(folder, spec, device, dtype)
    except ModelError:
        raise
    except Exception as error:  # four libraries read files here, and their errors have nothing in common
        raise ModelError(
            f"The model {spec.path} cannot be loaded: {error}. Check EMBED_MODEL; without a "
            "connection to the model hub it must be a folder that holds the complete model."
        ) from error


def require_dimension(spec: ModelSpec, found: int) -> None:
    """Raise ModelError unless the model's vectors are as long as they should be; before gigabytes are read for it."""
    if found != spec.dimension:
        raise ModelError(
            f"The model {spec.path} has {found} dimensions, EMBED_DIMENSION says {spec.dimension}. Correct "
            "EMBED_DIMENSION or EMBED_MODEL, and start the workers again."
        )


def load(folder: Path, spec: ModelSpec, device: str, dtype: str) -> tuple[Any, Any]:
    """Return FlagEmbedding's module on the device, and its tokenizer."""
    from FlagEmbedding import BGEM3FlagModel
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    flag = BGEM3FlagModel(
        str(folder),
        pooling_method=spec.pooling,
        devices=device,
        use_fp16=dtype == "float16",
        use_bf16=dtype == "bfloat16",
    )
    # At its end FlagEmbedding's object moves its module to the CPU, wherever it is used by then.
    model, flag.model = flag.model, None
    # 8 bits are made of float32.
    model.to(device=torch.device(device), dtype=getattr(torch, dtype) if dtype != "int8" else torch.float32)
    return model.eval(), flag.tokenizer
