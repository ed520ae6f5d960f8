"""Run the program that reads a format of documents in a process of its own, with limits on its time and output.

In: a command without anything of the document in it, and the document for its standard input. Out: what it wrote.
Raises ``UnsupportedContent`` when a document needs more than it may have. Limits on memory are the command's part.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from threading import Timer

from ingestion.exceptions import UnsupportedContent

# Below PAGE_TIME_LIMIT_SECONDS. The slowest of 60 manuals, 3 500 pages of PDF, took 40 s.
TIMEOUT_SECONDS = 60
MAX_OUTPUT_BYTES, MAX_ERROR_BYTES = 200_000_000, 4000
# Nothing of this process' environment, which holds secrets, is handed on.
ENVIRONMENT = {"LANG": "C.UTF-8"}


class ChildFailed(Exception):
    """The program ended with an error; the message is the last line that it wrote about it."""


def run(url: str, command: list[str], body: bytes) -> bytes:
    """Return what the command writes about a document. Raises UnsupportedContent and ChildFailed."""
    with tempfile.TemporaryFile() as document, tempfile.TemporaryFile() as errors:
        document.write(body)
        document.seek(0)
        process = subprocess.Popen(  # noqa: S603 (no shell, and nothing of the document in the command)
            command, stdin=document, stdout=subprocess.PIPE, stderr=errors, env=ENVIRONMENT
        )
        timer = Timer(TIMEOUT_SECONDS, process.kill)
        timer.start()
        try:
            with process:
                output = process.stdout.read(MAX_OUTPUT_BYTES + 1) if process.stdout else b""
                if len(output) > MAX_OUTPUT_BYTES:
                    process.kill()
        finally:
            is_late = not timer.is_alive()
            timer.cancel()
        errors.seek(max(0, errors.seek(0, os.SEEK_END) - MAX_ERROR_BYTES))
        words = errors.read().decode(errors="replace").strip()
    if len(output) > MAX_OUTPUT_BYTES:
        raise UnsupportedContent(f"{url} becomes more than {MAX_OUTPUT_BYTES} bytes of text; split it or exclude it")
    if is_late and process.returncode:
        raise UnsupportedContent(f"{url} takes longer than {TIMEOUT_SECONDS} s to read; split it or exclude it")
    if process.returncode:
        raise ChildFailed(words.rpartition("\n")[2][:300] or str(process.returncode))
    return output
