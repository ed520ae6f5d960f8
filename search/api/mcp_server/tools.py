"""What the tools do. In: the arguments of a call, and who calls. Out: ``results``, or ToolError with a sentence.

When the client cancels a call or hangs up, the answer that is being written for it is given up.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from typing import Annotated

from asgiref.sync import sync_to_async
from django.conf import settings
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError, ToolError
from pydantic import Field

from search import catalogue
from search.access.admission import admit
from search.access.caller import ASK, SEARCH
from search.answering.answer import Found, answer
from search.answering.citations import Token
from search.answering.draft import Notice
from search.answering.inert_markdown import inert
from search.answering.support import Unsupported
from search.answering.thinking import Discard
from search.api.mcp_server.asking import Asking, asking
from search.api.mcp_server.quotations import cited, page_of, pages_of, quoted
from search.api.mcp_server.results import (
    QUOTATION,
    Answer,
    Fetched,
    FoundPassages,
    IndexedSource,
    Page,
    Results,
    Sources,
)
from search.exceptions import FAILURES, QuestionRefused, public_message
from search.forms import read_question
from search.questions import Passage, Question
from search.retrieval.retriever import retrieve_queued
from search.timings import Timings

Query = Annotated[
    str, Field(max_length=20_000, description="A question or keywords, in the words of the documentation.")
]
SourceName = Annotated[str, Field(max_length=200, description="Search only this source (list_sources names them).")]
MOST_PASSAGES = 10
# A client is told how an answer grows after so many of its tokens.
TOLD_EVERY = 25


async def search_docs(
    query: Query,
    ctx: Context,
    source: SourceName = "",
    limit: Annotated[int, Field(ge=1, le=MOST_PASSAGES, description="Passages at most.")] = 5,
) -> FoundPassages:
    """Return at most ``limit`` passages that are found for a query, best first; an empty ``source`` means all sources.

    Raises ToolError, with a sentence for the model, when the call is refused or the search fails.
    """
    passages, asked = await found(query, ctx, source, limit)
    return FoundPassages(passages=[quoted(passage, asked.site) for passage in passages])


async def search(query: Query, ctx: Context) -> Results:
    """Return the pages of the MOST_PASSAGES best passages for a query, each page once, best first.

    Raises ToolError, with a sentence for the model, when the call is refused or the search fails.
    """
    passages, asked = await found(query, ctx, "", MOST_PASSAGES)
    return Results(results=list(pages_of(passages, asked.site)))


async def found(query: str, ctx: Context, source: str, limit: int) -> tuple[list[Passage], Asking]:
    """Return the passages that are found for a tool's ``query``, and who calls. Raises ToolError."""
    asked = await asking(ctx)
    with told(source):
        await sync_to_async(admit)(asked.caller, SEARCH)
        question = read_question({"q": query, "source": source}, asked.caller, limit=limit)
        return await retrieve_queued(question, Timings()), asked


async def ask_docs(question: Query, ctx: Context, source: SourceName = "") -> Answer:
    """Return an answer to the question with its citations; tell the client meanwhile how the answer grows.

    An empty ``source`` means all sources. Raises ToolError, with a sentence for the model, when the call is refused or
    the answer fails.
    """
    asked = await asking(ctx)
    with told(source):
        await sync_to_async(admit)(asked.caller, ASK)
        read = read_question({"q": question, "source": source}, asked.caller, limit=settings.ANSWER_PASSAGES)
        return await collected(read, asked, ctx)


async def collected(question: Question, asked: Asking, ctx: Context) -> Answer:
    """Return the whole answer to the question; report its progress to the client meanwhile."""
    text, mode, tokens = "", "", 0
    passages: tuple[Passage, ...] = ()
    notices: list[str] = []
    async with aclosing(inert(answer(question, Timings()))) as events:
        async for event in events:
            match event:
                case Found():
                    passages, mode = event.passages, event.mode
                    await ctx.report_progress(0, message=f"{len(passages)} passages found")
                case Token():
                    text, tokens = text + event.text, tokens + 1
                    if tokens % TOLD_EVERY == 0:
                        await ctx.report_progress(tokens, message=f"{len(text)} characters written")
                case Discard():
                    text = ""
                case Unsupported(missing):
                    text += f" (not in the passages: {', '.join(missing)})"
                case Notice("waiting", message):
                    await ctx.report_progress(0, message=message)
                case Notice(kind, message) if kind != "thinking":
                    notices.append(message)
    return Answer(
        answer=text,
        written_by="language model" if mode == "llm" else "extracts",
        notices=notices,
        citations=[cited(passage, number, asked.site) for number, passage in enumerate(passages, 1)],
    )


async def fetch_page(
    page: Annotated[str, Field(max_length=2048, description="A page's id from a result, or its address.")],
    ctx: Context,
    position: Annotated[int, Field(ge=0, description="Begin there; results and next_position name positions.")] = 0,
) -> Page:
    """Return a page, or the part of a long one that begins at the passage with the number ``position``.

    Raises ToolError when there is no such page that the caller may read, and when the call is refused.
    """
    asked = await asking(ctx)
    with told():
        await sync_to_async(admit)(asked.caller, SEARCH)
        read = await sync_to_async(stored_page)(page, asked, position)
    if read is None:
        raise ToolError("There is no such page in the index. Take the id from a result of search_docs.")
    return read


async def fetch(
    id: Annotated[str, Field(max_length=40, description="From a result of search.")], ctx: Context
) -> Fetched:
    """Return the page that an ``id`` from ``search`` names, a long one from the passage that was found.

    ``metadata`` has the id of the rest under "continues", where the page goes on. Raises ToolError when there is no
    such page that the caller may read, and when the call is refused.
    """
    page, _, position = id.partition(".")
    read = await fetch_page(page, ctx, int(position) if position.isdecimal() else 0)
    about = {"source": read.source, "note": QUOTATION}
    if read.next_position is not None:
        about["continues"] = f"fetch {read.page}.{read.next_position}"
    return Fetched(id=id, title=read.title, text=read.text, url=read.url, metadata=about)


async def list_sources(ctx: Context) -> Sources:
    """Return the sources that the caller may search, by name, with the number of pages and passages that can be found.

    Raises ToolError, with a sentence for the model, when the call is refused or the database fails.
    """
    asked = await asking(ctx)
    with told():
        await sync_to_async(admit)(asked.caller, SEARCH)
        found = await sync_to_async(catalogue.indexed_sources)(asked.caller)
    return Sources(
        sources=[IndexedSource(name=each.name, pages=each.documents, passages=each.chunks) for each in found]
    )


async def page_resource(page: str, ctx: Context) -> str:
    """Return a page from its beginning, for clients that attach documents themselves."""
    asked = await asking(ctx)
    try:
        await sync_to_async(admit)(asked.caller, SEARCH)
        read = await sync_to_async(stored_page)(page, asked, 0)
    except FAILURES as error:
        raise ResourceError(public_message(error)) from error
    if read is None:
        raise ResourceNotFoundError("There is no such page in the index.")
    rest = f"\n\n(fetch_page reads on at position {read.next_position}.)" if read.next_position is not None else ""
    return f"> {QUOTATION}\n\n# {read.title}\n\n{read.url}\n\n{read.text}{rest}"


def stored_page(page: str, asked: Asking, position: int) -> Page | None:
    """Return a page by its id or its address; None where there is none that the caller may read."""
    wanted: int | None = int(page) if page.isdecimal() and len(page) < 19 else None
    if wanted is None and "\0" not in page:  # which no database takes
        seen = catalogue.findable_documents(asked.caller).filter(url=page.partition("#")[0])
        wanted = seen.values_list("pk", flat=True).first()
    found = catalogue.stored_document(wanted, asked.caller) if wanted is not None else None
    return page_of(*found, asked.site, position) if found else None


@contextmanager
def told(source: str = "") -> Iterator[None]:
    """Raise a failure of the block as ToolError, with a sentence without internals for the model that called.

    ``source`` is the source's name in the call: an error in the question then mentions ``list_sources``.
    """
    try:
        yield
    except FAILURES as error:
        sentence = public_message(error, with_passages=False)
        hint = " list_sources names those there are." if source and isinstance(error, QuestionRefused) else ""
        raise ToolError(sentence + hint) from error
