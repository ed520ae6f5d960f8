"""Run by test_duplicates in a process of its own: workers that read one text under several addresses at the same time.

usage: python -m tests.support.meeting_workers TEXTS WORKERS [canonical]; prints how many documents stand for themselves
and how many are duplicates. Every worker is a forked child that takes one address of each text, and none stores a text
before all of them have read it. ``canonical``: two addresses name each other as the canonical one.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
from collections.abc import Sequence
from typing import Any

import django

django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import connections  # noqa: E402
from django.utils import timezone  # noqa: E402

from ingestion.models import Document, Run, Source  # noqa: E402
from ingestion.pipeline.process import duplicates, process_document  # noqa: E402
from ingestion.types import Page, TextChunk  # noqa: E402

HOME = "https://docs.example.org/"
forked = multiprocessing.get_context("fork")


def page(url: str, other: str) -> Page:
    """The page of a text, the same at each of its addresses but for the address that it names as its own."""
    number = url.removeprefix(HOME).partition("/")[0]
    head = f"<link rel=canonical href='{other}'>" if other else ""
    body = f"<html><head>{head}</head><body><main><h1>Text {number}</h1><p>{f'Words of {number}. ' * 40}</p></main>"
    return Page(url, body.encode(), "text/html")


def work(documents: Sequence[Document], others: Sequence[str], barrier: Any) -> None:
    connections.close_all()

    def meet_and_cut(*_: Any, **__: Any) -> list[TextChunk]:
        barrier.wait(60)
        return [TextChunk("Words", 0, 5, "", "", 3)]

    def meet_and_mark(document: Document, original: Document) -> bool:
        barrier.wait(60)
        return marking(document, original)

    marking = duplicates.mark_duplicate
    setattr(process_document, "chunk", meet_and_cut)  # noqa: B010  mypy knows it as another module's
    setattr(process_document, "load_tokenizer", lambda path: None)  # noqa: B010
    if any(others):
        duplicates.mark_duplicate = meet_and_mark
    for document, other in zip(documents, others, strict=True):
        setattr(process_document, "fetch", lambda spec, url, known, other=other: page(url, other))  # noqa: B010
        process_document.process(document.pk, 0)


def main(texts: int, workers: int, *, canonical: bool) -> None:
    call_command("migrate", verbosity=0)
    source = Source.objects.create(name="docs", kind="website", target=HOME)
    run = Run.objects.create(source=source, state=Run.State.RUNNING)
    urls = [[f"{HOME}{text}/{worker}" for text in range(texts)] for worker in range(workers)]
    rows = [[Document(source=source, run=run, url=url) for url in own] for own in urls]
    for own in rows:
        Document.objects.bulk_create(own)
    Document.objects.update(state=Document.State.FETCHING, lease_until=timezone.now())
    barrier = forked.Barrier(workers)
    connections.close_all()
    others = [urls[worker - 1] if canonical else [""] * texts for worker in range(workers)]
    processes = [forked.Process(target=work, args=(rows[n], others[n], barrier)) for n in range(workers)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    found = Document.objects.all()
    standing = found.filter(chunk_count__gt=0).count() + found.filter(state=Document.State.WAITING).count()
    figures = {"standing": standing, "duplicates": found.filter(state=Document.State.DUPLICATE).count()}
    sys.stdout.write(f"{json.dumps(figures)}\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), canonical="canonical" in sys.argv[3:])
