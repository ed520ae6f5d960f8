"""The pieces of a completion → the events of an answer, as far as the model wrote one.

In: what ``llm`` yields, and the passages that the model was given. Out: tokens with citations that exist,
``Unsupported`` behind sentences that these passages do not bear out, ``Discard`` where everything so far was thought,
and notices. Raises LLMFailed at the end of a completion that says nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from django.conf import settings

from search.answering.citations import CitationReader, Token
from search.answering.completion_stream import Ended, Piece, Said, Thought, Used
from search.answering.llm import Waiting
from search.answering.prompt import NOT_SAID
from search.answering.support import SupportChecker, Unsupported
from search.answering.thinking import Discard, Thinking, ThinkingFilter
from search.exceptions import LLMFailed
from search.questions import Passage

COMPLETE = ("", "stop", "eos", "eos_token", "end_turn", "stop_sequence", "completed")


@dataclass(frozen=True, slots=True)
class Notice:
    """A sentence for the reader about the answer.

    Kinds: searched, thinking, waiting, read, cut, refused, unanswered, remembered, understood.
    """

    kind: str
    message: str


UNANSWERED = Notice("unanswered", "The passages below are the nearest that were found.")

DraftEvent = Token | Unsupported | Discard | Notice


@dataclass
class Draft:
    """One completion: feed it the pieces in order, then ``finish``."""

    question: str
    passages: Sequence[Passage]
    ends_only: bool = False
    text: str = ""
    tokens: int = 0
    prompt_tokens: int = 0
    _counted: int = 0
    _reason: str = ""
    _refusal: bool = False
    _thinking: bool = False
    _filter: ThinkingFilter = field(init=False)

    def __post_init__(self) -> None:
        self._filter = ThinkingFilter(ends_only=self.ends_only)
        self._begin()

    def _begin(self) -> None:
        """Begin the answer again: empty ``text``, and forget what was held back and which sentences were checked."""
        self.text, self._reader = "", CitationReader(len(self.passages))
        self._checker = SupportChecker(self.question, self.passages)

    def feed(self, piece: Piece | Waiting) -> Iterator[DraftEvent]:
        """Yield the events of the answer that follow from one piece of the language model's stream."""
        match piece:
            case Said(text, refusal):
                self.tokens += 1
                self._refusal = self._refusal or refusal
                yield from self._events(self._filter.feed(text))
            case Thought():
                self.tokens += 1
                yield from self._thought()
            case Waiting(seconds):
                yield Notice("waiting", f"The language model is busy; it is asked again in {seconds:.0f} s.")
            case Used(tokens, prompt):
                self.tokens, self.prompt_tokens = tokens, prompt
            case Ended(reason):
                self._reason = self._reason or reason.casefold()

    def finish(self) -> Iterator[DraftEvent]:
        """Yield the events kept back, and a notice where the answer was refused, cut short or not in the passages.

        Raises LLMFailed where the model wrote no answer.
        """
        yield from self.rest(broken_off=self._reason not in COMPLETE)
        if not self.text.strip():
            raise LLMFailed(
                f"{settings.LLM_MODEL} at {settings.LLM_BASE_URL} said nothing: {self._why()}.", self._why()
            )
        if self._refusal:
            yield Notice("refused", "The language model declined to answer.")
        elif self._reason not in COMPLETE:
            yield Notice("cut", f"The answer is cut short: {self._why()}.")
        elif self.unanswered:
            yield UNANSWERED

    def rest(self, *, broken_off: bool) -> Iterator[DraftEvent]:
        """Yield the events that were kept back for a next piece; ``broken_off`` says that it was still to come."""
        yield from self._events(self._filter.finish(broken_off=broken_off))
        self.ends_only = self._filter.ends_only
        for token in self._reader.finish():
            yield from self._checked(token)
        yield from self._checker.finish()

    @property
    def complete(self) -> bool:
        """Return whether the model came to the end of an answer from the passages."""
        return self._reason in COMPLETE and not self._refusal and not self.unanswered and bool(self.text.strip())

    @property
    def unanswered(self) -> bool:
        """Return whether the model says that the passages do not answer."""
        return self.text.lstrip(" *_>\n").casefold().startswith(NOT_SAID.rstrip(".").casefold())

    def _events(self, parts: Iterable[str | Thinking | Discard]) -> Iterator[DraftEvent]:
        """Yield the events that follow from parts of the filtered text; at Discard the answer begins again."""
        for part in parts:
            if isinstance(part, Thinking):
                yield from self._thought()
            elif isinstance(part, Discard):
                self._begin()
                yield part
            else:
                for token in self._reader.feed(part):
                    yield from self._checked(token)

    def _checked(self, token: Token) -> Iterator[DraftEvent]:
        """Add a token to ``text``; yield it, and a verdict where a sentence ends that the passages do not bear out."""
        self.text += token.text
        yield from self._checker.feed(token)

    def _thought(self) -> Iterator[Notice]:
        """Yield the notice that the model is thinking, only the first time."""
        if not self._thinking:
            self._thinking = True
            yield Notice("thinking", "The language model is thinking…")

    def _why(self) -> str:
        """Return why the completion ended, in words for readers that go on a sentence, by the server's reason."""
        match self._reason:
            case "length" | "max_tokens" | "model_length":
                where = "while it was still thinking" if self._thinking and not self.text.strip() else ""
                return f"its limit of {settings.LLM_MAX_TOKENS} tokens was reached {where}".rstrip()
            case "content_filter" | "safety":
                return "a filter of its server stopped it"
            case "tool_calls" | "function_call":
                return "it asked for a tool, and there are none"
            case "error" | "abort" | "cancelled":
                return "its server reported an error"
            case reason if reason in COMPLETE:
                return "it thought and then ended" if self._thinking else "it ended at once"
            case reason:
                return f"its server stopped it ({reason[:40]})"
