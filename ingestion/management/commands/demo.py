"""`manage.py demo`: Django's documentation through the whole system, and three questions to it.

Takes the documentation from Django's source archive on the package registry, assembles the stand-in model, runs the
embedded stack, ingests, asks, prints figures, and stops what it started. The second time everything is unchanged and
nothing is embedded again.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from ingestion.benchmarks.django_docs import documentation
from ingestion.exceptions import SourceError
from ingestion.types import Json
from ragproject.embedded.parent_watch import bound_to_parent

# The guides, which most questions are about, without the reference: 90 of the 656 pages.
PART = ("intro/*", "topics/*", "faq/*")
QUESTIONS = (
    "How do I make a query that spans a relationship between two models?",
    "How can I run a function after the database transaction commits?",
    "What is a context processor and where do I register it?",
)
READY_SECONDS = 180


class Command(BaseCommand):
    help = "Ingest Django's documentation with the embedded stack, ask three questions, print figures, stop."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--pages", type=page_count, default=90, help='a number, or "all" (656)')

    def handle(self, *args: Any, pages: int, **options: Any) -> None:
        started = time.monotonic()
        folder = Path(settings.DATA_DIR)
        self.say("1. Django's documentation, from its source archive on the package registry")
        try:
            docs = documentation(folder)
        except SourceError as error:
            raise CommandError(str(error)) from error
        self.say("2. The embedding model: MiniLM as a small English stand-in for BGE-M3")
        call_command("standin_model", corpus=docs)
        self.say(f"3. The stack: Redis, Milvus Lite, workers, Beat, web (log: {folder / 'demo.log'})")
        with running_stack(folder / "demo.log"):
            self.say(f"4. Ingesting {'all' if not pages else f'up to {pages}'} pages")
            figures = ingest(docs, pages)
            self.report(figures)
            self.say("5. Three questions")
            for question in QUESTIONS:
                self.ask(question)
        self.say(f"\nDone in {time.monotonic() - started:.0f} s; everything that was started is stopped.")
        self.stdout.write(
            "   Ask yourself:      make up DEMO=1, then open "
            f"http://{settings.WEB_HOST}:{settings.WEB_PORT}/\n"
            "   The whole corpus:  make demo PAGES=all\n"
            "   Your own pages:    make up, and in a second terminal: .venv/bin/python manage.py ingest TARGET --wait\n"
            "   The real BGE-M3, a GPU, PostgreSQL, Milvus and an LLM: see README.md"
        )

    def say(self, text: str) -> None:
        """Print a heading."""
        self.stdout.write(self.style.MIGRATE_HEADING(text))
        self.stdout.flush()

    def report(self, figures: Json) -> None:
        """Print the figures of a run."""
        rate = figures["tokens"] / max(figures["stages"]["embed"], 0.001)
        stages = ", ".join(f"{name} {seconds:.1f}" for name, seconds in figures["stages"].items())
        self.stdout.write(
            f"   pages {figures['documents']}, chunks {figures['chunks']}, failed {figures['failed']}, "
            f"{figures['seconds']} s from start to searchable\n   seconds of work per stage: {stages}"
        )
        if figures["embedded"]:
            self.stdout.write(f"   {figures['tokens']} tokens in {figures['embedded']} chunks, {rate:.0f} tokens/s")
        else:
            self.stdout.write(f"   nothing changed: 0 chunks embedded, all {figures['reused']} reused")

    def ask(self, question: str) -> None:
        """Print the answer to a question, with its citations and what it cost."""
        output = StringIO()
        call_command("ask", question, json=True, stdout=output)
        reply = json.loads(output.getvalue())
        self.stdout.write(self.style.SUCCESS(f"\n   {question}"))
        for line in reply["answer"].strip().splitlines():
            self.stdout.write(f"   {line}")
        for citation in reply["citations"]:
            self.stdout.write(f"   [{citation['number']}] {citation['heading']}\n       {citation['url']}")
        spent = ", ".join(f"{stage} {ms}" for stage, ms in reply["timings"].items())
        self.stdout.write(f"   milliseconds: {spent}")


def page_count(text: str) -> int:
    """Return the number of pages that the option names; 0 for "all". Raise ArgumentTypeError for anything else."""
    if text == "all":
        return 0
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise ArgumentTypeError('must be a positive number or "all"')


@contextmanager
def running_stack(log: Path) -> Iterator[None]:
    """Run `manage.py up` as a child process, ready when the block begins; its output goes to ``log``.

    In a session of its own, as a terminal's Ctrl-C would be a second request to stop, which kills everything. Raise
    CommandError when it does not become ready.
    """
    command = bound_to_parent([sys.executable, "manage.py", "up"])
    with log.open("w") as output:
        process = subprocess.Popen(  # noqa: S603
            command, stdout=output, stderr=output, cwd=settings.BASE_DIR, start_new_session=True
        )
        try:
            deadline = time.monotonic() + READY_SECONDS
            while "\nready " not in log.read_text(errors="replace"):
                if process.poll() is not None or time.monotonic() > deadline:
                    end = log.read_text(errors="replace")[-2000:]
                    raise CommandError(f"The stack did not start. The end of {log}:\n{end}")
                time.sleep(0.2)
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def ingest(docs: Path, pages: int) -> Json:
    """Run `manage.py ingest` with its live progress and return its figures.

    The choice of pages only ever grows: with at least so many pages known, the stored choice stands.
    """
    from ingestion.models import Document

    known = Document.objects.filter(source__target=str(docs)).exclude(state=Document.State.GONE).count()
    if not pages:
        options = ["--include", "*.txt", "--max-pages", "100000"]
    elif known >= pages:
        options = []
    else:
        options = [*(f"--include={glob}" for glob in PART), "--max-pages", str(pages)]
    command = [sys.executable, "manage.py", "ingest", str(docs), "--name", "Django documentation", "--json"]
    done = subprocess.run(  # noqa: S603
        [*command, *options], stdout=subprocess.PIPE, text=True, cwd=settings.BASE_DIR, check=False
    )
    if done.returncode:
        raise CommandError("Some pages failed; the reasons are above.")
    figures: Json = json.loads(done.stdout)
    return figures
