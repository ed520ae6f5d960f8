"""The files of a model: where they are, whether they are whole, and by what they are known.

In: a folder or a hub id. Out: the folder, and a SHA-256 over what is read of it. Loads neither torch nor the model.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

from ingestion.exceptions import ModelError

# FlagEmbedding makes up random heads when theirs are missing.
HEADS = ("sparse_linear.pt", "colbert_linear.pt")
READ = ("config.json", "tokenizer*.json", "*.safetensors", "pytorch_model*.bin", *HEADS)
# What a hub holds besides; for BGE-M3 a second copy of 2 GB.
NOT_READ = ["onnx/*", "openvino/*", "imgs/*", "*.onnx", "*.msgpack", "*.h5", "*.ot"]


def folder_of(path: str, *, download: bool = True) -> Path:
    """Return the model's folder, downloading it from the hub if need be.

    Raises ModelError if a folder is named that does not exist, and OSError if the hub's model cannot be had.
    """
    from huggingface_hub import snapshot_download

    if not looks_like_path(path):
        return Path(snapshot_download(path, ignore_patterns=NOT_READ, local_files_only=not download))
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


def fingerprint(folder: Path) -> str:
    """Return a SHA-256 over the names and the SHA-256 of the files that are read."""
    digest = hashlib.sha256()
    for file in files_read(folder):
        with file.open("rb") as content:
            digest.update(file.name.encode() + b"\0" + hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()


def files_read(folder: Path) -> list[Path]:
    """Return the files that decide what vectors a text gets."""
    return sorted({file for pattern in READ for file in folder.glob(pattern)})


def weights_at(path: str) -> str:
    """Return the fingerprint of the model at a path, which takes a second for each GB or two; "" where none is here."""
    with suppress(OSError, ValueError, ModelError):
        return fingerprint(folder_of(path, download=False))
    return ""
