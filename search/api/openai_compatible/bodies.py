"""The bodies of requests → what of them counts here, or RequestRefused with the field that is wrong.

Clients send a great many fields (temperature, tools, seed, …); those that change nothing here are not looked at. Text
may come as a string or as a list of parts; images and sounds are refused, because an answer without them would be one
to another question.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from django.conf import settings
from django.http import HttpRequest
from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from search.answering.rewriter import Exchange
from search.api.openai_compatible.errors import RequestRefused

Body = TypeVar("Body", bound=BaseModel)

# As many vectors of 1 024 floats are 0.5 MB of JSON.
MOST_TEXTS = 128
TEXT_PARTS = ("text", "input_text", "output_text")


def text_of(content: object) -> str:
    """Return the text of a message's content, which may be a list of parts; empty for null.

    Raises ValueError for anything but text.
    """
    if content is None or isinstance(content, str):
        return content or ""
    parts = content if isinstance(content, list) else []
    for part in parts:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind not in TEXT_PARTS or not isinstance(part.get("text"), str):
            raise ValueError(f"Only text can be read here; this part is {str(kind)[:40]!r}. Describe it in words.")
    if not parts:
        raise ValueError("The content is to be text, or a list of parts of text.")
    return "".join(part["text"] for part in parts)


def listed(texts: object) -> object:
    """Return one text or several as a list. Raises ValueError for token ids, which depend on the tokenizer."""
    wanted = texts if isinstance(texts, list) else [texts]
    if any(isinstance(text, int | list) for text in wanted):
        raise ValueError("Token ids of another tokenizer cannot be read here; send text.")
    return wanted


class Message(BaseModel):
    """One message of a conversation."""

    role: str = Field(max_length=40)
    content: Annotated[str, BeforeValidator(text_of)] = ""


class StreamOptions(BaseModel):
    """Whether a stream ends with a chunk that counts tokens."""

    include_usage: bool | None = None


class ChatRequest(BaseModel):
    """The body of /v1/chat/completions."""

    model: str = Field(max_length=300)
    messages: list[Message] = Field(min_length=1)
    n: int | None = Field(default=None, ge=1, le=1)
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    @property
    def question(self) -> str:
        """Return the last message of the user. Raises RequestRefused where there is none."""
        asked = [message.content for message in self.messages if message.role == "user"]
        if not asked:
            raise RequestRefused("The last message of the user is the question, and there is none.", param="messages")
        return asked[-1]

    @property
    def history(self) -> list[Exchange]:
        """Return what user and assistant said before the question."""
        said = [message for message in self.messages if message.role in ("user", "assistant")]
        last = max((at for at, message in enumerate(said) if message.role == "user"), default=0)
        exchanges: list[Exchange] = []
        for message in said[:last]:
            text = message.content[: settings.QUESTION_MAX_CHARS]
            if message.role == "user":
                exchanges.append(Exchange(text))
            elif exchanges:
                exchanges[-1] = exchanges[-1]._replace(answer=text)
        return exchanges

    @property
    def counts(self) -> bool:
        """Return whether the stream is to end with the number of tokens."""
        return bool(self.stream_options and self.stream_options.include_usage)


class EmbeddingsRequest(BaseModel):
    """The body of /v1/embeddings."""

    model: str = Field(max_length=300)
    input: Annotated[
        list[Annotated[str, Field(min_length=1)]],
        BeforeValidator(listed),
        Field(min_length=1, max_length=MOST_TEXTS),
    ]
    encoding_format: str | None = Field(default=None, pattern="^(float|base64)$")
    dimensions: int | None = None


def read(kind: type[Body], request: HttpRequest) -> Body:
    """Return the request's body as an object of ``kind``. Raises RequestRefused, which names the first wrong field."""
    try:
        return kind.model_validate_json(request.body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise refusal_of(first) from error


def refusal_of(first: Any) -> RequestRefused:
    """Return the refusal of a body, made of the first of pydantic's errors in it."""
    if first["type"] == "json_invalid":
        return RequestRefused("The body is not valid JSON.")
    names = [str(part) for part in first["loc"] if not str(part).startswith("function-")]
    field = ".".join(names) or None
    cause = first.get("ctx", {}).get("error")
    what = str(cause) if cause else f"{first['msg']}."
    return RequestRefused(f"{field}: {what}" if field else what, param=field)
