"""Loading of a model: its files are found and checked, and FlagEmbedding reads them.

Nothing in the files is run: weights come from safetensors, pickles are read for tensors only (FlagEmbedding and
transformers both ask for that), and code from a hub is never trusted.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from django.conf import settings

from ingestion.exceptions import ModelError
from ingestion.types import ModelSpec

# FlagEmbedding makes up random heads when theirs are missing.
HEADS = ("sparse_linear.pt", "colbert_linear.pt")
READ = ("config.json", "tokenizer*.json", "*.safetensors", "pytorch_model*.bin", *HEADS)
# What a hub holds besides; for BGE-M3 a second copy of 2 GB.
NOT_READ = ["onnx/*", "openvino/*", "imgs/*", "*.onnx", "*.msgpack", "*.h5", "*.ot"]


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


def folder_of(path: str) -> Path:
    """Return the model's folder, downloading it from the hub if need be.

    Raises ModelError if a folder is named that does not exist.
    """
    from huggingface_hub import snapshot_download

    if not looks_like_path(path):
        return Path(snapshot_download(path, ignore_patterns=NOT_READ))
    if Path(path).is_dir():
        return Path(path)
    raise ModelError(
        f"The model folder {path} does not exist. Put the model there (the stand-in: manage.py standin_model), and the "
        "work goes on; or set EMBED_MODEL to a folder with BGE-M3, a hub id such as BAAI/bge-m3, or stand-in."
    )


def looks_like_path(model: str) -> bool:
    """Return whether this names a folder; a hub id has the form "owner/name"."""
    return Path(model).is_absolute() or model.startswith(".") or model.count("/") != 1


def check(folder: Path, wanted: str) -> None:
    """Raise ModelError if the heads are missing or the files have another SHA-256 than ``wanted``, if that is given."""
    if missing := [name for name in HEADS if not (folder / name).is_file()]:
        raise ModelError(
            f"The model folder {folder} lacks {', '.join(missing)}. Copy the complete model: without its heads "
            "there are no lexical weights."
        )
    if wanted and (found := fingerprint(folder)) != wanted.lower():
        raise ModelError(
            f"The files in {folder} have the SHA-256 {found}, EMBED_MODEL_SHA256 says {wanted}. Get the model from "
            "where you trust it, or correct the setting if the change is meant."
        )


def require_dimension(spec: ModelSpec, found: int) -> None:
    """Raise ModelError unless the model's vectors are as long as they should be; before gigabytes are read for it."""
    if found != spec.dimension:
        raise ModelError(
            f"The model {spec.path} has {found} dimensions, EMBED_DIMENSION says {spec.dimension}. Correct "
            "EMBED_DIMENSION or EMBED_MODEL, and start the workers again."
        )


def fingerprint(folder: Path) -> str:
    """Return a SHA-256 over the names and the SHA-256 of the files that are read."""
    digest = hashlib.sha256()
    for file in sorted({file for pattern in READ for file in folder.glob(pattern)}):
        with file.open("rb") as content:
            digest.update(file.name.encode() + b"\0" + hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()


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
