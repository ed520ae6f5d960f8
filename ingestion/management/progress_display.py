"""A live display of the progress of runs on a terminal, for `manage.py ingest --wait`."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ingestion.pipeline.state.runs import RunProgress, progress

POLL_SECONDS = 0.5
# One query of the progress of 100 000 documents takes 0.1 s, which the workers then lack: the pause after it is this
# many times as long. The display is drawn no more often than it changes, or drawing would take as much again.
PAUSE_PER_QUERY = 50
# A running stack starts a run within two ticks of the dispatcher; silence for this long means that there is none.
HINT_SECONDS = 15.0


def watch(run_ids: Sequence[int], console: Console) -> None:
    """Show the progress of these runs until none is active. Ctrl-C ends the display and the program, not the runs."""
    columns = (TextColumn("{task.description:10}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    started = time.monotonic()
    try:
        shown = (*columns, TextColumn("{task.fields[note]}"))
        with Progress(*shown, console=console, refresh_per_second=2, auto_refresh=console.is_terminal) as display:
            documents = display.add_task("documents", total=None, note="")
            chunks = display.add_task("chunks", total=None, note="")
            asked = time.monotonic()
            while (now := progress(run_ids)).active:
                pause = max(POLL_SECONDS, PAUSE_PER_QUERY * (time.monotonic() - asked))
                note = note_of(now, waited=time.monotonic() - started)
                display.update(documents, completed=now.documents_done, total=now.documents or None)
                display.update(chunks, completed=now.chunks_done, total=now.chunks or None, note=note)
                time.sleep(pause)
                asked = time.monotonic()
            display.update(documents, completed=now.documents_done, total=now.documents)
            display.update(chunks, completed=now.chunks_done, total=now.chunks)
    except KeyboardInterrupt:
        console.print("Stopped watching; the work goes on. See it with: python manage.py status")
        sys.exit(130)


def note_of(now: RunProgress, *, waited: float) -> str:
    """Return why the runs wait, after watching them for ``waited`` seconds; empty when nothing is known."""
    if now.notes:
        return " ".join(now.notes)
    if now.retry_error:
        return f"Trying again later: {now.retry_error}"
    if waited > HINT_SECONDS and not now.documents_done and not now.chunks:
        return "No worker has taken it up yet: is `manage.py up` running?"
    return ""
