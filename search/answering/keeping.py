"""The events of an answer → a stored answer, and back.

In: what somebody is given, event by event. Out: a row of ``StoredAnswer`` with the passages as they were, and its name;
later the passages and the events of such a row. Answers that broke off are not stored: who shares or rates one means
all of it.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import DatabaseError, transaction

from ingestion.models import Collection
from search.answering import llm
from search.answering.answer import Done, Event, Found, Timed, answer
from search.answering.answer_cache import KINDS, Kept, worth_keeping
from search.answering.citations import Token
from search.answering.draft import DraftEvent, Notice
from search.answering.prompt import PROMPT_VERSION
from search.answering.rewriter import Exchange, condense
from search.answering.support import Unsupported
from search.answering.thinking import Discard
from search.models import Conversation, StoredAnswer
from search.questions import Passage, Question
from search.timings import Timings

logger = logging.getLogger(__name__)

UNANSWERED_KIND = "unanswered"


@dataclass(frozen=True, slots=True)
class Stored:
    """The answer is kept under this key; an empty one says that whoever asked cannot come back to it."""

    key: str


@dataclass
class Recording:
    """What a reader is being given; ``before`` is the answer that a follow-up follows on.

    ``told`` says that whoever asked is told the answer's name.
    """

    reader: str
    asked: str
    before: StoredAnswer | None = None
    told: bool = True
    found: Found = field(default_factory=lambda: Found((), "extractive"))
    events: list[DraftEvent] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)
    unanswered: bool = False

    def add(self, event: Event) -> None:
        """Record an event of the answer, if it is one that is stored."""
        match event:
            case Found():
                self.found = event
            case Token() | Unsupported() | Discard():
                self.events.append(event)
            case Notice(kind, _):
                self.unanswered = self.unanswered or kind == UNANSWERED_KIND
            case Timed(timings):
                self.timings = timings

    def store(self, question: Question) -> StoredAnswer:
        """Store the answer to ``question``, which for a follow-up is not what was asked word by word."""
        unanswered = self.unanswered or not self.found.passages
        with transaction.atomic():
            return StoredAnswer.objects.create(
                reader=self.reader,
                conversation=conversation_after(self.before) if self.before else None,
                question=self.asked,
                read_as=question.text if question.text != self.asked else "",
                source=question.source,
                version=question.version,
                mode=self.found.mode,
                outcome=StoredAnswer.Outcome.UNANSWERED if unanswered else StoredAnswer.Outcome.ANSWERED,
                passages=[asdict(passage) for passage in self.found.passages],
                pieces=[(type(event).__name__, asdict(event)) for event in worth_keeping(self.events)],
                timings=self.timings,
                versions=versions(),
            )


async def kept_answer(
    question: Question, timings: Timings, recording: Recording
) -> AsyncGenerator[Event | Stored, None]:
    """Yield the answer's events, and before the last of them the name that it is stored under."""
    if recording.before:
        with timings.stage("condense"):
            history = await sync_to_async(exchanges)(recording.before)
            alone = await condense(history, question.text, question.caller)
        if alone != question.text:
            yield Notice("understood", f"Understood as: {alone}")
        question = replace(question, text=alone, follow_up=True)
    async with aclosing(answer(question, timings)) as events:
        async for event in events:
            recording.add(event)
            is_last = isinstance(event, Done)
            if is_last and (stored := await sync_to_async(stored_if_possible)(recording, question)):
                yield Stored(stored.key if recording.told else "")
            yield event


def stored_if_possible(recording: Recording, question: Question) -> StoredAnswer | None:
    """Store the answer and return its row; None where answers are not kept, or the database refuses it.

    It refuses one whose reader has deleted the conversation meanwhile. The answer itself is complete all the same.
    """
    try:
        return recording.store(question) if settings.ANSWERS_KEPT_DAYS else None
    except DatabaseError as error:
        logger.warning("an answer was not stored: %s", error)
        return None


def exchanges(before: StoredAnswer) -> list[Exchange]:
    """Return the last turns of a conversation, the newest last."""
    turns = [before]
    if before.conversation:
        turns = list(before.conversation.answers.filter(id__lte=before.pk)[: settings.CONVERSATION_TURNS])[::-1]
    return [Exchange(turn.read_as or turn.question, turn.markdown) for turn in turns]


def conversation_after(before: StoredAnswer) -> Conversation:
    """Return the conversation that an answer belongs to; its first follow-up begins one."""
    if before.conversation is None:
        before.conversation = Conversation.objects.create(reader=before.reader)
        before.save(update_fields=["conversation"])
    return before.conversation


def versions() -> dict[str, str]:
    """Return the names of what answers are made with now: collection, embedder, language model and prompt."""
    searched = Collection.objects.searched()
    found = {"collection": searched.name, "embedder": searched.model} if searched else {}
    return {**found, "llm": settings.LLM_MODEL, "prompt": PROMPT_VERSION} if llm.configured() else found


def passages_of(stored: StoredAnswer) -> list[Passage]:
    """Return the passages of a stored answer as they were when it was given."""
    return [Passage.restored(fields) for fields in stored.passages]


def events_of(stored: StoredAnswer) -> list[Kept]:
    """Return the events that a stored answer consists of: its text, citations and verdicts."""
    pieces: list[tuple[str, dict[str, Any]]] = stored.pieces
    return [KINDS[kind](**fields) for kind, fields in pieces]
