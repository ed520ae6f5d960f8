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
