"""Where sentences end: not behind abbreviations and versions, never in code, and in scripts without spaces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.passage_text import SPACES, units

BAR = "|"


@pytest.mark.parametrize(
    "marked",
    [
        "It needs a store, e.g. Redis or Milvus.| Then it starts.",
        "Compare A vs. B, i.e. both of them.| That is all.",
        "It came with v. 2.0 of the API.| It is old.",
        "Use Python 3.11.| Then install it.",
        "See Fig. 3 and Sec. 4.2 for more.| Done.",
        "Dr. Smith and Mr. Jones wrote it.",
        "Files like a.txt, b.py etc. are read.| Others are not.",
        "django.db is used.| settings.py is read.| os.path works.",
        "The default port is 80.| 443 is used for TLS.",
        "Is it slow?| Yes.| Use -O2!",
        'He said "Stop. Now." and left.| Then it went on.',
        "Das betrifft z.B. Redis und das ist nicht neu, siehe Nr. 5 der Liste.| Das ist die Frage.",
        "Le cache est dans la base, p. ex. Redis, et pas dans le disque.| Fin.",
        "Das ist nicht so, und der Text ist auf Abs. 3 und Bd. 2 verteilt.| Das ist alles.",
    ],
)
def test_a_sentence_ends_where_readers_end_it(marked: str) -> None:
    assert [unit.text for unit in units(marked.replace(BAR, ""))] == [part.strip() for part in marked.split(BAR)]


@pytest.mark.parametrize(
    "marked",
    [
        "移行を作成します。|コマンドを実行します！|終わり。",
        "移行します。|pip を使います。|3 つあります。",
        "这是第一句。|这是第二句吗？|是。",
        "「はい。そうです。」|と言った。",
    ],
)
def test_a_sentence_ends_with_an_ideographic_stop_whatever_follows(marked: str) -> None:
    assert [unit.text for unit in units(marked.replace(BAR, ""))] == marked.split(BAR)


@pytest.mark.parametrize("code", ["a", "a. B", "x.y. Z! Q", "e.g. b"])
def test_code_ends_no_sentence_and_begins_one(code: str) -> None:
    marked = f"Call `{code}` now.| Or `{code}`.| `{code}` runs."
    assert [unit.text for unit in units(marked.replace(BAR, ""))] == [part.strip() for part in marked.split(BAR)]


@given(st.text("aB9. 。!?()\"'「」ÄЯ", max_size=60))
def test_cutting_loses_nothing(text: str) -> None:
    prose = f"Word {text} word"
    assert "".join(SPACES.sub("", unit.text) for unit in units(prose)) == SPACES.sub("", prose)
