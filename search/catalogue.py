"""What a caller can find: sources, documents and their chunks, counted and read from the rows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from time import monotonic
from typing import Any

from django.db.models import Count, Exists, OuterRef, Q, QuerySet

from ingestion.models import Chunk, Collection, Document, Source
from search.access.caller import Caller
from search.questions import Passage

# Of 100 000 documents it takes 0.4 s of a processor, and everybody who opens the page asks for it.
MANY_DOCUMENTS, OVERVIEW_SECONDS = 10_000, 60.0
EXAMPLES = 6
# A longer one does not fit on a button.
EXAMPLE_CHARS = 60
# Documents whose headings are looked at, and headings of each: the longest have the most to say.
DOCUMENTS_LOOKED_AT, HEADINGS_LOOKED_AT = 20, 400
# Headings that begin so ask something when "How do I" stands in front of them.
GERUNDS = {
    "Accessing": "access", "Adding": "add", "Applying": "apply", "Building": "build", "Changing": "change",
    "Configuring": "configure", "Connecting": "connect", "Creating": "create", "Customizing": "customize",
    "Debugging": "debug", "Defining": "define", "Deleting": "delete", "Deploying": "deploy", "Disabling": "disable",
    "Enabling": "enable", "Extending": "extend", "Handling": "handle", "Installing": "install", "Loading": "load",
    "Managing": "manage", "Migrating": "migrate", "Removing": "remove", "Running": "run", "Serving": "serve",
    "Setting up": "set up", "Updating": "update", "Upgrading": "upgrade", "Using": "use",
    "Writing": "write",
}  # fmt: skip
YOUR = re.compile(r"\byour\b")
QUESTION = re.compile(rf"(?:How to (?P<to>.+)|(?P<gerund>{'|'.join(GERUNDS)}) (?P<what>.+)|(?P<whole>.+\?))\Z")


@dataclass(frozen=True, slots=True)
class Overview:
    """What the page shows of the index before a question."""

    sources: list[str]
    versions: list[str]
    documents: int
    examples: list[str]


# By the sources that are seen (None: all): until when an overview is kept, by the monotonic clock, and the overview.
_overviews: dict[frozenset[int] | None, tuple[float, Overview]] = {}
_counting = Lock()


@dataclass(frozen=True, slots=True)
class IndexedSource:
    """A source, and how many of its documents and chunks can be found."""

    name: str
    documents: int
    chunks: int


def overview(caller: Caller) -> Overview:
    """Return how many documents the caller can find, their sources and versions, and questions to start with.

    With MANY_DOCUMENTS it is made once in OVERVIEW_SECONDS for all who see the same sources.
    """
    with _counting:
        kept = _overviews.get(caller.sources)
        if kept and monotonic() < kept[0]:
            return kept[1]
        found = counted(caller)
        if found.documents >= MANY_DOCUMENTS:
            _overviews[caller.sources] = (monotonic() + OVERVIEW_SECONDS, found)
            for ended in [seen for seen, (until, _) in _overviews.items() if until < monotonic()]:
                del _overviews[ended]
        return found


def counted(caller: Caller) -> Overview:
    """Return the overview, counted anew."""
    documents = findable_documents(caller)
    sources = Source.objects.filter(id__in=documents.values("source_id")).order_by("name")
    names = list(sources.values_list("name", flat=True))
    versions = set(sources.exclude(version="").values_list("version", flat=True))
    return Overview(names, sorted(versions), documents.count(), examples(documents))


def examples(documents: QuerySet[Document]) -> list[str]:
    """Return questions that headings of the longest documents answer, one of each document; then their titles."""
    longest = list(documents.exclude(title="").order_by("-chunk_count", "id")[:DOCUMENTS_LOOKED_AT].only("id", "title"))
    chunks = Chunk.objects.filter(findable(), document__in=[document.pk for document in longest])
    questions: dict[int, str] = {}
    for document, heading in chunks.order_by("position").values_list("document_id", "heading")[:HEADINGS_LOOKED_AT]:
        found = question_of(heading.rpartition(" › ")[2])
        if found and document not in questions and len(found) <= EXAMPLE_CHARS:
            questions[document] = found
    titles = [document.title for document in longest if len(document.title) <= EXAMPLE_CHARS]
    return list(dict.fromkeys([*questions.values(), *titles]))[:EXAMPLES]


def question_of(heading: str) -> str:
    """Return the question that a heading announces an answer to; empty where it announces none."""
    match = QUESTION.match(heading)
    if not match:
        return ""
    if match["whole"]:
        return match["whole"]
    task = match["to"] or f"{GERUNDS[match['gerund']]} {match['what']}"
    return f"How do I {re.sub(YOUR, 'my', task)}?"


def counted_sources(caller: Caller) -> QuerySet[Source]:
    """Return the caller's sources that nobody is deleting, with the numbers ``findable`` (documents) and ``chunks``."""
    indexed = findable("documents__chunks__")
    return Source.objects.filter(caller.visible("id"), deleting=False).annotate(
        findable=Count("documents", filter=indexed, distinct=True),
        chunks=Count("documents__chunks", filter=indexed),
    )


def indexed_sources(caller: Caller) -> list[IndexedSource]:
    """Return every source that the caller sees and nobody is deleting, by name."""
    rows: Iterable[Any] = counted_sources(caller).order_by("name")
    return [IndexedSource(row.name, row.findable, row.chunks) for row in rows]


def source_names(caller: Caller) -> list[str]:
    """Return the names of the caller's sources that nobody is deleting, in order."""
    seen = Source.objects.filter(caller.visible("id"), deleting=False)
    return list(seen.order_by("name").values_list("name", flat=True))


def findable(chunks: str = "") -> Q:
    """Return the condition for chunks that answers may come from; ``chunks`` is the path from the model to them.

    While a collection is filled for another model, chunks that wait for it again are still found in the one before.
    """
    found = Q(**{f"{chunks}state": Chunk.State.INDEXED})
    if not Collection.objects.exclude(checked_to=None).exists():
        return found
    again = Q(**{f"{chunks}buffered_at__isnull": False}) & ~Q(**{f"{chunks}state__in": Chunk.LEAVING})
    return found | again


def findable_documents(caller: Caller) -> QuerySet[Document]:
    """Return the documents of the caller's sources with a chunk that can be found, without those being deleted."""
    indexed = Chunk.objects.filter(findable(), document=OuterRef("pk"))
    return Document.objects.filter(Exists(indexed), caller.visible("source"), source__deleting=False)


def may_see(caller: Caller, documents: Iterable[int]) -> bool:
    """Return whether the caller may see all these documents, given by their ids.

    A document that is gone belongs to no source any more: only a caller that sees everything may see it.
    """
    wanted = set(documents)
    seen = Document.objects.filter(caller.visible("source"), id__in=wanted)
    return caller.sources is None or seen.count() == len(wanted)


def with_visible_copies(caller: Caller, passages: Sequence[Passage]) -> list[Passage]:
    """Return stored passages, each with those of its copies alone whose sources the caller sees."""
    copied = {copy.source for passage in passages for copy in passage.copies}
    sources = Source.objects.filter(caller.visible("id"), name__in=copied)
    seen = set(sources.values_list("name", flat=True)) if copied else set()
    return [replace(each, copies=tuple(c for c in each.copies if c.source in seen)) for each in passages]


def stored_document(document_id: int, caller: Caller) -> tuple[Document, list[Chunk]] | None:
    """Return a document and its chunks in order, those that can be found; None where the caller sees none."""
    document = findable_documents(caller).select_related("source").defer("markdown").filter(id=document_id).first()
    if document is None:
        return None
    chunks = document.chunks.filter(findable()).order_by("position")
    return document, list(chunks)
