"""What goes into the API and what comes out, for the OpenAPI document."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from django.conf import settings
from ninja import Field, Schema
from pydantic import BeforeValidator, StrictBool

from search.forms import MAX_LIMIT
from search.models.stored_answer import NOTE_CHARS

# No null character, which no database stores, and something to read.
NO_NULL = r"^[^\u0000]*$"
TEXT = r"^[^\u0000]*[^\s\u0000][^\u0000]*$"
Line = Annotated[str, Field(max_length=500, pattern=NO_NULL)]


def json_number(value: object) -> object:
    """Refuse "5" and true, which pydantic takes for numbers."""
    if isinstance(value, bool | str):
        raise ValueError("Input should be a number")
    return value


# In bodies; in addresses everything is text.
JSON_NUMBER = BeforeValidator(json_number)
Mode = Literal["hybrid", "dense", "sparse", "words"]


class Problem(Schema):
    """An error, by RFC 9457."""

    type: str
    title: str
    status: int
    detail: str = Field(description="A sentence that says what is wrong and, where there is something, what to do.")
    error: str = Field(description="The same sentence.")
    request_id: str
    errors: list[dict[str, str]] = Field([], description="The fields that are not as described.")


class SearchFields(Schema):
    """A question, and where to look for what answers it."""

    q: str = Field(max_length=settings.QUESTION_MAX_CHARS, pattern=TEXT, description="The question.")
    source: str = Field(
        "", max_length=200, pattern=NO_NULL, description="The name of the one source to search; empty: all."
    )
    version: str = Field(
        "",
        max_length=100,
        pattern=NO_NULL,
        description="One of a product's versions, or `all`; empty: the newest of each.",
    )
    path: str = Field("", max_length=2000, pattern=NO_NULL, description="What addresses of documents begin with.")
    mode: Mode = Field("hybrid", description="How passages are found.")
    limit: int | None = Field(None, ge=1, le=MAX_LIMIT, description="Passages at most.")


class AskFields(SearchFields):
    """A question to be answered."""

    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT), JSON_NUMBER] | None = Field(None, description="Passages at most.")
    again: StrictBool = Field(False, description="Write a new answer where there is an earlier one.")
    stream: StrictBool = Field(False, description="Stream server-sent events, as with `Accept: text/event-stream`.")


class CopyOut(Schema):
    """Another document that says the same."""

    source: str
    version: str
    link: str


class PassageOut(Schema):
    """A passage; ``link`` leads to it on the original page or in our copy."""

    number: int
    score: float
    title: str
    url: str = Field(description="Empty where a browser cannot go.")
    heading: str
    section: str
    text: str
    preview: str
    document: int
    source: str
    version: str
    position: int
    link: str
    external: bool
    found_by: str = Field(description="The text that found it, where that is not the question.")
    also: list[CopyOut]


class SearchOut(Schema):
    passages: list[PassageOut]
    timings: dict[str, float] = Field(description="Milliseconds of each stage.")


class NoticeOut(Schema):
    kind: str
    message: str


class AnswerOut(Schema):
    """An answer in Markdown, whose [1] are the numbers of its passages; images and HTML in it are text."""

    id: str = Field(description="What `/feedback` calls it; empty where answers are not kept.")
    answer: str
    mode: Literal["llm", "extractive"]
    passages: list[PassageOut]
    notices: list[NoticeOut]
    unsupported: list[str] = Field(description="Numbers and names in the answer that its passages do not have.")
    error: str = Field(description="Why the language model did not finish; the passages are right all the same.")
    timings: dict[str, float]
    tokens: int
    tokens_per_second: float


class FeedbackIn(Schema):
    """What somebody says of an answer."""

    id: str = Field(max_length=32, pattern=TEXT, description="The answer's id, as `/ask` told it.")
    rating: Literal["up", "down", ""] = Field(description="Whether it helped; empty takes a rating back.")
    note: str = Field("", max_length=NOTE_CHARS, pattern=NO_NULL, description="What is right or wrong with it.")


class FeedbackOut(FeedbackIn):
    """What is stored of it."""


class SourceOut(Schema):
    """A source, and what of it can be found."""

    id: int
    name: str
    documents: int
    chunks: int


class SourceAdminOut(SourceOut):
    """A source as keys with the scope "admin" see it."""

    kind: str
    target: str
    include: list[str]
    exclude: list[str]
    refresh_seconds: int | None
    paused: bool
    deleting: bool
    readers: list[str]


class SourceIn(Schema):
    """A source to be made."""

    name: str = Field(max_length=200, pattern=TEXT)
    kind: Literal["website", "sitemap", "github", "files", "urls", "jsonl"]
    target: str = Field(max_length=2048, pattern=TEXT, description="As `manage.py ingest` takes it.")
    include: list[Line] = Field([], max_length=100, description="Globs; none: everything.")
    exclude: list[Line] = Field([], max_length=100, description="Globs that win over `include`.")
    max_pages: Annotated[int, Field(ge=0, le=2**31 - 1), JSON_NUMBER] | None = None
    max_depth: Annotated[int, Field(ge=0, le=1000), JSON_NUMBER] = 8
    refresh_seconds: Annotated[int, Field(ge=60, le=10**9), JSON_NUMBER] | None = None
    readers: list[Line] = Field([], max_length=100, description="Names of the groups that alone may read it.")


class SourcesOut(Schema):
    sources: list[SourceAdminOut | SourceOut]
    next: str | None


class DocumentOut(Schema):
    id: int
    source: str
    title: str
    url: str = Field(description="Empty where a browser cannot go.")
    updated_at: datetime


class DocumentsOut(Schema):
    documents: list[DocumentOut]
    next: str | None


class DocumentTextOut(DocumentOut):
    markdown: str


class RunOut(Schema):
    """One pass over a source."""

    id: int
    source: str
    source_id: int
    state: str
    error: str
    note: str = Field(description="Why it waits just now, if it does.")
    created_at: datetime
    finished_at: datetime | None
    figures: dict[str, Any]


class RunsOut(Schema):
    runs: list[RunOut]
    next: str | None
