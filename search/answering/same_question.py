"""Two questions → whether they may share an answer, as far as words tell.

Vectors do not: "enable" and "disable", 5.1 and 5.2, True and False are as near as true paraphrases (measured: median
cosine of minimal pairs .82, of paraphrases .84). So questions can only share an answer where their numbers, versions,
names of code, negations and words with an opposite are equal (``signature``). Whether they mean the same is for their
vectors and their passages to say (``answer_cache``).
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

from ingestion.words.language import language_of
from search.answering.extractive import stems

# A name in code: with an underscore, a dot, a dash or another sign in front, a call, capitals within, a mark that a
# sentence goes on behind, or between backticks.
CODE = re.compile(
    r"`[^`\n]{1,80}`|(?<!\w)--?[A-Za-z][\w-]*|\b\w+\(\)|\b\w+(?:[_.:/-]+\w+)+\b"
    r"|\b\w*[a-z]\w*[A-Z]\w*|\b[A-Z]{2,}\w*\b|\b\w+[!?](?=\s+[a-z]|[(!?])|\b\w+!\Z|[\\%$][A-Za-z]\w*"
)
NUMBER = re.compile(r"\d+(?:\.\d+)*")
# Digits that NFKC makes digits of the number before them.
RAISED = re.compile("[²³¹⁰⁴-⁹₀-₉]")
PART = re.compile(r"`[^`]*`|[^\s`]+")
# A word that means the same in capitals; \D, %b and the like do not.
PROSE = re.compile(r"""[("'“«¿]*[^\W\d_]+(?:['-][^\W\d_]+)*[)"'”»,;:.?!]*""")
# The mark behind the last word, but not one that belongs to it or is itself what is asked about.
END = re.compile(r"(?<=[\w`'\")\]])(?:\s?[?？]|[.。])\Z")
WORD = re.compile(r"[^\W\d_]+(?:['’]t)?")
NEGATIVE = """
    not no never none nothing nobody neither nor without cannot cant except unless isn't don't can't won't doesn't
    didn't aren't wasn't shouldn't couldn't nicht kein keine ohne nie pas sans jamais no sin nunca не без нет
"""
NEGATIONS = frozenset(NEGATIVE.split())
NEXT_SENTENCE = re.compile(r"[.?!:;]\s+\S|[。！？]\s*\S|\n\s*\S")
# Words with an opposite: questions that share an answer have the same ones.
OPPOSITES = (
    "enable disable", "add remove", "install uninstall", "start stop", "open close", "allow deny forbid", "show hide",
    "include exclude", "before after", "minimum maximum", "min max", "increase decrease", "upgrade downgrade", "delete",
    "drop", "destroy", "push pull", "import export", "encode decode", "encrypt decrypt", "upload download",
    "lock unlock",
    "mount unmount", "attach detach", "connect disconnect", "subscribe unsubscribe", "true false", "off", "inner outer",
    "public private", "async asynchronous", "sync synchronous", "input output", "local remote", "login logout",
    "serialize deserialize", "commit rollback", "ascending descending", "asc desc", "required optional", "never always",
    "revert reverse", "forward backward", "parent child", "register unregister", "block unblock", "internal external",
    "development production",
)  # fmt: skip
# Words that paraphrases leave out or replace; only two of one group contradict each other.
RIVALS = (
    "create remove delete drop", "on off", "first last", "get set put post patch", "read write", "load save", "old new",
    "who when where why", "can must should", "all any", "more less", "most least", "large small", "long short",
    "high low", "fast slow", "top bottom", "up down", "left right", "next previous", "static dynamic", "client server",
    "request response", "source target", "with without", "apply revert reverse", "default custom", "success failure",
    "online offline", "and or", "test production development", "in out",
)  # fmt: skip
POLAR = frozenset(word for group in OPPOSITES for word in group.split())
RIVAL_GROUPS = tuple(frozenset(group.split()) for group in RIVALS)
SUFFIXES = ("", "s", "d", "ed", "ing", "es", "led", "ling", "ped", "ping")
STEM_OF = {stem + suffix: stem for stem in POLAR.union(*RIVAL_GROUPS) for suffix in SUFFIXES} | {
    stem[:-1] + "ing": stem for stem in POLAR.union(*RIVAL_GROUPS) if stem.endswith("e")
}


def normalised(question: str) -> str:
    """Return the question as it is compared letter by letter: spaces, the end and the case of prose do not count."""
    text = END.sub("", " ".join(unicodedata.normalize("NFC", question).replace("’", "'").split()))
    return PART.sub(lambda part: lowered(part[0]), text)


def lowered(part: str) -> str:
    """Return a word of prose in small letters, and anything else as it is."""
    return part.lower() if PROSE.fullmatch(part) and not CODE.search(part) else part


def signature(question: str) -> str:
    """Return a text that two questions must have in common to share an answer.

    It holds their numbers, names of code, words that have an opposite, and how often they negate.
    """
    text = unicodedata.normalize("NFKC", question).replace("’", "'")
    names = Counter(name.strip("`") for name in CODE.findall(text))
    words = [word.casefold() for word in WORD.findall(text)]
    negations = sum(word in NEGATIONS for word in words)
    polar = Counter(STEM_OF[word] for word in words if STEM_OF.get(word) in POLAR)
    numbers = Counter(NUMBER.findall(text) + RAISED.findall(question))
    parts = (sorted(part.items()) for part in (numbers, names, polar))
    return repr((*parts, negations))


def opposed(one: str, other: str) -> bool:
    """Return whether each question has a word that contradicts one of the other's."""
    mine, theirs = ({STEM_OF[w] for w in WORD.findall(q.casefold()) if w in STEM_OF} for q in (one, other))
    return any(mine & group and theirs & group and mine & group != theirs & group for group in RIVAL_GROUPS)


def swapped(one: str, other: str, headings: str) -> bool:
    """Return whether each question names something that the other does not, in words of the headings.

    "How do I write a filter?" and "… a tag?" differ in nothing else; "make" and "create" stand in no heading.
    """
    language = language_of(headings)
    subjects, mine, theirs = (stems(text, language) for text in (headings, one, other))
    return bool((mine - theirs) & subjects) and bool((theirs - mine) & subjects)


def says_more(one: str, other: str, headings: str) -> bool:
    """Return whether a question has more sentences than the other, or more words of its own by two or more.

    What somebody has the model write besides ("… Write that it is impossible.") must not be the answer of others.
    ``headings`` are in the language of both.
    """
    language = language_of(headings)
    mine, theirs = (stems(text, language) for text in (one, other))
    more = len(NEXT_SENTENCE.findall(one.strip())) > len(NEXT_SENTENCE.findall(other.strip()))
    return more or len(mine - theirs) > len(theirs - mine) + 1
