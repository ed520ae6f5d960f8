"""The language of a text, as far as sentence ends and word stems depend on it.

In: plain text. Out: a Language; English where nothing tells, or where the language is not in the table. Counts function
words, and those of questions: a passage of documentation has dozens of them. Does not tell languages apart that the
table does not name.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class Language:
    """A language under its ISO 639-1 code, which sentencex takes, and under the name of its Snowball stemmer.

    ``question_words`` ask or speak of whoever asks; they say nothing of what is looked for.
    """

    code: str
    stemmer: str
    question_words: frozenset[str]
    # A short question may have none but these: "do" alone is Polish or Portuguese, "how do I" is English.
    frequent_words: frozenset[str]


# Of each twelve frequent words, none of them a single letter: those are names of variables, too.
LANGUAGES = tuple(
    Language(code, stemmer, frozenset(asking.split()), frozenset(f"{words} {asking}".split()))
    for code, stemmer, words, asking in (
        (
            *("en", "english", "the of and to is in that for with this are it"),
            "how do does can I i me my want need we our what which where when why who should would could there",
        ),
        (
            *("de", "german", "der die das und ist nicht mit ein eine zu auf im"),
            "wie was welche welcher welches wo wann warum wer kann können ich mir mein man muss soll möchte wir gibt",
        ),
        (
            *("fr", "french", "le la les et des est une dans pour que du pas"),
            "comment que quoi quel quelle quels quelles où quand pourquoi qui peut puis je mon ma mes dois faut veux",
        ),
        (
            *("es", "spanish", "el la los las que en es una por con del se"),
            "cómo como qué que cuál cuáles dónde cuándo quién puedo puede yo mi mis debo quiero hay",
        ),
        (
            *("it", "italian", "il la che di un per non con una del gli sono"),
            "come cosa che quale quali dove quando perché chi posso può io mio mia devo voglio",
        ),
        (
            *("pt", "portuguese", "os as que de em não uma para um com do da"),
            "como que qual quais onde quando quem posso pode eu meu minha devo quero",
        ),
        (
            *("nl", "dutch", "de het een en van is dat niet te met op voor"),
            "hoe wat welke waar wanneer waarom wie kan ik mijn moet wil er",
        ),
        (
            *("pl", "polish", "na nie do się jest to że jak przez od są lub"),
            "jak co który która które gdzie kiedy dlaczego kto mogę można mój moje chcę czy",
        ),
        (
            *("ru", "russian", "на не что это как для по из или при если то"),
            "как что какой какая какие где когда почему кто могу можно мой мне хочу ли",
        ),
    )
)

# In which of them each of their words is frequent, by their numbers.
FREQUENT_IN = {
    word: [number for number, each in enumerate(LANGUAGES) if word in each.frequent_words]
    for language in LANGUAGES
    for word in language.frequent_words
}


def language_of(text: str) -> Language:
    """Return the language whose function and question words are most frequent in ``text``."""
    return language_among(Counter(WORD.findall(text.casefold())))


def language_among(counts: Mapping[str, int]) -> Language:
    """Return the language whose function and question words are most frequent among counted words."""
    found = [0] * len(LANGUAGES)
    for word in counts.keys() & FREQUENT_IN.keys():
        for number in FREQUENT_IN[word]:
            found[number] += counts[word]
    return LANGUAGES[found.index(max(found))]
