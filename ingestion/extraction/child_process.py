"""Run the program that reads a format of documents in a process of its own, with limits on its time and output.

In: a command without anything of the document in it, and the document for its standard input. Out: what it wrote.
Raises ``ChildFailed`` with the reason when there is none, and TransientError where a busy machine gave it no time,
which says nothing of the document. Limits on memory are the command's part.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from threading import Timer

from ingestion.exceptions import TransientError

# On the clock, for a child that waits or a machine that is busy; below PAGE_TIME_LIMIT_SECONDS.
TIMEOUT_SECONDS = 60.0
# The shell sets the limit on processor time: what a document becomes must not depend on what else runs.
LIMITED = ["/bin/sh", "-c", 'ulimit -t "$0" && exec "$@"']
MAX_OUTPUT_BYTES, MAX_ERROR_BYTES = 200_000_000, 4000
# Nothing of this process' environment, which holds secrets, is handed on.
ENVIRONMENT = {"LANG": "C.UTF-8"}


class ChildFailed(Exception):
    """The program ended with an error, or was ended; the message says why."""


def run(command: list[str], body: bytes, *, cpu_seconds: int) -> bytes:
    """Run a command with ``body`` on its standard input, and return what it writes to its standard output.

    Raise ChildFailed if the command fails, writes too much, or takes more than ``cpu_seconds`` of processor time, and
    TransientError if it takes more than TIMEOUT_SECONDS on the clock.
    """
    with tempfile.TemporaryFile() as document, tempfile.TemporaryFile() as errors:
        document.write(body)
        document.seek(0)
        process = subprocess.Popen(  # noqa: S603 (no shell, and nothing of the document in the command)
            [*LIMITED, str(cpu_seconds), *command],
            stdin=document,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=ENVIRONMENT,
        )
        timer = Timer(TIMEOUT_SECONDS, process.kill)
        timer.start()
        with process:
            output = process.stdout.read(MAX_OUTPUT_BYTES + 1) if process.stdout else b""
            is_late = not timer.is_alive()
            timer.cancel()
            if len(output) > MAX_OUTPUT_BYTES:
                process.kill()
                raise ChildFailed(f"it becomes more than {MAX_OUTPUT_BYTES} bytes of text")
        errors.seek(max(0, errors.seek(0, os.SEEK_END) - MAX_ERROR_BYTES))
        words = errors.read().decode(errors="replace").strip()
    if is_late:
        raise TransientError(
            f"The program that reads this format took more than {TIMEOUT_SECONDS:g} s on the clock, less of them on a "
            "processor: the machine is busy. It will be tried again."
        )
    if process.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        raise ChildFailed(f"it takes more than {cpu_seconds} s of processor time")
    if process.returncode:
        raise ChildFailed(words.rpartition("\n")[2][:300] or str(process.returncode))
    return output
