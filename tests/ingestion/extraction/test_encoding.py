"""Bytes become text: marks, declarations of transport and page, wrong labels of thirty encodings."""

from __future__ import annotations

import codecs

import pytest

from ingestion.extraction.encoding import SAMPLE_BYTES, declared, decode

LATIN = "Zwölf große Kisten voll süßer Äpfel für die Köchin, außerdem Öl und Gemüse."
CENTRAL = "Příliš žluťoučký kůň úpěl ďábelské ódy, a přece šel dál až k řece."
FRENCH = "Les élèves où l’été dernier, à la forêt, ont goûté les châtaignes; c’était déjà très agréable. "
DANISH = "Ærlig talt, få vågner før solen står højt over søen og åen, og de fleste går på arbejde. "
NORDIC = "Ærlig talt, få vågner før solen står højt over søen og åen."
BALTIC = "Šiandien ąžuolai šlama, o žąsys skrenda į pietus ūkanotą rytą."
TURKISH = "Çocuklar bahçede güneşin altında şarkı söylüyor, ığdır uzakta."
CYRILLIC = "Старый чайник стоит на плите и тихо поёт свою песню до утра."
GREEK = "Ο παλιός βραστήρας σφυρίζει στην κουζίνα κάθε πρωί πριν τις επτά."
HEBREW = "הקומקום הישן שורק במטבח בכל בוקר לפני שבע"
ARABIC = "الغلاية القديمة تصفر في المطبخ كل صباح قبل السابعة"
THAI = "กาน้ำเก่าส่งเสียงในครัวทุกเช้าก่อนเจ็ดโมง"
VIETNAMESE = "Am nuoc cu reo trong bep moi sang, \u00e2m \u0111un \u01b0a l\u00e2u."
JAPANESE = "古いやかんが台所で毎朝七時前に鳴ります。ふたは熱いです。"
CHINESE = "旧水壶每天早上七点前在厨房里响起来，盖子很烫。"
TAIWANESE = "舊水壺每天早上七點前在廚房裡響起來，蓋子很燙。"
KOREAN = "낡은 주전자가 매일 아침 일곱 시 전에 부엌에서 운다."
PLAIN_JAPANESE = "古いやかん、毎朝鳴る"

ENCODINGS = {
    "utf-8": CENTRAL, "iso-8859-1": LATIN, "iso-8859-2": CENTRAL, "iso-8859-4": BALTIC, "iso-8859-5": CYRILLIC,
    "iso-8859-6": ARABIC, "iso-8859-7": GREEK, "iso-8859-8": HEBREW, "iso-8859-9": TURKISH, "iso-8859-10": NORDIC,
    "iso-8859-11": THAI, "iso-8859-13": BALTIC, "iso-8859-15": LATIN, "windows-1250": CENTRAL,
    "windows-1251": CYRILLIC, "windows-1252": LATIN, "windows-1253": GREEK, "windows-1254": TURKISH,
    "windows-1255": HEBREW, "windows-1256": ARABIC, "windows-1257": BALTIC, "windows-1258": VIETNAMESE,
    "koi8-r": CYRILLIC, "ibm866": CYRILLIC, "windows-874": THAI, "shift_jis": JAPANESE, "euc-jp": JAPANESE,
    "iso-2022-jp": PLAIN_JAPANESE, "gb2312": CHINESE, "gb18030": CHINESE, "big5": TAIWANESE, "euc-kr": KOREAN,
}  # fmt: skip
CODECS = {"windows-874": "cp874"}
each_encoding = pytest.mark.parametrize("name", ENCODINGS)


def body_of(name: str, meta: str = "") -> bytes:
    head = f'<meta charset="{meta}">' if meta else ""
    return f"<html><head>{head}</head><p>{ENCODINGS[name]}</p>".encode(CODECS.get(name, name))


@each_encoding
def test_the_transport_names_the_encoding(name: str) -> None:
    assert ENCODINGS[name] in decode(body_of(name), name, is_html=True)


@each_encoding
def test_the_page_names_the_encoding(name: str) -> None:
    assert ENCODINGS[name] in decode(body_of(name, name), "", is_html=True)


@each_encoding
def test_the_transport_outranks_the_page(name: str) -> None:
    wrong = "windows-1252" if name == "iso-8859-5" else "iso-8859-5"
    assert ENCODINGS[name] in decode(body_of(name, wrong), name, is_html=True)


@pytest.mark.parametrize(
    "name", sorted(ENCODINGS.keys() - {"iso-2022-jp"})
)  # which is ASCII, so that nothing disproves it
def test_the_page_is_believed_where_bytes_disprove_the_transport(name: str) -> None:
    assert ENCODINGS[name] in decode(body_of(name, name), "utf-8", is_html=True)


@each_encoding
def test_utf8_is_seen_under_any_wrong_label(name: str) -> None:
    body = f"<p>{CYRILLIC}</p>".encode()
    assert CYRILLIC in decode(body, name, is_html=True)
    assert CYRILLIC in decode(f'<meta charset="{name}">'.encode() + body, "", is_html=True)


@pytest.mark.parametrize(
    ("mark", "codec"),
    [
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"),
    ],
)
@pytest.mark.parametrize("label", ["", "utf-8", "windows-1251", "gb18030"])
def test_a_mark_outranks_every_label(mark: bytes, codec: str, label: str) -> None:
    assert decode(mark + GREEK.encode(codec), label, is_html=True).lstrip("\ufeff") == GREEK


@pytest.mark.parametrize("name", sorted(ENCODINGS.keys() - {"iso-2022-jp"}))  # which is ASCII
def test_an_encoding_that_nobody_names_is_detected(name: str) -> None:
    text = " ".join([ENCODINGS[name]] * 8)
    assert text in decode(text.encode(CODECS.get(name, name)))


@pytest.mark.parametrize("text", [FRENCH, DANISH, LATIN])
@pytest.mark.parametrize("times", [1, 4, 20])
def test_western_pages_that_name_no_encoding_are_read_as_browsers_do(text: str, times: int) -> None:
    assert text in decode(f"<p>{text * times}".encode("windows-1252"))


@pytest.mark.parametrize("body", [b"\xa9 2004 \x96 all rights", b"caf\xe9", b"\x93quoted\x94", b"x\xe9" * 9])
def test_too_little_to_tell_is_read_as_western(body: bytes) -> None:
    assert decode(body) == body.decode("windows-1252")


def test_utf8_with_a_little_damage_stays_utf8_where_nobody_names_it() -> None:
    assert decode(CYRILLIC.encode() + b"\xff " + CYRILLIC.encode()) == f"{CYRILLIC}\ufffd {CYRILLIC}"


@pytest.mark.parametrize("label", ["utf-7", "idna", "base64", "unicode-escape", "undefined", "no-such", "x" * 5000])
def test_a_label_that_is_no_encoding_of_pages_is_ignored(label: str) -> None:
    assert decode(f"<p>{CYRILLIC}+ADw-script+AD4-</p>".encode(), label) == f"<p>{CYRILLIC}+ADw-script+AD4-</p>"


@pytest.mark.parametrize(
    "declaration",
    [
        '<meta charset="windows-1251">',
        "<META CHARSET=windows-1251>",
        '<meta http-equiv="Content-Type" content="text/html; charset=windows-1251">',
        "<meta content='text/html;charset=windows-1251' http-equiv='content-type'>",
        '<?xml version="1.0" encoding="windows-1251"?>',
        '<meta charset="x-cp1251">',
    ],
)
def test_declarations_are_found_as_pages_write_them(declaration: str) -> None:
    body = declaration.encode() + CYRILLIC.encode("windows-1251")
    assert CYRILLIC in decode(body, "", is_html=True)


@pytest.mark.parametrize(
    ("content", "label"),
    [
        ("text/html; charset='windows-1251'", "windows-1251"),
        ("text/html;charset = windows-1251 ; x", "windows-1251"),
        ("charset=windows-1251", "windows-1251"),
        ("text/html; charset='windows-1251", ""),
        ("text/html; charset", ""),
    ],
)
def test_a_label_inside_a_content_type_may_be_quoted(content: str, label: str) -> None:
    assert declared(f'<meta http-equiv="Content-Type" content="{content}">'.encode()) == label


def test_what_stands_beyond_the_detectors_sample_counts_too() -> None:
    assert decode(b"x" * SAMPLE_BYTES + b"caf\xe9").endswith("café")


def test_a_declaration_that_can_be_read_cannot_be_utf16() -> None:
    assert "é" in decode('<meta charset="utf-16"><p>é'.encode(), "", is_html=True)


@pytest.mark.parametrize(
    ("label", "codec", "character"),
    [
        ("gb2312", "gb18030", "镕"),
        ("shift_jis", "cp932", "①"),
        ("euc-kr", "cp949", "똠"),
        ("iso-8859-9", "cp1254", "€"),
        ("x-sjis", "cp932", "①"),
        ("iso-8859-1", "cp1252", "„"),
    ],
)
def test_a_label_means_what_browsers_take_it_for(label: str, codec: str, character: str) -> None:
    assert decode(f"<p>{character}".encode(codec), label) == f"<p>{character}"


def test_one_damaged_byte_does_not_disprove_a_label() -> None:
    body = CYRILLIC.encode() + b"\xff" + CYRILLIC.encode()
    assert decode(body, "utf-8") == f"{CYRILLIC}\ufffd{CYRILLIC}"
    assert decode(body, "koi8-r") != f"{CYRILLIC}\ufffd{CYRILLIC}"
