"""Words of one stem meet, other words do not, in the language of the passages."""

from __future__ import annotations

import pytest

from ingestion.words.language import LANGUAGES, language_of
from search.answering import extractive
from search.answering.extractive import best_extracts, stems

FILLER = (
    "Nothing of this kind is said in the first sentence, which is long enough to stand alone, as every reader sees."
)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("How are queries made?", "A query goes to the database by way of its connection, and comes back with rows."),
        ("What does a query cost?", "Slow queries are logged together with the time in milliseconds that they took."),
        ("How do I migrate?", "Migrations are run by a command that asks the database which of them it has seen."),
    ],
)
def test_forms_of_one_word_meet(question: str, answer: str) -> None:
    assert best_extracts(question, [f"{FILLER} {answer}"])[0].text.startswith(answer)


@pytest.mark.parametrize(
    ("question", "other"),
    [
        ("How is it installed?", "An instance lives for a second."),
        ("Where is the container?", "The contact is on the last page."),
        ("What is an interface?", "It is interrupted by a signal."),
    ],
)
def test_words_that_only_begin_alike_do_not_meet(question: str, other: str) -> None:
    """The passage with nothing to say is left out when another one answers."""
    word = question.split()[-1].strip("?")
    assert [e.number for e in best_extracts(question, [other, f"Here {word} is meant."])] == [2]


@pytest.mark.parametrize(
    ("code", "one", "other", "text"),
    [
        ("en", "query", "queries", "This is the text of the page, and it is in English."),
        ("de", "Abfrage", "Abfragen", "Das ist der Text der Seite, und er ist auf Deutsch, nicht Englisch."),
        ("fr", "requête", "requêtes", "Le texte de la page est dans une langue que les gens parlent."),
        ("es", "consulta", "consultas", "El texto de la página es una prueba para que los lectores lo lean."),
        ("it", "interrogazione", "interrogazioni", "Il testo della pagina è per gli utenti che non sono di qui."),
        ("pt", "consulta", "consultas", "O texto da página não é para todos, que os leitores leiam em uma língua."),
        ("nl", "vraag", "vragen", "De tekst van de pagina is in het Nederlands en niet voor een ander."),
        ("pl", "zapytanie", "zapytania", "Tekst na stronie jest po polsku i nie ma się czego bać, że to jak sen."),
        ("ru", "миграция", "миграции", "Это текст на русском, и он не для всех."),
    ],
)
def test_each_language_has_its_own_stems(code: str, one: str, other: str, text: str) -> None:
    language = language_of(text)
    assert language.code == code
    assert stems(one, language) == stems(other, language) != set()


def test_what_no_language_claims_is_english() -> None:
    assert [language_of(text).code for text in ("", "x = y[0]", "移行を作成します。")] == ["en", "en", "en"]


def test_the_code_of_a_passage_does_not_tell_its_language() -> None:
    """Python's keywords are English words; the sentence is German, and so are its forms."""
    code = "for x in y:\n    if x is not z and x in w:\n        with a as b: the = of + to"
    texts = ["Hier ist nichts.", f"Die Abfrage ist das, was der Nutzer schreibt.\n\n```python\n{code}\n```"]
    assert [e.number for e in best_extracts("Wie schreibt man Abfragen?", texts)] == [2]


def test_no_word_counts_for_every_language() -> None:
    """A word of most languages would tell none of them from another."""
    for word in set().union(*(language.frequent_words for language in LANGUAGES)):
        assert sum(word in language.frequent_words for language in LANGUAGES) <= 4, word


def test_long_words_are_not_kept_whole() -> None:
    extractive.stem_of.cache_clear()
    assert {len(stem) for stem in stems("q" * 100_000, language_of(""))} == {extractive.WORD_CHARS}


# --- What an extract is made of -----------------------------------------------------------------


def extract(question: str, text: str) -> str:
    return best_extracts(question, [text])[0].text


def test_the_best_extract_is_first() -> None:
    texts = [f"{FILLER} A lock waits.", "Locks are released by unlock, which wakes whoever waits for the lock."]
    assert best_extracts("How do I release a lock?", texts)[0].number == 2


def test_no_sentence_is_cut_at_an_abbreviation() -> None:
    text = f"{FILLER} Set a backend, e.g. Redis, for the cache that all processes share, as of v. 2.0 of the product."
    assert extract("cache backend", text).endswith(f"{text.rpartition('Set ')[2]}")


def test_code_comes_with_the_sentence_that_introduces_it() -> None:
    text = f"{FILLER}\n\nRun this command\n\n```sh\nmanage unlock --release\nmanage lock --show\n```\n\n{FILLER}"
    expected = "Run this command\n```\nmanage unlock --release\nmanage lock --show\n```"
    assert extract("unlock release", text).startswith(expected)


def test_a_list_stays_a_list_below_the_line_that_announces_it() -> None:
    text = f"{FILLER}\n\nA lock has these states:\n\n- free\n- taken by a writer\n  - nested\n- broken\n\n{FILLER}"
    expected = "A lock has these states:\n- free\n- taken by a writer\n  - nested\n- broken"
    assert extract("Which states does a lock have?", text).startswith(expected)
    assert extract("writer", text).startswith(expected)


def test_the_numbers_of_a_list_stay() -> None:
    assert extract("second step", "Steps:\n\n3. first\n4. the second step") == "Steps:\n3. first\n4. the second step"


def test_a_table_stays_a_table() -> None:
    text = f"{FILLER}\n\n| Name | Seconds |\n| --- | --- |\n| lock | 30 |\n| wait | 5 |\n\n{FILLER}"
    assert extract("How many seconds does a lock take?", text).startswith(
        "| Name | Seconds |\n| --- | --- |\n| lock | 30 |\n| wait | 5 |"
    )


def test_of_a_long_list_the_items_from_the_best_on_are_shown() -> None:
    items = "\n".join(f"- item number{n} of a long list with some words more" for n in range(60))
    found = extract("number40", f"The items:\n\n{items}")
    assert "- item number40 of" in found
    assert "number39" not in found
    assert len(found) <= extractive.EXTRACT_CHARS + 2


def test_a_heading_is_never_part_of_a_sentence() -> None:
    text = f"# Locks\n\n{FILLER}\n\n## Release\n\nCall unlock.\n\n## Other\n\nNothing here."
    [found] = best_extracts("How do I call unlock?", [text])
    assert (found.heading, found.text) == ("Release", "Call unlock.")


def test_words_of_the_heading_count_for_the_sentence_below_it() -> None:
    texts = ["Call the function twice, as the page before this one says in its last line of text.",
             "Call the function once, as the page before this one says in its last line of text."]  # fmt: skip
    assert best_extracts("call to release locks", texts, headings=["Other", "Releasing locks"])[0].number == 2


def test_a_sentence_that_depends_on_the_one_before_brings_it() -> None:
    text = f"{FILLER} A lock may be shared. This happens when readers take the mutex first, and writers wait for them."
    assert extract("When do readers take the mutex?", text).startswith("A lock may be shared. This happens")


def test_meaning_decides_where_words_do_not() -> None:
    texts = ["The first sentence speaks of bread and butter, and of nothing else.",
             "The second sentence speaks of threads and of their mutual exclusion."]  # fmt: skip
    near = lambda sentences: [0.9 if "threads" in sentence else 0.1 for sentence in sentences]  # noqa: E731
    assert best_extracts("What is a mutex?", texts, nearness=near)[0].number == 2


def test_code_that_is_cut_keeps_whole_lines_and_its_fence() -> None:
    lines = "\n".join(f"call_number_{n}(lock)" for n in range(100))
    found = extract("lock", f"Run:\n\n```python\n{lines}\n```")
    assert found.endswith(")\n…\n```")
    assert len(found) <= extractive.EXTRACT_CHARS + 10
