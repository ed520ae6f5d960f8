"""A model's text, piece by piece → the answer without what the model thinks aloud in it.

In: the text of a completion. Out: text of the answer, ``Thinking`` where the model thinks, and ``Discard`` where
everything so far turns out to have been thoughts: some servers hand over only the tag that ends them. Such a text often
begins as thoughts do ("Okay, the user asks…") and is then held until its end; that a model does so is remembered
(``ends_only``), and from then on nothing of it is shown too early.

Marks of a model's own language (``<|im_end|>``, ``</s>``) are removed from the end, and the marks around an answer from
its beginning and end. Tags within code are left alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from search.code_marks import open_fence

NAMES = "think|thinking|thought|thoughts|reasoning|reflection|scratchpad|seed:think|ant_?thinking"
OPENED = (
    rf"<({NAMES})(?:\s[^<>]{{0,60}})?>|\[THINK\]|◁think▷|<\|START_THINKING\|>|<\|begin_of_thought\|>|<unused94>"
    r"|<\|channel>thought|(?:<\|start\|>assistant)?<\|channel\|>(?:analysis|commentary)[^<>]{0,60}<\|message\|>"
)
OPENING = re.compile(OPENED, re.IGNORECASE)
LINE_OPENING = re.compile(rf"^[ \t]*(?:{OPENED})", re.IGNORECASE | re.MULTILINE)
# What ends thoughts that were opened without a name of their own.
CLOSING = re.compile(
    rf"</(?:{NAMES})>|\[/THINK\]|◁/think▷|<\|END_THINKING\|>|<\|end_of_thought\|>|<unused95>|<channel\|>"
    r"|<\|end\|>(?=\s*(?:<\|start\|>|\Z))|(?=(?:<\|start\|>assistant)?<\|channel\|>final)",
    re.IGNORECASE,
)
ENDING_ALONE = re.compile(rf"</(?:{NAMES})>|\[/THINK\]|◁/think▷|<\|END_THINKING\|>", re.IGNORECASE)
# Marks that some models put around their answer.
WRAPPING = re.compile(
    r"\s*(?:(?:<\|start\|>assistant)?<\|channel\|>final[^<>]{0,60}<\|message\|>|</?(?:answer|response|final_answer)>"
    r"|<\|begin_of_solution\|>|<\|START_RESPONSE\|>|<\|begin_of_box\|>|<s>|<bos>|<\|(?:im_)?start\|>assistant)\s*",
    re.IGNORECASE,
)
LAST_MARK = re.compile(
    r"(?:<\|[\w ]{1,40}\|>|<｜[^<>｜]{1,40}｜>|</s>|<eos>|<pad>|<end_of_turn>|<start_of_turn>|\[/?INST\]"
    r"|</(?:answer|response|final_answer)>)\Z"
)
MARK_CHARS = 60
# A tail that may become one of the marks above.
UNFINISHED = re.compile(
    r"(?:<[^<>\n]{0,80}|◁[^▷\n]{0,8}|\[/?[A-Z]{0,6}|<\|end\|>\s?|<\|channel>[a-z]{0,7}"
    r"|(?:<\|start\|>[a-z]{0,9})?(?:<\|channel\|>[^<>]{0,60})?(?:<[^<>\n]{0,20})?)\Z"
)
# How thoughts begin where no tag says so; answers to questions about documentation rarely do.
THOUGHT_WORDS = re.compile(
    r"(?:okay|ok|alright|hm+|let me|let's|let us|we need to|we have to|we are asked|i need to|i should|i have to"
    r"|the user|so,? the (?:user|question)|the question (?:is|asks)|got it|wait,)\b",
    re.IGNORECASE,
)
THOUGHT_WORDS_CHARS = 24
# Thoughts of real models are this long at most before they are taken for an answer after all.
HELD_CHARS = 40_000


@dataclass(frozen=True, slots=True)
class Thinking:
    """The model thinks; the text of it is not handed over."""


@dataclass(frozen=True, slots=True)
class Discard:
    """All text so far was thought, not said."""


class ThinkingFilter:
    """One completion's filter: feed it the pieces in order, then ``finish``."""

    def __init__(self, *, ends_only: bool = False) -> None:
        self.ends_only = ends_only
        self._held = ""
        self._searched = 0  # no end of thoughts before this position of the held text
        self._thinking = False
        self._ended = False  # the end of thoughts was there
        self._began = False  # text of the answer was handed over
        self._line = ""  # the line being written
        self._fence = ""

    def feed(self, piece: str) -> Iterator[str | Thinking | Discard]:
        """Yield text of the answer, and signs of thinking, as far as they are certain by now; keep the rest."""
        self._held += piece
        while self._held and (step := self._step(final=False)) is not None:
            yield from step
        if len(self._held) > THOUGHT_WORDS_CHARS and not self._began:
            yield Thinking()

    def finish(self, *, broken_off: bool = False) -> Iterator[str | Thinking | Discard]:
        """Yield the rest of the answer without the marks at its end; leave out thoughts that were never ended.

        Where the text is ``broken_off``, all that a model with ``ends_only`` wrote so far is such thoughts.
        """
        if broken_off and self._awaits_end() and self._held:
            self._held = ""
            yield Thinking()
        while self._held and (step := self._step(final=True)) is not None:
            yield from step

    def _step(self, *, final: bool) -> list[str | Thinking | Discard] | None:
        """Return what the next part of the kept text is; None where more text is needed, unless it is ``final``."""
        if self._thinking:
            return self._think(final=final)
        return self._say(final=final) if self._began else self._begin(final=final)

    def _think(self, *, final: bool) -> list[str | Thinking | Discard] | None:
        """Drop thoughts up to and with the mark that ends them, but keep a tail that may become such a mark.

        Return a list to yield: empty where the thoughts have ended, with ``Thinking`` where all text held was thought.
        None where a tail waits for more text, which ``final`` says will not come.
        """
        if end := CLOSING.search(self._held):
            self._thinking, self._ended, self._held = False, True, self._held[end.end() :]
            return []
        cut = UNFINISHED.search(self._held)
        self._held = cut[0] if cut and not final else ""
        return None if self._held else [Thinking()]

    def _begin(self, *, final: bool) -> list[str | Thinking | Discard] | None:
        """Read the beginning, which may be thoughts, marks around the answer, or the answer itself.

        Return what to yield for it; None where more text is needed, which ``final`` says will not come.
        """
        self._held = self._held.lstrip()
        if mark := OPENING.match(self._held) or WRAPPING.match(self._held):
            self._thinking = bool(OPENING.match(self._held))
            self._held = self._held[mark.end() :]
            return [Thinking()] if self._thinking else []
        if end := self._end_of_thoughts():
            return self._restart(end)
        self._searched = max(0, len(self._held) - MARK_CHARS)
        if self._held and (final or not self._may_be_thought()):
            self._began, self._searched = True, 0
            return []
        return None

    def _end_of_thoughts(self) -> int:
        """Return where thoughts end that were never opened, and 0 where there is no such end."""
        alone = None if self._fence else ENDING_ALONE.search(self._held, self._searched)
        if not alone or LINE_OPENING.search(self._held, 0, alone.start()):
            return 0
        in_code = (self._line + self._held[: alone.start()]).endswith("`")
        return 0 if in_code else alone.end()

    def _may_be_thought(self) -> bool:
        """Return whether the text held may yet prove to be thoughts or a mark: it begins so, or their end is awaited.

        Return False for more than HELD_CHARS characters.
        """
        if len(self._held) > HELD_CHARS:
            return False
        known = self._awaits_end() or THOUGHT_WORDS.match(self._held) or UNFINISHED.fullmatch(self._held)
        return bool(known or self._held.casefold() in BEGINNINGS)

    def _awaits_end(self) -> bool:
        """Return whether all so far may be thoughts because the model marks only their end, which was not there yet."""
        return self.ends_only and not self._ended and not self._began

    def _say(self, *, final: bool) -> list[str | Thinking | Discard] | None:
        """Hand text over up to the next thoughts, which begin a line outside code."""
        if end := self._end_of_thoughts():
            return [Discard(), *self._restart(end)]
        opening = LINE_OPENING.search(self._held)
        if opening and (opening.start() or not self._line.strip()):
            said = self._said(self._held[: opening.start()])
            self._thinking = not self._fence
            kept = 0 if self._thinking else opening.end() - opening.start()
            self._held = self._held[opening.end() - kept :]
            return [*said, Thinking()] if self._thinking else [*said, *self._cut(kept)]
        end = before_marks(self._held if final else self._held[: unfinished_from(self._held)])
        if not end and not final:
            return None
        said = self._cut(end)
        self._held = "" if final else self._held
        return said

    def _cut(self, end: int) -> list[str | Thinking | Discard]:
        """Take the first ``end`` characters of the text held as text of the answer; return them in a list.

        The list is empty where there are none.
        """
        said, self._held = self._held[:end], self._held[end:]
        return self._said(said)

    def _said(self, text: str) -> list[str | Thinking | Discard]:
        """Note the line and the fence that text of the answer leaves open; return it in a list, empty without text."""
        lines, end, self._line = (self._line + text).rpartition("\n")
        self._fence = open_fence(lines, self._fence) if end else self._fence
        return [text] if text else []

    def _restart(self, at: int) -> list[str | Thinking | Discard]:
        """Begin again at ``at``, behind thoughts of which only the end was marked; return that the model thinks.

        ``ends_only`` remembers it, because the model will do so again.
        """
        self.ends_only, self._ended, self._began = True, True, False
        self._line, self._fence, self._searched = "", "", 0
        self._held = self._held[at:]
        return [Thinking()]


def unfinished_from(text: str) -> int:
    """Return where a mark may have begun that more text completes; the text's length where none has."""
    cut = UNFINISHED.search(text, max(0, len(text) - 2 * MARK_CHARS))
    return cut.start() if cut else len(text)


def before_marks(text: str) -> int:
    """Return where the marks at the end of the text begin, white space before them included; else its length."""
    end = len(text)
    while mark := LAST_MARK.search(text[max(0, end - MARK_CHARS) : end].rstrip()):
        bare = text[:end].rstrip()
        end = len(bare[: len(bare) - (mark.end() - mark.start())].rstrip())
    return end


# What may become such words with the next piece.
BEGINNINGS = frozenset(
    phrase[:size]
    for phrase in (
        "okay", "alright", "hmm", "let me", "let's", "let us", "we need to", "we have to", "we are asked", "i need to",
        "i should", "i have to", "the user", "so the user", "so, the user", "so the question", "the question is",
        "the question asks", "got it", "wait,",
    )
    for size in range(1, len(phrase) + 1)
)  # fmt: skip
