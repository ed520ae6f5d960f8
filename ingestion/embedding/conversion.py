"""A model's folder → a folder that CTranslate2 reads, made once and kept in DATA_DIR/models/converted.

FlagEmbedding loads the model and CTranslate2's converter writes its layers, in a process of its own: PyTorch and
transformers take 5 s and 700 MB to import, and whoever embeds on a CPU needs neither. For the stand-in that is 6 s and
90 MB of disk; for BGE-M3's size 15 s and 2.3 GB (int8 0.6). A copy is known by the names, sizes and times of the files
that it was made of, and goes when nothing has read it for KEPT_DAYS.

``python -m ingestion.embedding.conversion`` is that process.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings

from ingestion.embedding.model_files import files_read
from ingestion.exceptions import ModelError
from ragproject.embedded.parent_watch import bound_to_parent

# Another one where what is written here changes.
FORMAT = 1
KEPT_DAYS = 30
NOT_LOADED, NOT_CONVERTED = 3, 4


class NotConverted(ModelError):
    """The model could be loaded, and its layers not be converted or not be stored."""


def converted(folder: Path, dtype: str) -> Path:
    """Return the folder with the model in CTranslate2's format, written now if need be.

    Raises NotConverted, and RuntimeError with the reason when the model cannot be loaded.
    """
    kept = Path(settings.DATA_DIR) / "models" / "converted"
    target = kept / f"{digest(folder)}-{dtype}"
    if not target.exists():
        try:
            kept.mkdir(parents=True, exist_ok=True)
            with (kept / ".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)  # the second process that needs the model waits for the first
                if not target.exists():
                    forget_unused(kept)
                    write(folder, dtype, target)
        except OSError as error:
            raise NotConverted(
                f"The model cannot be converted for this CPU: {error}. Make room in {kept}, and let it be written to."
            ) from error
    with suppress(OSError):  # where it may only be read
        os.utime(target)
    return target


def digest(folder: Path) -> str:
    """Return a hash of the names, sizes and times of the model's files, and of CTranslate2's version.

    The files are not read.
    """
    import ctranslate2

    seen = [(file.name, (found := file.stat()).st_size, found.st_mtime_ns) for file in files_read(folder)]
    return hashlib.sha256(repr((FORMAT, ctranslate2.__version__, seen)).encode()).hexdigest()[:16]


def forget_unused(kept: Path) -> None:
    """Delete the copies that nothing has read for KEPT_DAYS."""
    oldest = time.time() - KEPT_DAYS * 86_400
    for copy in kept.iterdir():
        if copy.is_dir() and copy.stat().st_mtime < oldest:
            shutil.rmtree(copy, ignore_errors=True)


def write(folder: Path, dtype: str, target: Path) -> None:
    """Convert a model to CTranslate2's format in a process of its own, into the new folder ``target``.

    Raises RuntimeError when it cannot be loaded, NotConverted when it cannot be converted, and OSError.
    """
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=target.parent) as partial:
        command = [sys.executable, "-W", "ignore", "-m", __name__, str(folder), dtype, partial]
        done = subprocess.run(  # noqa: S603 (no shell, and our own module)
            bound_to_parent(command), cwd=settings.BASE_DIR, capture_output=True, text=True, check=False
        )
        why = (done.stderr.strip().splitlines() or [f"the converter ended with {done.returncode}"])[-1]
        if done.returncode == NOT_LOADED:
            raise RuntimeError(why)
        if done.returncode:
            raise NotConverted(
                f"The model cannot be converted to {dtype} for this CPU: {why}. That takes layers like BERT's or "
                f"XLM-RoBERTa's, and room for them in {target.parent}."
            )
        for file in Path(partial).iterdir():  # or a crash of the machine leaves a copy that looks complete
            with file.open("rb") as written:
                os.fsync(written.fileno())
        Path(partial).rename(target)


def main() -> None:
    """Convert the model that the command line names. When that fails, exit with NOT_LOADED or NOT_CONVERTED."""
    parser = argparse.ArgumentParser(description="Write a model in CTranslate2's format.")
    for name in ("folder", "dtype", "target"):
        parser.add_argument(name)
    asked = parser.parse_args()
    from ingestion.embedding import model_loader

    try:
        model, tokenizer = model_loader.load(Path(asked.folder), "cpu", "float32")
    except Exception as error:  # four libraries read files here, and their errors have nothing in common
        fail(error, NOT_LOADED)
    try:
        save(model, tokenizer, asked.dtype, Path(asked.target))
    except Exception as error:  # of the disk, the converter or the engine
        fail(error, NOT_CONVERTED)


def fail(error: Exception, code: int) -> None:
    """Print an error as one line of standard error, and exit with ``code``."""
    sys.stderr.write("\n" + " ".join(str(error).split()) + "\n")
    raise SystemExit(code) from error


def save(model: Any, tokenizer: Any, dtype: str, target: Path) -> None:
    """Write the layers in CTranslate2's format, and beside them both heads, the tokenizer and the configuration.

    Raises ModelError when CTranslate2 cannot compute in ``dtype`` on this CPU.
    """
    import ctranslate2

    from ingestion.embedding.bert_loader import layers
    from ingestion.embedding.lexical_weights import unused_ids

    if dtype not in ctranslate2.get_supported_compute_types("cpu"):
        raise ModelError("This CPU has no 8-bit products that CTranslate2 knows")
    spec = layers(model.model)
    spec.optimize(quantization=None if dtype == "float32" else dtype)
    spec.save(str(target))
    for name, head in (("head", model.sparse_linear), ("token_head", model.colbert_linear)):
        np.savez(target / f"{name}.npz", weight=head.weight.detach().numpy().T, bias=head.bias.detach().numpy())
    (target / "tokenizer.json").write_text(tokenizer.backend_tokenizer.to_str())
    (target / "network.json").write_text(
        json.dumps({"config": model.model.config.to_dict(), "unused_ids": unused_ids(tokenizer).tolist()}, default=str)
    )


if __name__ == "__main__":
    main()
