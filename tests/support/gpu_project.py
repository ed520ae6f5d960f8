"""Settings for the workers that test_gpu_worker starts: the project's own, with an embedder that does as files say.

``FAKE_EMBEDDER`` names a folder. Whoever loads the model writes its process id to ``pids`` there, every batch of four
texts adds a line to ``batches`` and takes as long as ``seconds`` says; a file ``fail`` makes the device fail once,
``hang`` hang once.
A text that says "kill" ends its process. Leases are short. As a program, ``python -m tests.support.gpu_project CHUNKS``
makes the rows.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import django

from ingestion.coordination import locks
from ingestion.embedding import loading
from ingestion.exceptions import DeviceFailed
from ragproject.settings import *  # noqa: F403
from tests.support.fake_embedder import FakeEmbedder

FOLDER = Path(os.environ["FAKE_EMBEDDER"])
locks.DEVICE_LEASE_SECONDS, locks.DEVICE_RENEW_SECONDS, locks.DEVICE_LOOK_SECONDS = 2.0, 0.4, 0.1


def load_model(*_: object) -> FakeEmbedder:
    add_line("pids", os.getpid())
    fake = FakeEmbedder()
    fake.batch, fake.before_batch = 4, before_batch
    return fake


def before_batch(texts: list[str]) -> None:
    add_line("batches", len(texts))
    time.sleep(float((FOLDER / "seconds").read_text()))
    if any("kill" in text for text in texts):
        os.kill(os.getpid(), signal.SIGKILL)
    if (FOLDER / "fail").exists():
        (FOLDER / "fail").unlink()
        raise DeviceFailed("CUDA error: device-side assert triggered.")
    if (FOLDER / "hang").exists():
        (FOLDER / "hang").unlink()
        time.sleep(1000)


def add_line(file: str, word: object) -> None:
    with (FOLDER / file).open("a") as lines:
        lines.write(f"{word}\n")


loading.load_model = load_model  # type: ignore[assignment]


def make_rows(chunks: int) -> None:
    from django.core.management import call_command

    from tests.support.rows import make_chunk, make_document, make_source

    call_command("migrate", verbosity=0)
    document = make_document(make_source(), state="embedding", chunk_count=chunks)
    for position in range(chunks):
        make_chunk(document, position)


if __name__ == "__main__":
    django.setup()
    make_rows(int(sys.argv[1]))
