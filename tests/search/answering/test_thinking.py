"""What a model thinks aloud is never shown as its answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.answering.thinking import Discard, Thinking, ThinkingFilter

PLAN = "The plan is [2]; an odd ` tick and </b> tags"


def read(*pieces: str, ends_only: bool = False) -> tuple[str, bool]:
    """The answer, and whether the model was seen to think."""
    read_by = ThinkingFilter(ends_only=ends_only)
    parts = [part for piece in pieces for part in read_by.feed(piece)]
    answer, thought = "", False
    for part in [*parts, *read_by.finish()]:
        thought = thought or isinstance(part, Thinking)
        answer = "" if isinstance(part, Discard) else answer + (part if isinstance(part, str) else "")
    return answer, thought


THOUGHTS = {
    f"<think>\n{PLAN}\n</think>\n\nUse it.": "Use it.",
    f"<thinking>{PLAN}</thinking>Use it.": "Use it.",
    f"<thought>{PLAN}</thought>Use it.": "Use it.",
    f"<seed:think>{PLAN}</seed:think>Use it.": "Use it.",
    f"[THINK]{PLAN}[/THINK]Use it.": "Use it.",
    f"◁think▷{PLAN}◁/think▷Use it.": "Use it.",
    f"<|START_THINKING|>{PLAN}<|END_THINKING|><|START_RESPONSE|>Use it.<|END_RESPONSE|>": "Use it.",
    f"<|channel|>analysis<|message|>{PLAN}<|end|><|start|>assistant<|channel|>final<|message|>Use it.<|return|>":
        "Use it.",
    f"<|channel>thought\n{PLAN}<channel|>Use it.": "Use it.",
    f"<think>{PLAN}</think><answer>Use it.</answer>": "Use it.",
    f"<think>\n\n</think>\n\nUse <b>it</b>.\n<think>{PLAN}</think>\nReally.": "Use <b>it</b>.\n\nReally.",
    f"{PLAN}\n</think>\n\nUse it.": "Use it.",
    f"Okay, the user asks. {PLAN}\n</think>\n\nUse it.": "Use it.",
    f"<think>{PLAN}": "",
}  # fmt: skip


@pytest.mark.parametrize(("said", "answer"), THOUGHTS.items(), ids=range(len(THOUGHTS)))
def test_the_answer_is_without_the_thoughts_wherever_it_is_cut(said: str, answer: str) -> None:
    assert read(said) == (answer, True)
    assert read(*said) == (answer, True)
    for at in range(len(said)):
        assert read(said[:at], said[at:])[0] == answer


@pytest.mark.parametrize(
    "answer",
    [
        "Put `<think>` and `</think>` around it.", "```xml\n<think>\nx\n</think>\n```\nSo.", "Okay, so be it.",
        "The user model is in `auth`.", "We need to talk.", "if a < b and c > d: [1]", "Use <b>bold</b> [THIS].",
        "a <think> in the middle of a line", "",
    ],
)  # fmt: skip
def test_an_answer_without_thoughts_stays_as_it_is(answer: str) -> None:
    assert read(answer)[0] == read(*answer)[0] == answer


def test_an_end_alone_is_remembered_so_that_no_thought_is_shown_again() -> None:
    first = ThinkingFilter()
    shown = [*first.feed("Plans of mine. "), *first.feed("</think>Use it."), *first.finish()]
    assert shown == ["Plans of mine. ", Discard(), Thinking(), "Use it."]
    second = ThinkingFilter(ends_only=first.ends_only)
    assert not [part for part in second.feed("Other plans. ") if isinstance(part, str)]
    assert [*second.feed("</think>Use it."), *second.finish()][-1] == "Use it."


@pytest.mark.parametrize("pieces", [["Plans of mine. "], ["Plans", " of mine. ", "More </thi"], ["Hm"]])
def test_thoughts_are_no_answer_where_the_text_breaks_off_before_their_end(pieces: list[str]) -> None:
    read_by = ThinkingFilter(ends_only=True)
    parts = [part for piece in pieces for part in read_by.feed(piece)]
    assert {type(part) for part in [*parts, *read_by.finish(broken_off=True)]} == {Thinking}
    assert read(*pieces, ends_only=True)[0] == "".join(pieces)  # a whole text without any thoughts


@pytest.mark.parametrize("thoughts", ["Plans</think>", "<think>Plans</think>"])
def test_an_answer_behind_thoughts_is_shown_at_once(thoughts: str) -> None:
    read_by = ThinkingFilter(ends_only=True)
    list(read_by.feed(thoughts))
    assert "".join(part for part in read_by.feed("Use it, ") if isinstance(part, str)).strip() == "Use it,"
    assert list(read_by.finish(broken_off=True)) in ([], [" "])


@pytest.mark.parametrize(
    "mark", ["<|im_end|>", "</s>", "<|eot_id|>", "<｜end▁of▁sentence｜>", "<end_of_turn>", " [/INST]"]
)
def test_marks_of_the_models_own_language_are_removed_from_the_end(mark: str) -> None:
    assert read(f"Use it [1].{mark}\n")[0].rstrip() == "Use it [1]."
    assert read("Use it.", *mark, mark)[0].rstrip() == "Use it."


def test_such_marks_stay_within_an_answer() -> None:
    assert read("The mark <|im_end|> ends a turn.")[0] == "The mark <|im_end|> ends a turn."


@given(st.lists(st.text(st.sampled_from("ab <>/`\n[|thinkTHINK◁▷]"), max_size=12), max_size=8))
def test_any_cut_gives_the_same_answer(pieces: list[str]) -> None:
    assert read(*pieces)[0] == read(*"".join(pieces))[0]
