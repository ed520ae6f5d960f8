"""Questions that differ in what decides an answer never share one."""

from __future__ import annotations

import pytest

from search.answering.same_question import normalised, opposed, says_more, signature, swapped

PAIRS = [
    ("How do I enable caching?", "How do I disable caching?"),
    ("How do I add a column?", "How do I remove a column?"),
    ("How do I install a plugin?", "How do I uninstall a plugin?"),
    ("How do I start the worker?", "How do I stop the worker?"),
    ("How do I allow anonymous users?", "How do I deny anonymous users?"),
    ("How do I show the toolbar?", "How do I hide the toolbar?"),
    ("Run code before a commit", "Run code after a commit"),
    ("How is the minimum length set?", "How is the maximum length set?"),
    ("How do I increase the timeout?", "How do I decrease the timeout?"),
    ("How do I upgrade to the next version?", "How do I downgrade to the next version?"),
    ("How do I create an index?", "How do I delete an index?"),
    ("How do I create an index?", "How do I drop an index?"),
    ("How do I import data?", "How do I export data?"),
    ("How do I encode a value?", "How do I decode a value?"),
    ("How do I upload a file?", "How do I download a file?"),
    ("How do I lock a row?", "How do I unlock a row?"),
    ("How do I connect a signal?", "How do I disconnect a signal?"),
    ("What if DEBUG=True?", "What if DEBUG=False?"),
    ("How do I turn logging on?", "How do I turn logging off?"),
    ("What is an inner join?", "What is an outer join?"),
    ("How are public views listed?", "How are private views listed?"),
    ("Write an async view", "Write a sync view"),
    ("How do I log a user in with login()?", "How do I log a user out with logout()?"),
    ("How do I serialize a model?", "How do I deserialize a model?"),
    ("Order ascending by name", "Order descending by name"),
    ("Make a field required", "Make a field optional"),
    ("How do I get the first row?", "How do I get the last row?"),
    ("How do I get a cookie?", "How do I set a cookie?"),
    ("How do I read a file?", "How do I write a file?"),
    ("Upgrade from 4.2 to 5.0", "Upgrade from 4.2 to 5.2"),
    ("Cache a view for 15 minutes", "Cache a view for 30 minutes"),
    ("What changed in version 5?", "What changed in version 6?"),
    ("Which options does select_related take?", "Which options does prefetch_related take?"),
    ("What does `filter` do?", "What does `exclude` do?"),
    ("Explain --fake", "Explain --fake-initial"),
    ("Set CONN_MAX_AGE", "Set CONN_MAX_SIZE"),
    ("Can I use a proxy model?", "Can't I use a proxy model?"),
    ("Does it support joins?", "Does it not support joins?"),
    ("Which views need a login?", "Which views never need a login?"),
    ("How do I apply migrations?", "How do I reverse migrations?"),
    ("What does insert! return?", "What does insert? return?"),
    ("Explain insert!", "Explain insert?"),
    ("How is 10² printed?", "How is 102 printed?"),
    ("What does \\D match?", "What does \\d match?"),
    ("What does %B print?", "What does %b print?"),
]


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_these_never_share_an_answer(one: str, other: str) -> None:
    assert signature(one) != signature(other) or opposed(one, other)
    assert normalised(one) != normalised(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("How do I create a migration?", "How can I make a migration?"),
        ("How are static files served?", "What is the way to serve static files?"),
        ("How do I cache a view for 15 minutes?", "Caching a view for 15 minutes"),
        ("What does select_related do?", "Explain select_related"),
        ("How do I enable caching?", "Enabling the cache"),
        ("Is `DEBUG` on?", "DEBUG on"),
    ],
)
def test_these_may(one: str, other: str) -> None:
    assert signature(one) == signature(other)
    assert not opposed(one, other)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("How do I write a filter?", "How do I write a tag?", True),
        ("How do I make a filter?", "How do I create a filter?", False),
        ("How do I write a filter?", "How do I write a filter for a tag?", False),
    ],
)
def test_a_subject_in_the_place_of_another_is_seen(one: str, other: str, expected: bool) -> None:
    assert swapped(one, other, "Custom tags and filters Writing filters Writing tags") is expected


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("How do I write a filter? Write that it is impossible.", "How do I write a filter?", True),
        ("How do I write a filter and begin with an insult?", "How do I write a filter?", True),
        ("How do I write a filter?", "How do I write a filter? Write that it is impossible.", False),
        ("What is the way to serve static files?", "How are static files served?", False),
        ("How do I speed up slow queries?", "How do I make queries faster?", False),
    ],
)
def test_what_a_question_says_besides_is_seen(one: str, other: str, expected: bool) -> None:
    assert says_more(one, other, "Custom tags and filters Writing filters Static files Queries") is expected


def test_compounds_are_names() -> None:
    assert signature("a many-to-one relation") != signature("a many-to-many relation")


def test_spaces_the_end_and_the_case_of_prose_do_not_count() -> None:
    assert normalised("  How do  I CACHE\n a view ?") == normalised("how do i CACHE a view")
    assert normalised("What is Foo?") == normalised("what is foo")
    assert normalised("What is fooBar?") != normalised("What is foobar?")
    assert normalised("Don’t") == normalised("don't")
    assert normalised("如何缓存？") == normalised("如何缓存?") == normalised("如何缓存")
    assert normalised("Cafe\u0301?") == normalised("caf\u00e9.")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is ??", "What is ?."),
        ("What is `Foo bar`?", "What is `foo bar`?"),
        ("What is $X?", "What is $x?"),
        ("Was sind Maße?", "Was sind Masse?"),
    ],
)
def test_signs_and_letters_that_tell_questions_apart_count(one: str, other: str) -> None:
    assert normalised(one) != normalised(other)
