"""A reader's question → what is searched for: a follow-up made to stand alone, a question of several parts taken apart.

In: a question, and the exchanges before it. Out: texts to search with, never shown as an answer. A configured language
model writes them until REWRITE_SECONDS have passed. After that, without one, or where other answers come first, a
follow-up takes the subject of the question before it along, and a question of several parts stays as it is. What stands
alone already and asks one thing is never sent to a model.

What a model writes here is hostile like everything that it writes: it becomes one printable line of bounded length.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from typing import NamedTuple

from django.conf import settings

from ingestion.words.language import language_of
from ingestion.words.terms import is_name, tokens
from ingestion.words.weights import telling
from search.access.caller import Caller
from search.access.fair_queue import process_queues
from search.answering import llm
from search.answering.citations import printable
from search.answering.completion_stream import Said
from search.answering.extractive import STOP_WORDS
from search.answering.prompt import Message
from search.answering.thinking import Discard, ThinkingFilter
from search.exceptions import LLMFailed

logger = logging.getLogger(__name__)

# Parts of a question that are searched for, besides the question itself.
PARTS = 3
# Older exchanges say little of what is asked now; of an answer its beginning says what it was about.
EXCHANGES, ANSWER_CHARS = 4, 600
LINE_CHARS = 400
# More than this is no list of questions.
SAID_CHARS = 4000
# A question with more words of its own finds its passages by them, whatever its pronouns point at.
FEW_WORDS = 4
# So many tokens make no sentence: "in production?", "and templates?".
FRAGMENT_TOKENS = 3
# Words of the question before that a follow-up takes along; more would outweigh its own.
SUBJECT_WORDS = 6
# A question of several parts has at least so many words of its own.
PART_WORDS = 5

# Words that point at what was said before, in the languages of ``words.language``.
POINTING_WORDS = """
    it its this these those them they ones
    es ihn ihm dies diese dieser dieses diesen davon damit dafür dazu darin
    ça cela ceci celui celle ceux celles
    eso esto esta este estas estos ello
    questo questa questi queste esso
    isso isto esse essa aquilo
    dit deze dat hiervan daarvan ermee
    это этот эта эти его её их
"""
POINTING = frozenset(POINTING_WORDS.split())
# "that" joins clauses more often than it points at something.
POINTING_THAT = re.compile(r"\b(?:do|does|did|is|was|about|like|for|with|of|after|before|without|than|to) that\b", re.I)
GOING_ON = re.compile(
    r"\s*(?:and|but|then|what about|how about|what if|und|aber|et|mais|y|pero|ma|mas|maar|а|и|но)\b", re.IGNORECASE
)
JOINING = re.compile(
    r"\b(?:and|or|vs|versus|than|compared?|difference|both|und|oder|et|ou|y|и|или)\b|\?.*\?", re.IGNORECASE
)
LIST_MARK = re.compile(r"^\s*(?:[-*•]|\d{1,2}[.)])\s+")

ALONE = """\
Below is a conversation about documentation, and a follow-up question. Write the follow-up as one question that can be \
understood without the conversation: replace what points back by what it points at. Copy names, versions and code \
exactly. Do not answer it. Write nothing but the question, in its language."""
APART = """\
The question below asks for several things. Write at most {parts} short questions that together ask the same, one on \
each line, each understandable on its own. Copy names, versions and code exactly. Do not answer them and write nothing \
else."""


class Exchange(NamedTuple):
    """A question of a conversation, and the answer that it was given."""

    question: str
    answer: str = ""


async def condense(history: Sequence[Exchange], question: str, caller: Caller) -> str:
    """Return the question, reworded so that it can be searched for without the conversation before it.

    ``history`` is that conversation, the last exchange last. A question that stands alone is returned as it is. Raises
    TooBusy.
    """
    if not history or stands_alone(question):
        return question
    recent = history[-EXCHANGES:]
    if llm.configured():
        said = [f"Question: {e.question}\nAnswer: {e.answer[:ANSWER_CHARS]}" for e in recent]
        content = "\n\n".join([*said, f"Follow-up question: {question}"])
        for line in lines_of(await written(messages_of(ALONE, content), caller)):
            return line
    return with_subject(recent, question)


async def parts_of(question: str, caller: Caller) -> list[str]:
    """Return at most PARTS questions that a language model splits this one into; none where it asks one thing.

    Raises TooBusy.
    """
    if not (llm.configured() and has_parts(question)):
        return []
    asked = messages_of(APART.format(parts=PARTS), f"Question: {question}")
    parts = list(lines_of(await written(asked, caller)))
    return parts[:PARTS] if len(parts) > 1 else []


def stands_alone(question: str) -> bool:
    """Return whether a question says itself what it is about."""
    own = own_words(question)
    fragment = len(tokens(question)) <= FRAGMENT_TOKENS and not any(map(is_name, own))
    if fragment or not own or GOING_ON.match(question):
        return False
    return len(own) > FEW_WORDS or not points_back(question)


def points_back(question: str) -> bool:
    """Return whether a word of the question stands for something that was said before."""
    return bool(POINTING_THAT.search(question)) or any(word.casefold() in POINTING for word in tokens(question))


def has_parts(question: str) -> bool:
    """Return whether a question may ask for several things."""
    return bool(JOINING.search(question)) and len(own_words(question)) >= PART_WORDS


def own_words(question: str) -> list[str]:
    """Return the words of a question that say what it is about, once each."""
    asked, language = tokens(question), language_of(question)
    empty = STOP_WORDS | POINTING | language.frequent_words | {"about"}
    words = [word for word in telling(asked, language) if is_name(word) or word.casefold() not in empty]
    return list(dict.fromkeys(words))


def with_subject(history: Sequence[Exchange], question: str) -> str:
    """Return the question with, in parentheses, words of the last earlier question that stood alone."""
    before = next((e.question for e in reversed(history) if stands_alone(e.question)), history[0].question)
    said = {word.casefold() for word in own_words(question)}
    subject = [word for word in own_words(before) if word.casefold() not in said][:SUBJECT_WORDS]
    return f"{question} ({' '.join(subject)})" if subject else question


def messages_of(rules: str, content: str) -> list[Message]:
    """Return the messages of a request: the rules, then what they are about."""
    return [{"role": "system", "content": rules}, {"role": "user", "content": content}]


async def written(messages: list[Message], caller: Caller) -> str:
    """Return what the language model writes within REWRITE_SECONDS, without its thoughts; empty when it takes longer.

    An answer that is not complete by then is worth nothing: its last line may be half a question. Where other answers
    come first nothing is asked of the model. Raises TooBusy where too many wait already.
    """
    with process_queues().answers.queued(caller) as ticket:
        if not ticket.granted.done():
            return ""
        text, thoughts = "", ThinkingFilter()
        try:
            async with asyncio.timeout(settings.REWRITE_SECONDS), aclosing(llm.stream_completion(messages)) as pieces:
                async for piece in pieces:
                    for part in thoughts.feed(piece.text) if isinstance(piece, Said) else ():
                        if isinstance(part, str | Discard):
                            text = text + part if isinstance(part, str) else ""
                    if len(text) > SAID_CHARS:
                        return ""
        except (TimeoutError, LLMFailed) as error:
            logger.info("a question was not rewritten: %s", str(error) or "it took too long")
            return ""
        return text + "".join(part for part in thoughts.finish() if isinstance(part, str))


def lines_of(text: str) -> Iterator[str]:
    """Yield the lines of a model's text that can be questions, without the marks of a list."""
    for line in printable(text).split("\n"):
        bare = " ".join(LIST_MARK.sub("", line).split()).strip('"“”')
        if bare and len(bare) <= LINE_CHARS:
            yield bare
