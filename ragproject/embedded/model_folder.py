"""The check of a model's folder: in, the folder; out, what is missing or cut short, and how long its vectors are.

Loads no library.
"""

from __future__ import annotations

import json
from pathlib import Path

# What FlagEmbedding's BGE-M3 needs beside its weights.
NEEDED = ("config.json", "tokenizer.json", "sparse_linear.pt", "colbert_linear.pt")
WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
LENGTH_BYTES = 8
LONGEST_HEADER_BYTES = 100_000_000  # as the format's own library has it


def lacking(folder: Path) -> list[str]:
    """Return the names of files that are missing, empty or cut short, as after a copy that broke off.

    Their content is not checked.
    """
    weights = [path for pattern in WEIGHTS for path in folder.glob(pattern)]
    broken = [path.name for path in weights if is_cut(path)]
    absent = [name for name in NEEDED if not (folder / name).is_file() or not (folder / name).stat().st_size]
    return sorted([*absent, *broken, *(() if weights else ("model.safetensors",))])


def dimension(folder: Path) -> int | None:
    """Return how many numbers the model's vectors have; None where its configuration does not say."""
    try:
        found = json.loads((folder / "config.json").read_text()).get("hidden_size")
    except (OSError, ValueError, AttributeError):
        return None
    return found if isinstance(found, int) else None


def is_cut(path: Path) -> bool:
    """Return whether a file of weights is shorter than its header says, or empty where the format has no header."""
    size = path.stat().st_size
    if path.suffix != ".safetensors" or not size:
        return not size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(LENGTH_BYTES), "little")
        if length > min(size, LONGEST_HEADER_BYTES):
            return True
        try:
            tensors = json.loads(file.read(length))
            end = max(tensor["data_offsets"][1] for name, tensor in tensors.items() if name != "__metadata__")
        except (ValueError, KeyError, TypeError):
            return True
    return bool(size < LENGTH_BYTES + length + end)
