"""Numbers and names of a sentence must stand in the passages that it cites."""

from __future__ import annotations

import pytest

from search.answering.citations import Token
from search.answering.support import SupportChecker, Unsupported
from search.questions import Passage

TEXTS = (
    "The default timeout is 300 seconds. Set `TIMEOUT` to None and call cache_page(60 * 15). It retries five times.",
    "At most 1,024 bytes are read by read_chunk() in version 5.2.",
)
PASSAGES = [Passage(1.0, "Caching", "https://x.example/4.1/c", "Caching", "", text, 1, "Docs", 0) for text in TEXTS]


def read(*parts: str | int, question: str = "What is the timeout?") -> list[str | tuple[str, ...]]:
    """The answer's texts, with what is missing behind the sentence that says it; a number is a citation."""
    checker = SupportChecker(question, PASSAGES)
    tokens = [Token(f"[{part}]", part) if isinstance(part, int) else Token(part) for part in parts]
    events = [event for token in tokens for event in checker.feed(token)] + list(checker.finish())
    return [event.missing if isinstance(event, Unsupported) else event.text for event in events]


@pytest.mark.parametrize(
    "parts",
    [
        ("The timeout is 300 seconds ", 1, "."),
        ("It retries 5 times ", 1, " and reads 1024 bytes ", 2, "."),
        ("Call `cache_page(60 * 15)` or read_chunk(). ", 1, 2),
        ("In 5.2 as in 4.1 ", 2, "."),
        ("1. First\n2. Second ", 1, "\n"),
        ("Without a citation any passage counts: 300 and 1,024.",),
        ("For example:\n\n```python\nmy_name = 99\n```\n", 1),
    ],
)
def test_what_the_passages_say_is_not_marked(parts: tuple[str | int, ...]) -> None:
    assert not [part for part in read(*parts) if isinstance(part, tuple)]


@pytest.mark.parametrize(
    ("parts", "missing"),
    [
        (("The timeout is 600 seconds ", 1, "."), ("600",)),
        (("The timeout is 300 seconds ", 2, "."), ("300",)),
        (("Set `TIME_LIMIT` ", 1, "."), ("TIME_LIMIT",)),
        (("Set CACHE_LIMIT or os.limit or --limit ", 1, "."), ("CACHE_LIMIT", "os.limit", "--limit")),
        (("It is 77.",), ("77",)),
        (("In version 6.0 ", 2), ("6.0",)),
    ],
)
def test_what_they_do_not_say_is_marked(parts: tuple[str | int, ...], missing: tuple[str, ...]) -> None:
    assert read(*parts)[-1] == missing


def test_the_mark_follows_its_sentence_and_the_citations_behind_the_full_stop() -> None:
    assert read("It is 600. ", 1, " It is 300 ", 1, ". Then ", "7 e.g. 8. Or\n", "more") == [
        "It is 600. ", "[1]", " ", ("600",), "It is 300 ", "[1]", ". Then ", "7 e.g. 8. ", ("7", "8"), "Or\n", "more",
    ]  # fmt: skip


def test_names_of_the_question_are_not_missed_but_its_numbers_are() -> None:
    assert read("`NO_SUCH` is not described, 600 neither.", question="Is NO_SUCH 600?")[-1] == ("600",)


def test_the_text_stays_what_it_was() -> None:
    text = "A `b. c` d! 12 e.g. f?\n\n- g 13\n```\nh 14\n```\ni 15. j"
    for parts in ([text], list(text)):
        assert "".join(part for part in read(*parts) if isinstance(part, str)) == text
