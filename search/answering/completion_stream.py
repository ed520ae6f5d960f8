"""The body of a completion, as its bytes come → what the model said, thought and why it ended.

In: the chunks of a response that an OpenAI-compatible server sends, a stream of events or one JSON object. Out:
``Said``, ``Thought`` and ``Ended``, in order. Raises ServerError with the server's own words where it reports an error.
Tolerates what real servers do: a byte order mark, line ends of all kinds, objects without an empty line between them or
over several lines, events without ``data:``, keep-alives, content as a list of parts, text under ``message`` or
``text``, characters divided over two chunks. Broken bytes become U+FFFD.

Does not know that some models write their thoughts into the text (``thinking``), nor when to give up (``llm``).
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

LINE_END = re.compile(r"\r\n|\n|\r(?=.)", re.DOTALL)
FIELD = re.compile(r"(data|event|id|retry)(?:: ?|$)|:")
# One event of a server that is well: 16 MB of a single line would be held in memory.
MAX_LINE_CHARS = 16_000_000
HIGH_SURROGATE = re.compile("[\ud800-\udbff]\\Z")
DONE = "[DONE]"
# A value with one of these stands for itself; others may be the last line of a longer value.
WHOLE = frozenset({"choices", "error", "usage"})
REASONING = ("reasoning_content", "reasoning", "reasoning_text", "thinking", "reasoning_details")
THOUGHT_PARTS = ("thinking", "reasoning", "redacted_thinking")


class ServerError(Exception):
    """What the server itself said went wrong."""


@dataclass(frozen=True, slots=True)
class Said:
    """Text of the answer, or of a refusal."""

    text: str
    refusal: bool = False


@dataclass(frozen=True, slots=True)
class Thought:
    """The model thinks in a field of its own; what it thinks is not for readers."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The server says that the completion is over; ``reason`` is its word, empty where it gives none."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Used:
    """The number of tokens that the server counted in the completion, and in the prompt."""

    tokens: int
    prompt: int = 0


Piece = Said | Thought | Ended | Used


class CompletionReader:
    """One response's reader: feed it the bytes in order, then ``finish``."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")(errors="replace")
        self._held: list[str] = []
        self._held_chars = 0
        self._data = ""  # the lines of an object that is not complete yet
        self._event = ""
        self._surrogate = ""

    def feed(self, body: bytes) -> Iterator[Piece]:
        """Yield the pieces of the completion in the lines that these bytes complete; keep an unfinished line.

        Raises ServerError where the server reports an error or a line is longer than MAX_LINE_CHARS.
        """
        text = self._decoder.decode(body)
        self._held.append(text)
        self._held_chars += len(text)
        if self._held_chars > MAX_LINE_CHARS:
            raise ServerError("a single line longer than 16 MB")
        if "\n" not in text and "\r" not in text and not (len(self._held) > 1 and self._held[-2].endswith("\r")):
            return
        *lines, rest = LINE_END.split("".join(self._held))
        self._held, self._held_chars = [rest], len(rest)
        for line in lines:
            yield from self._line(line)

    def finish(self) -> Iterator[Piece]:
        """Yield the pieces of the completion in the last line, which may lack its line end.

        Raises ServerError where the rest is not JSON or reports an error.
        """
        self._held.append(self._decoder.decode(b"", final=True))
        for line in LINE_END.split("".join(self._held)):
            yield from self._line(line.rstrip("\r"))
        if self._surrogate:
            yield Said("\ufffd")
        if self._data.strip():
            raise ServerError(f"no JSON: {self._data.strip()[:300]}")

    def _line(self, line: str) -> Iterator[Piece]:
        """Yield the pieces of the completion that are complete with this line of the event stream.

        A JSON object is read as soon as its last line is there: some servers send no empty line between events.
        """
        field = FIELD.match(line)
        if not line:
            self._event = ""
        elif field and field[1] == "event":
            self._event = line[field.end() :].strip()
        elif field and field[1] != "data":
            return
        elif data := (line[field.end() :] if field else line).strip("\ufeff"):
            yield from self._object(data)

    def _object(self, data: str) -> Iterator[Piece]:
        """Yield the pieces of a JSON value that ends with this line, alone or behind lines kept; keep other lines.

        Lines kept before are dropped when the line alone is a whole answer, not a part of theirs. Yield ``Ended`` for
        [DONE]. Raises ServerError where the value reports an error.
        """
        if data.strip() == DONE:
            yield Ended()
            return
        for text in (data, f"{self._data}\n{data}"):
            # Only a line that may end an object is tried: the lines of one cost no more than its length.
            if text.rstrip()[-1:] in tuple('}]"') or text.strip() == "null":
                try:
                    found = json.loads(text)
                except (ValueError, RecursionError):
                    continue
                if text is data and self._data and not (isinstance(found, dict) and WHOLE & found.keys()):
                    continue
                self._data = ""
                yield from self._chunk(found)
                return
        self._data = f"{self._data}\n{data}"

    def _chunk(self, chunk: Any) -> Iterator[Piece]:
        """Yield what a JSON value of the response holds: thought, text, refusal, end and token counts.

        Only its first choice is read, and nothing of a value that is no object. Raises ServerError where it reports an
        error.
        """
        if not isinstance(chunk, dict):
            return
        raise_error(chunk, is_error=self._event == "error")
        choices = [choice for choice in listed(chunk.get("choices")) if isinstance(choice, dict)]
        for choice in choices[:1]:
            message = next((m for m in (choice.get("delta"), choice.get("message")) if isinstance(m, dict)), {})
            if any(message.get(name) for name in REASONING) or thoughts(message.get("content")):
                yield Thought()
            yield from self._said(text_of(message.get("content")) or text_of(choice.get("text")))
            if refusal := text_of(message.get("refusal")):
                yield Said(refusal, refusal=True)
            if isinstance(reason := choice.get("finish_reason"), str) and reason:
                yield Ended(reason)
        usage = chunk.get("usage")
        if isinstance(usage, dict) and isinstance(tokens := usage.get("completion_tokens"), int):
            prompt = usage.get("prompt_tokens")
            yield Used(tokens, prompt if isinstance(prompt, int) else 0)

    def _said(self, text: str) -> Iterator[Said]:
        """Yield the text with surrogate pairs joined; the first half of one waits for the next chunk."""
        text = self._surrogate + text
        half = HIGH_SURROGATE.search(text)
        self._surrogate = half[0] if half else ""
        if text := text.removesuffix(self._surrogate):
            yield Said(text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace"))


def raise_error(chunk: dict[str, Any], *, is_error: bool) -> None:
    """Raise ServerError where a chunk reports an error, in one of the forms that servers have for it."""
    error = chunk.get("error")
    if not error and (is_error or chunk.get("object") == "error" or "choices" not in chunk):
        error = next((chunk[key] for key in ("message", "msg", "detail") if isinstance(chunk.get(key), str)), "")
        error = error or (is_error and json.dumps(chunk))
    if error:
        raise ServerError(words_of(error))


def words_of(error: Any) -> str:
    """Return the server's words from an error of any form, without line ends."""
    if isinstance(error, dict):
        error = error.get("message") or error.get("detail") or json.dumps(error)
    return " ".join(str(error).split())[:500]


def text_of(content: Any) -> str:
    """Return the text of a message's content, whose parts may be a list; anything else has none."""
    if isinstance(content, str):
        return content
    parts = [part if isinstance(part, str) else part_text(part) for part in listed(content)]
    return "".join(parts)


def part_text(part: Any) -> str:
    """Return the text of one part of a message's content; empty where it is the model's thinking or no text."""
    if not isinstance(part, dict) or part.get("type") in THOUGHT_PARTS:
        return ""
    return part["text"] if isinstance(part.get("text"), str) else ""


def thoughts(content: Any) -> bool:
    """Return whether any part of a message's content is the model's thinking."""
    return any(isinstance(part, dict) and part.get("type") in THOUGHT_PARTS for part in listed(content))


def listed(value: Any) -> Iterable[Any]:
    """Return a list as it is, and an empty one for anything else."""
    return value if isinstance(value, list) else []
