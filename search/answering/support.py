"""Tokens of an answer → the same tokens, each sentence that its passages do not bear out followed by a mark.

Numbers and code of a sentence must occur in the passages that it cites; in any passage, where it cites none. What is
missing comes out as ``Unsupported``, right behind the sentence and its citations. Code that the question names is not
missed, numbers always are: "yes, 600" is wrong where the passage says 300. Blocks of code are not checked, because an
answer may put names of its own into an example.

Compares characters; whether the passage means the same is for the reader to judge.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from search.answering.citations import Token
from search.code_marks import FENCE, closes, open_run
from search.questions import Passage

NUMBER = re.compile(r"(?<![\w.#-])\d+(?:[.,:]\d+)*(?![\w])")
CODE_SPAN = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
# Words that can only be names in code.
IDENTIFIER = re.compile(
    r"--[a-z][\w-]+|\b[A-Za-z_]\w*(?:(?:\.|::|->)[A-Za-z_]\w*)+\b|\b\w+\(\)|\b[A-Za-z]+_\w+|\b[A-Z][a-z]+[A-Z]\w*"
)
NAME = re.compile(r"[A-Za-z_$@-][\w$-]{2,}")
# The number of a step is not a statement.
ORDINAL = re.compile(r"^[ \t]*\d{1,3}[.)]\s|\(\d\)", re.MULTILINE)
# The end of a sentence: white space behind a full stop that is no abbreviation's, or the end of a line.
NO_END = r"(?<!\be\.g)(?<!\bi\.e)(?<!\bvs)(?<!\bv)(?<!\betc)"
SENTENCE_END = re.compile(rf"(?:{NO_END}[.!?][\"')*_]{{0,3}}\s+|[。！？]\s*|\n\s*)\Z")
SENTENCE_TAIL = 40
WORDS = re.compile(r"\S*\s*")
ABBREVIATIONS = frozenset(("e.g", "i.e", "a.m", "p.m"))
NUMBER_WORDS = "zero one two three four five six seven eight nine ten eleven twelve"
IN_WORDS = {word: str(number) for number, word in enumerate(NUMBER_WORDS.split())}
# As many as a reader takes in.
MISSING_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Unsupported:
    """The sentence that has just ended says what its passages do not have: these numbers and names."""

    missing: tuple[str, ...]


class SupportChecker:
    """One answer's checker: feed it the tokens in order, then ``finish``."""

    def __init__(self, question: str, passages: Sequence[Passage]) -> None:
        self._passages = [Evidence(passage) for passage in passages]
        self._asked = question.casefold()
        self._sentence = ""
        self._cited: list[int] = []
        self._fence: re.Match[str] | None = None

    def feed(self, token: Token) -> Iterator[Token | Unsupported]:
        """Yield the token; where it ends a sentence that the passages do not bear out, yield a verdict there."""
        if token.citation:
            self._cited.append(token.citation)
            yield token
            return
        text = ""
        for word in WORDS.findall(token.text):
            # Citations may stand behind the full stop: a sentence is over when the next one begins.
            if re.search(r"[\w`~]", word) and self._is_over():
                for verdict in self.finish():
                    if text:
                        yield Token(text)
                    yield verdict
                    text = ""
            self._sentence += word
            text += word
        if text:
            yield Token(text)

    def finish(self) -> Iterator[Unsupported]:
        """Yield a verdict if the passages do not bear out the sentence so far, and begin the next one."""
        sentence, cited = self._sentence, self._cited
        self._sentence, self._cited = "", []
        if not self._in_code(sentence) and (missing := self._missing(sentence, cited)):
            yield Unsupported(tuple(missing[:MISSING_SHOWN]))

    def _is_over(self) -> bool:
        """Return whether the sentence so far has ended, with a line or with a full stop or the like.

        An abbreviation's full stop does not end it, nor one within a span of code in the line.
        """
        if not SENTENCE_END.search(self._sentence[-SENTENCE_TAIL:]):
            return False
        return "\n" in self._sentence[-SENTENCE_TAIL:] or not open_run(self._sentence)

    def _in_code(self, text: str) -> bool:
        """Return whether a fence is open somewhere in the text."""
        inside = bool(self._fence)
        for fence in FENCE.finditer(text):
            inside = True
            if not self._fence:
                self._fence = fence
            elif closes(fence, self._fence[1]):
                self._fence = None
        return inside

    def _missing(self, sentence: str, cited: list[int]) -> list[str]:
        """Return the numbers and names of the sentence that none of its passages has."""
        evidence = [self._passages[number - 1] for number in dict.fromkeys(cited)] or self._passages
        names = [name for name in names_in(sentence) if name.casefold() not in self._asked]
        missing = [name for name in names if not any(e.has_name(name) for e in evidence)]
        return missing + [number for number in numbers_in(sentence) if not any(number in e.numbers for e in evidence)]


class Evidence:
    """A passage's text and numbers, with title, heading and source, as far as statements are compared with them."""

    def __init__(self, passage: Passage) -> None:
        text = f"{passage.title}\n{passage.heading}\n{passage.source}\n{passage.url}\n{passage.text}"
        self.text = " ".join(text.casefold().split())
        self.numbers = set(numbers_in(text, passage=True))

    def has_name(self, name: str) -> bool:
        """Return whether the passage has a name; the parentheses of a call do not count."""
        return name.casefold().removesuffix("()") in self.text


def numbers_in(text: str, *, passage: bool = False) -> list[str]:
    """Return the numbers of a text, once each; of a passage also those in words and within code and names."""
    if not passage:
        return list(dict.fromkeys(plain(found) for found in NUMBER.findall(ORDINAL.sub(" ", CODE_SPAN.sub(" ", text)))))
    found = [plain(number) for number in re.findall(r"\d+(?:[.,:]\d+)*", text)]
    parts = [part for number in found for part in re.split(r"[.:]", number)]
    words = [IN_WORDS[word] for word in re.findall(r"[a-z]+", text.casefold()) if word in IN_WORDS]
    return found + parts + words


def plain(number: str) -> str:
    """Return a number without the commas that group its digits."""
    return re.sub(r",(?=\d{3}\b)", "", number)


def names_in(sentence: str) -> list[str]:
    """Return the names of code in a sentence, once each: what stands between backticks, and what looks like a name."""
    found = [name for span in CODE_SPAN.finditer(sentence) for name in NAME.findall(span[2])]
    found += [n for n in IDENTIFIER.findall(CODE_SPAN.sub(" ", sentence)) if n.casefold() not in ABBREVIATIONS]
    return list(dict.fromkeys(found))
