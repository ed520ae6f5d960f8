"""What one model at one server turned out to be like, and the request that it takes.

In: the refusals of a server. Out: requests with the parameters that it knows, and how much of a prompt fits. Kept for
the life of the process: a server is asked the wrong way once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.conf import settings

from search.answering.prompt import Message

# The names under which servers tell the size of a model's context: vLLM, OpenRouter, Groq, Mistral, llama.cpp, Google.
CONTEXT_NAMES = ("max_model_len", "context_length", "context_window", "max_context_length", "n_ctx", "inputTokenLimit")
TOO_LONG = re.compile(
    r"context[ _](?:length|size|window)|n_ctx|prompt is too long|too many (?:input )?tokens|reduce the length"
    r"|input (?:is )?too long|maximum (?:input|prompt) (?:length|tokens)"
    r"|exceeds? the (?:maximum|max|limit)[^.]{0,40}tokens",
    re.IGNORECASE,
)
LIMIT = re.compile(
    r"(?:context length is|context size \(|context window of|n_ctx\W{1,4}|maximum of|limit of|> )\s*(\d{3,8})", re.I
)
PROMPT = re.compile(
    r"(\d{3,8})(?: tokens)? in (?:the|your) (?:messages|prompt)|n_prompt_tokens\W{1,4}(\d+)"
    r"|(?:request|prompt|input)[^\d]{0,30}(\d{3,8}) tokens",
    re.IGNORECASE,
)
SYSTEM_ROLE = re.compile(
    r"system (?:role|message|prompt|instruction)|developer instruction|roles must alternate", re.IGNORECASE
)
FEWER_TOKENS = re.compile(r"at most (\d{2,7}) (?:completion|output) tokens", re.IGNORECASE)
# The prompt is cut to this part of what should fit, because tokens are not counted here.
MARGIN = 0.85
LEAST_SHARE = 0.1


@dataclass
class ServerHabits:
    """What a model takes: rules in a message of their own, the name of the limit on tokens, a count at the end.

    ``ends_only``: it hands over its thoughts with a tag at their end and none at their beginning.
    """

    system_role: bool = True
    limit_name: str = "max_tokens"
    limit: int = 0  # tokens; 0: LLM_MAX_TOKENS
    counts: bool = True
    ends_only: bool = False
    context_tokens: int | None = None

    def request(self, messages: list[Message]) -> dict[str, Any]:
        """Return the arguments for a request with these messages, in the form that this server accepts."""
        options: dict[str, Any] = {"stream_options": {"include_usage": True}} if self.counts else {}
        if self.limit_name:
            options[self.limit_name] = self.limit or settings.LLM_MAX_TOKENS
        if not self.system_role:
            messages = [{"role": "user", "content": "\n\n".join(message["content"] for message in messages)}]
        return {"model": settings.LLM_MODEL, "messages": messages, "stream": True, **options}

    def learn(self, status: int, words: str) -> bool:
        """Note what a refused request tells of the server; return whether the next request will differ."""
        before, text = (self.system_role, self.limit_name, self.limit, self.counts), words.casefold()
        if status not in (400, 404, 415, 422, 500, 501):
            return False
        if "stream_options" in text or "include_usage" in text:
            self.counts = False
        elif self.system_role and SYSTEM_ROLE.search(words):
            self.system_role = False
        elif fewer := FEWER_TOKENS.search(words):
            self.limit = int(fewer[1])
        elif "max_completion_tokens" in text or ("max_tokens" in text and not TOO_LONG.search(words)):
            self.limit_name = "max_completion_tokens" if self.limit_name == "max_tokens" else ""
        return before != (self.system_role, self.limit_name, self.limit, self.counts)

    def share_that_fits(self, status: int, words: str) -> float:
        """Return which share of the prompt fits into the model's context, by the server's refusal (status, words).

        It is 0 where the refusal is not about the prompt's length.
        """
        if status != 413 and not (status in (400, 422, 500) and TOO_LONG.search(words)):
            return 0.0
        limit, prompt = LIMIT.search(words), PROMPT.search(words)
        if not limit:
            return 0.5
        self.context_tokens = int(limit[1])
        if not prompt:
            return 0.5
        room = self.context_tokens - (self.limit or settings.LLM_MAX_TOKENS)
        return max(LEAST_SHARE, min(0.9, MARGIN * room / int(next(filter(None, prompt.groups())))))


@cache
def habits_of(base_url: str, model: str) -> ServerHabits:
    """Return the one record of what is known of a model at a server; every call returns the same object."""
    return ServerHabits()


def tokens_told(listing: Any, model: str) -> int:
    """Return the size of the model's context from a server's list of models; 0 where it tells none."""
    entries = listing.get("data") or listing.get("models") if isinstance(listing, dict) else None
    entries = entries if isinstance(entries, list) else []
    for entry in entries:
        if isinstance(entry, dict) and (len(entries) == 1 or model in (entry.get("id"), entry.get("name"))):
            return next(sizes(entry), 0)
    return 0


def sizes(entry: dict[str, Any]) -> Iterator[int]:
    """Yield the sizes of a context that an entry of a server's list of models gives, also one level below it."""
    for level in (entry, *(value for value in entry.values() if isinstance(value, dict))):
        for name in CONTEXT_NAMES:
            if isinstance(size := level.get(name), int) and size > 0:
                yield size
