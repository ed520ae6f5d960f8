"""The events of an answer → a chat completion: text with citations as links, the same as annotations, token counts.

In: events of ``answering.answer``, and how the address of a passage is made absolute. Out: pieces of Markdown as they
come, ``annotations`` in OpenAI's form (``url_citation``; indices count characters of the content), and the objects of a
response or of a stream. Citations become ``[[1]](address)``, which a client that shows links shows as a number and any
other as text that can be followed.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from search.answering.answer import Done, Event, Found
from search.answering.citations import Token
from search.answering.draft import Notice
from search.answering.support import Unsupported
from search.answering.thinking import Discard
from search.api.openai_compatible.errors import error_body
from search.code_marks import FENCE
from search.questions import Passage

# Below an answer that the passages do not hold.
NEAREST = 3
# What may stand in a link of Markdown as it is; a parenthesis would end it.
LINK_SAFE = ":/?#[]@!$&'*+,;=%~-._"
DATA, END = "data: {}\n\n", "data: [DONE]\n\n"


@dataclass
class Completion:
    """One answer; ``streamed`` says that text was sent as it came, so that none of it can be taken back."""

    model: str
    link: Callable[[Passage], str]
    streamed: bool = False
    text: str = ""
    annotations: list[dict[str, Any]] = field(default_factory=list)
    finish: str = "stop"
    usage: dict[str, int] = field(default_factory=dict)
    id: str = field(default_factory=lambda: f"chatcmpl-{secrets.token_hex(12)}")
    created: int = field(default_factory=lambda: int(time.time()))
    _passages: tuple[Passage, ...] = ()

    def add(self, event: Event) -> str:
        """Take in an event, and return the text that it adds."""
        before = len(self.text)
        match event:
            case Found(passages):
                self._passages = passages
            case Token(text, 0):
                self.text += text
            case Token(_, number):
                self._cite(number)
            case Unsupported(missing):
                self.text += f" (not in the passages: {', '.join(missing)})"
            case Discard() if self.streamed:
                self.text += "\n\n(The text above was the model's thinking. Its answer:)\n\n"
            case Discard():
                self.text, self.annotations, before = "", [], 0
            case Notice("unanswered"):
                self._name_nearest()
            case Notice("cut"):
                self.finish = "length"
            case Done(tokens, prompt_tokens=prompt):
                self.usage = {"prompt_tokens": prompt, "completion_tokens": tokens, "total_tokens": prompt + tokens}
        return self.text[before:]

    def _cite(self, number: int, label: str = "") -> None:
        """Add the link of a citation, and its annotation."""
        passage = self._passages[number - 1]
        address = self.link(passage)
        line = self.text[self.text.rfind("\n") + 1 :]
        if FENCE.match(line):  # which text behind it would not close
            self.text += "\n> " if line.startswith(">") else "\n"
        start = len(self.text)
        self.text += f"[[{number}]]({quote(address, safe=LINK_SAFE)}){label}"
        cited = {"start_index": start, "end_index": len(self.text), "url": address, "title": title_of(passage)}
        self.annotations.append({"type": "url_citation", "url_citation": cited})

    def _name_nearest(self) -> None:
        """Add a list of the NEAREST best passages, for an answer which says that none of them answers."""
        self.text += "\n\nThe nearest passages:"
        for number, passage in enumerate(self._passages[:NEAREST], 1):
            self.text += "\n- "
            self._cite(number, f" {plain(title_of(passage))}")

    def whole(self) -> dict[str, Any]:
        """Return the response that is not streamed."""
        message = {"role": "assistant", "content": self.text, "refusal": None, "annotations": self.annotations}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self.finish}
        return {**self.head("chat.completion"), "choices": [choice], "usage": self.usage}

    def head(self, kind: str) -> dict[str, Any]:
        """Return the fields that every JSON object of this completion has; ``kind`` is its "object"."""
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}


@dataclass
class CompletionStream:
    """Writes a completion as server-sent events, from those of the answer."""

    completion: Completion
    counts: bool

    def __call__(self, waiting: Sequence[Event | Exception]) -> Iterator[str]:
        """Yield the lines of the stream that tell of these events; some events have none."""
        yield from filter(None, map(self.write, waiting))

    def write(self, event: Event | Exception) -> str:
        """Return what the stream says of an event; nothing where it says nothing."""
        if isinstance(event, Exception):
            return DATA.format(json.dumps(error_body(event)))
        text = self.completion.add(event)
        if isinstance(event, Found):
            return self._chunk({"role": "assistant", "content": ""})
        if isinstance(event, Done):
            return self._end()
        return self._chunk({"content": text}) if text else ""

    def _end(self) -> str:
        """Return the stream's last events: citations, if any, why the text ended, tokens, if asked for, and [DONE]."""
        annotations = self.completion.annotations
        cited = self._chunk({"annotations": annotations}) if annotations else ""
        ended = cited + self._chunk({}, self.completion.finish)
        if self.counts:
            head = self.completion.head("chat.completion.chunk")
            ended += DATA.format(json.dumps({**head, "choices": [], "usage": self.completion.usage}))
        return ended + END

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> str:
        """Return one server-sent event that adds ``delta`` to the message.

        ``finish`` is why the text ended, None before its end.
        """
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        chunk = {**self.completion.head("chat.completion.chunk"), "choices": [choice]}
        return DATA.format(json.dumps({**chunk, "usage": None} if self.counts else chunk))


def title_of(passage: Passage) -> str:
    """Return the page's title and the section."""
    return " › ".join(filter(None, [passage.title, passage.section]))


def plain(text: str) -> str:
    """Return hostile text without what Markdown or HTML would make of it."""
    return "".join(f"\\{char}" if char in "\\`*_[]<>()#!|~" else char for char in " ".join(text.split()))
