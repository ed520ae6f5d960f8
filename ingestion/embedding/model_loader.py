"""Loading of a model by FlagEmbedding, from files that were found and checked (``model_files``).

Nothing in the files is run: weights come from safetensors, pickles are read for tensors only (FlagEmbedding and
transformers both ask for that), and code from a hub is never trusted.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch


def load(folder: Path, device: str, dtype: str) -> tuple[Any, Any]:
    """Return FlagEmbedding's module on the device, in float32 for "int8", and its tokenizer."""
    from FlagEmbedding import BGEM3FlagModel
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    flag = BGEM3FlagModel(str(folder), devices=device, use_fp16=dtype == "float16", use_bf16=dtype == "bfloat16")
    # At its end FlagEmbedding's object moves its module to the CPU, wherever it is used by then.
    model, flag.model = flag.model, None
    # 8 bits are made of float32.
    model.to(device=torch.device(device), dtype=getattr(torch, dtype) if dtype != "int8" else torch.float32)
    return model.eval(), flag.tokenizer
