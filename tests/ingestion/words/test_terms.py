"""What a text is found by: names in code whole and in parts, words by their stems, other scripts by pairs."""

from __future__ import annotations

import pytest

from ingestion.words.terms import PART_SHARE, hash_of, is_name, terms_of, tokens
from tests.support.growth import is_linear


def shares(text: str, stemmer: str = "english") -> dict[int, float]:
    found: dict[int, float] = {}
    for token in tokens(text):
        for term, share in terms_of(token, stemmer):
            found[term] = max(share, found.get(term, 0.0))
    return found


def whole(text: str, term: str, stemmer: str = "english") -> bool:
    return shares(text, stemmer).get(hash_of(term)) == 1.0


def part(text: str, term: str, stemmer: str = "english") -> bool:
    return shares(text, stemmer).get(hash_of(term)) == PART_SHARE


@pytest.mark.parametrize(
    ("text", "wholes", "parts"),
    [
        ("CharField", ["charfield"], ["char", "field"]),
        ("HTTPResponse", ["httprespons"], ["http", "respons"]),
        ("getJSONData", ["getjsondata"], ["get", "json", "data"]),
        ("max_length", ["max_length"], ["max", "length"]),
        ("--no-input", ["no-input", "no", "input"], []),
        ("django.db.models.CharField", ["django.db.models.charfield", "charfield", "model"], ["char", "field"]),
        ("(fields.E304)", ["fields.e304", "e304", "field"], ["304"]),
        ("/etc/nginx/nginx.conf", ["etc/nginx/nginx.conf", "nginx", "conf"], []),
        ("__init__", ["__init__"], ["init"]),
        ("utf8", ["utf8"], ["utf", "8"]),
        ("C++ or C#", ["c++", "c#"], []),
        ("`--flag=VALUE`", ["flag", "valu"], []),
    ],
)
def test_a_name_in_code_is_found_whole_and_by_its_parts(text: str, wholes: list[str], parts: list[str]) -> None:
    assert all(whole(text, term) for term in wholes)
    assert all(part(text, term) for term in parts)


@pytest.mark.parametrize(
    ("text", "wholes", "parts"),
    [
        ("version 5.2", ["5.2"], []),
        ("v5.2.1", ["5.2.1"], ["5.2"]),
        ("5.2rc1", ["5.2rc1"], ["5.2"]),
        ("python-3.11.4", ["python-3.11.4", "3.11.4", "python"], ["3.11"]),
        ("HTTP 404", ["404", "http"], []),
    ],
)
def test_a_version_is_found_by_itself_and_by_the_shorter_one(text: str, wholes: list[str], parts: list[str]) -> None:
    assert all(whole(text, term) for term in wholes)
    assert all(part(text, term) for term in parts)


def test_words_are_found_by_their_stems_in_their_language() -> None:
    assert set(shares("queries")) == set(shares("query"))
    assert set(shares("Datenbanken", "german")) == set(shares("Datenbank", "german"))


def test_a_name_is_found_however_it_is_capitalised() -> None:
    assert set(shares("postgresql")) < set(shares("PostgreSQL"))
    assert set(shares("querysets")) < set(shares("QuerySets"))


@pytest.mark.parametrize("text", ["数据库", "データベース", "데이터베이스", "ฐานข้อมูล"])
def test_scripts_without_spaces_are_found_by_pairs(text: str) -> None:
    assert set(shares(text)) == {hash_of(text[at : at + 2]) for at in range(len(text) - 1)}
    assert set(shares(text)) < set(shares(f"前{text}後"))


def test_scripts_meet_within_a_token() -> None:
    found = shares("用Django框架")
    assert {hash_of("django"), hash_of("框架"), hash_of("用")} <= set(found)


def test_wide_letters_are_narrow_ones() -> None:
    assert shares("ＤＪＡＮＧＯ") == shares("DJANGO")


def test_single_letters_are_no_terms_but_single_digits_are() -> None:
    assert shares("a b I x") == {}
    assert whole("step 3", "3")


def test_hashes_are_what_the_index_holds() -> None:
    assert (hash_of("django"), hash_of("迁移")) == (307689836, 2888703628)
    assert 0 <= hash_of("\ud800") < 2**32 - 1


@pytest.mark.parametrize(
    "token", ["CharField", "max_length", "5.2", "E304", "AWS", "django.db", "utf-8", "X-Frame-Options"]
)
def test_what_looks_like_code_is_a_name(token: str) -> None:
    assert is_name(token)


@pytest.mark.parametrize(
    "token", ["Django", "database", "I", "How", "Größe", "OK", "2004", "many-to-many", "and/or", "数据"]
)
def test_a_word_is_no_name(token: str) -> None:
    assert not is_name(token)


@pytest.mark.slow
@pytest.mark.parametrize("unit", ["a", "a.", "a_", "aB", "1.", "v1.", "文", "A", "é", "-", "++", "aB_1./-"])
def test_hostile_texts_take_linear_time(unit: str) -> None:
    assert is_linear(lambda units: shares(unit * units), 100_000 // len(unit))
    assert len(shares(unit * (500_000 // len(unit)))) < 300_000
