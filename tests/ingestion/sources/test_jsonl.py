from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from pytest_django import Settings

from ingestion.exceptions import FetchFailed, SourceError, UnsupportedContent
from ingestion.sources.local import jsonl
from ingestion.types import Page, SourceSpec


def corpus(folder: Path, *lines: object, end: str = "\n", name: str = "corpus.jsonl") -> SourceSpec:
    """A file of these lines; what is no text or bytes is written as JSON."""
    written = [line if isinstance(line, bytes) else encoded(line) for line in lines]
    (folder / name).write_bytes(b"".join(line + end.encode() for line in written))
    return spec_of(folder / name)


def encoded(line: object) -> bytes:
    return (line if isinstance(line, str) else json.dumps(line)).encode()


def spec_of(path: Path, **options: object) -> SourceSpec:
    return SourceSpec(kind="jsonl", target=str(path), **options)  # type: ignore[arg-type]


def entry(number: object, **more: object) -> dict[str, object]:
    return {"_id": number, "title": f"Title {number}", "text": f"Text {number}."} | more


def listed(spec: SourceSpec) -> list[str]:
    return [one.url for one in jsonl.list_documents(spec).documents]


def fault(spec: SourceSpec, url: str) -> str:
    with pytest.raises(UnsupportedContent) as caught:
        jsonl.fetch(spec, url)
    return str(caught.value)


# --- Lines --------------------------------------------------------------------------------------------


def test_each_line_is_a_document(tmp_path: Path) -> None:
    spec = corpus(tmp_path, entry("a"), entry("b"))
    listing = jsonl.list_documents(spec)
    assert [one.url for one in listing.documents] == ["jsonl:corpus.jsonl#a", "jsonl:corpus.jsonl#b"]
    assert (listing.complete, listing.notes) == (True, ())
    assert jsonl.fetch(spec, "jsonl:corpus.jsonl#b") == Page(
        url="jsonl:corpus.jsonl#b", body=b"Text b.", content_type="text/plain", charset="utf-8", title="Title b"
    )


def test_the_address_is_that_of_the_page_if_the_line_names_one(tmp_path: Path) -> None:
    url = "https://docs.example.com/a?x=1#part"
    spec = corpus(tmp_path, entry("a", url=url), {"url": "http://h.example/", "text": "No id."})
    assert listed(spec) == [url, "http://h.example/"]
    assert jsonl.fetch(spec, url).body == b"Text a."
    assert jsonl.fetch(spec, "http://h.example/").body == b"No id."


def test_several_lines_may_be_of_one_page(tmp_path: Path) -> None:
    spec = corpus(tmp_path, *(entry(n, url="https://h.example/") for n in range(3)))
    assert listed(spec) == ["https://h.example/", "jsonl:corpus.jsonl#1", "jsonl:corpus.jsonl#2"]
    assert [jsonl.fetch(spec, url).body for url in listed(spec)] == [b"Text 0.", b"Text 1.", b"Text 2."]


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "/relative",
        "ftp://h.example/",
        "https://h.example/a b",
        "https://h.example/\u202egpj.exe",
        "https://" + "a" * 2050,
        "",
        None,
        7,
        ["https://h.example/"],
    ],
)
def test_what_is_no_web_address_is_no_address_of_a_document(tmp_path: Path, url: object) -> None:
    assert listed(corpus(tmp_path, entry("a", url=url))) == ["jsonl:corpus.jsonl#a"]


def test_every_id_and_file_name_makes_an_address_that_can_be_stored(tmp_path: Path) -> None:
    ids = ["a b", "a#b", "a?line=1", "50%", "ü", "\ud800", "\n", 7, "x" * 500, "-1", 12345678901234567890]
    spec = corpus(tmp_path, *map(entry, ids), name="großer Korpus?line=#1.jsonl")
    found = listed(spec)
    assert len(set(found)) == len(ids)
    assert all(url.isascii() and len(url) <= 2048 for url in found)
    assert [jsonl.fetch(spec, url).title for url in found][:3] == ["Title a b", "Title a#b", "Title a?line=1"]
    assert found[7].endswith("#7")


def test_a_text_like_markdown_is_read_as_markdown(tmp_path: Path) -> None:
    texts = ["# Head\n\nx", "x\n\n```py\n1\n```", "see [a](https://h.example/)", "plain [a] (b)", "#hash-tag\nC# code"]
    spec = corpus(tmp_path, *(entry(n, text=text) for n, text in enumerate(texts)))
    types = [jsonl.fetch(spec, url).content_type for url in listed(spec)]
    assert types == ["text/markdown"] * 3 + ["text/plain"] * 2


def test_a_line_without_text_stands_for_its_title(tmp_path: Path) -> None:
    spec = corpus(
        tmp_path, {"_id": "a", "title": "Only\n a  title", "text": " "}, {"_id": "b", "title": None, "text": "x"}
    )
    pages = [jsonl.fetch(spec, url) for url in listed(spec)]
    assert [(page.body, page.title) for page in pages] == [(b"Only a title", "Only a title"), (b"x", "")]


def test_half_a_character_does_not_reach_the_text(tmp_path: Path) -> None:
    spec = corpus(tmp_path, entry("a", text="x \ud800 y", title="t\0\udfff u\n"))
    page = jsonl.fetch(spec, "jsonl:corpus.jsonl#a")
    assert page.body == b"x ? y"
    assert page.title == "t u"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n", "\n \t \r\n"])
def test_line_ends_and_blank_lines_do_not_matter(tmp_path: Path, end: str) -> None:
    spec = corpus(tmp_path, b"\xef\xbb\xbf" + encoded(entry("a")), entry("b"), end=end)
    assert listed(spec) == ["jsonl:corpus.jsonl#a", "jsonl:corpus.jsonl#b"]
    assert jsonl.fetch(spec, "jsonl:corpus.jsonl#a").body == b"Text a."


def test_the_last_line_needs_no_end(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_bytes(encoded(entry("a")) + b"\n" + encoded(entry("b")))
    assert jsonl.fetch(spec_of(tmp_path / "x.jsonl"), "jsonl:x.jsonl#b").body == b"Text b."


def test_only_a_changed_line_has_another_version(tmp_path: Path) -> None:
    spec = corpus(tmp_path, *map(entry, "abc"))
    before = list(jsonl.list_documents(spec).documents)
    corpus(tmp_path, entry("new"), entry("a"), entry("b", text="Changed."), entry("c"), end="\r\n")
    after = {one.url: one.version for one in jsonl.list_documents(spec).documents}
    assert [after[one.url] == one.version for one in before] == [True, False, True]
    assert jsonl.fetch(spec, "jsonl:corpus.jsonl#b").body == b"Changed."


# --- Bad lines ----------------------------------------------------------------------------------------

BAD_LINES = [
    (b'{"_id": "x", "text": "cut', "no JSON"),
    (b"{'_id': 'x'}", "no JSON"),
    (b'{"_id": "x", "text": "\xe9"}', "not written in UTF-8"),
    (b"\xff\xfe{\0}\0", "not written in UTF-8"),
    (b"\0\0\0", "no JSON"),
    (b'["x"]', "no JSON object"),
    (b"null", "no JSON object"),
    (b'"x"', "no JSON object"),
    (b"[" * 100_000, "no JSON"),
    (b'{"_id": ' + b"9" * 5000 + b"}", "no JSON"),
    (b'{"_id": "x"}', "no text"),
    (b'{"_id": "x", "text": "  \\n", "title": " "}', "no text"),
    (b'{"_id": "x", "text": ["a"]}', "its text is no text but list"),
    (b'{"_id": "x", "text": "a", "title": 7}', "its title is no text but int"),
    (b'{"text": "a"}', "neither an _id .* nor a url"),
    (b'{"_id": true, "text": "a"}', "neither an _id"),
    (b'{"_id": 1.5, "text": "a"}', "neither an _id"),
    (b'{"_id": "", "text": "a"}', "neither an _id"),
    (b'{"_id": "' + b"x" * 3000 + b'", "text": "a"}', "address above 2048 characters; shorten it"),
]


@pytest.mark.parametrize(("line", "reason"), BAD_LINES)
def test_a_bad_line_fails_alone_and_says_why(tmp_path: Path, line: bytes, reason: str) -> None:
    spec = corpus(tmp_path, entry("a"), line, entry("b"))
    bad = "jsonl:corpus.jsonl?line=2"
    assert listed(spec) == ["jsonl:corpus.jsonl#a", bad, "jsonl:corpus.jsonl#b"]
    with pytest.raises(UnsupportedContent, match=rf"Line 2 of .*corpus\.jsonl is left out: .*{reason}"):
        jsonl.fetch(spec, bad)
    assert jsonl.fetch(spec, "jsonl:corpus.jsonl#b").body == b"Text b."


def test_a_bad_line_has_no_version_and_so_is_never_taken_for_unchanged(tmp_path: Path) -> None:
    spec = corpus(tmp_path, entry("a"), b"x")
    assert [bool(one.version) for one in jsonl.list_documents(spec).documents] == [True, False]


def test_an_id_used_twice_is_the_fault_of_the_later_line(tmp_path: Path) -> None:
    spec = corpus(tmp_path, entry("a"), "", entry("a", text="Other."), entry("a", url="https://h.example/"), entry("b"))
    first, *bad, last = listed(spec)
    assert [first, last] == ["jsonl:corpus.jsonl#a", "jsonl:corpus.jsonl#b"]
    assert bad == ["jsonl:corpus.jsonl?line=3", "jsonl:corpus.jsonl?line=4"]
    assert "its _id 'a' is also that of line 1" in fault(spec, bad[0])
    assert jsonl.fetch(spec, first).body == b"Text a."


def test_of_many_lines_with_one_id_the_first_counts(tmp_path: Path) -> None:
    spec = corpus(tmp_path, *(entry(n if n % 2 else "a") for n in range(500)))
    found = listed(spec)
    assert found[0] == "jsonl:corpus.jsonl#a"
    assert all("?line=" in url for url in found[2::2])
    assert jsonl.fetch(spec, found[1]).body == b"Text 1."


def test_a_url_used_twice_without_ids_is_a_fault(tmp_path: Path) -> None:
    line = {"url": "https://h.example/", "text": "x"}
    spec = corpus(tmp_path, line, line)
    assert listed(spec) == ["https://h.example/", "jsonl:corpus.jsonl?line=2"]
    assert "give it one" in fault(spec, "jsonl:corpus.jsonl?line=2")


def test_a_line_too_long_to_read_is_passed_over(tmp_path: Path, settings: Settings) -> None:
    settings.FETCH_MAX_BYTES = 100
    spec = corpus(tmp_path, entry("a"), entry("b", text="x" * 1000), entry("c"), entry("d", text="x" * 1000))
    assert [url.partition("jsonl:corpus.jsonl")[2] for url in listed(spec)] == ["#a", "?line=2", "#c", "?line=4"]
    assert "longer than 100 bytes" in fault(spec, "jsonl:corpus.jsonl?line=2")
    assert jsonl.fetch(spec, "jsonl:corpus.jsonl#c").body == b"Text c."


def test_a_line_as_long_as_allowed_is_read(tmp_path: Path, settings: Settings) -> None:
    settings.FETCH_MAX_BYTES = len(encoded(entry("a"))) + 1
    assert listed(corpus(tmp_path, entry("a"), entry("b"))) == ["jsonl:corpus.jsonl#a", "jsonl:corpus.jsonl#b"]


@pytest.mark.parametrize("body", [b"[\n {\n  1\n }\n]", b"name,text\na,b\n", b"\x89PNG\r\n\x1a\n\0\0"])
def test_a_file_of_another_kind_is_refused_as_a_whole(tmp_path: Path, body: bytes) -> None:
    (tmp_path / "x.jsonl").write_bytes(body)
    with pytest.raises(SourceError, match=r"x\.jsonl is no JSON-lines file. Line 1 of .*: it is no"):
        jsonl.list_documents(spec_of(tmp_path / "x.jsonl"))


@pytest.mark.parametrize("body", [b"", b"\n\n"])
def test_an_empty_file_lists_nothing(tmp_path: Path, body: bytes) -> None:
    (tmp_path / "x.jsonl").write_bytes(body)
    assert listed(spec_of(tmp_path / "x.jsonl")) == []


# --- Choosing -----------------------------------------------------------------------------------------


def test_globs_choose_by_url_or_else_by_id_and_bad_lines_always_show(tmp_path: Path) -> None:
    corpus(tmp_path, entry("a1"), entry("a2", url="https://h.example/a/"), entry("b1"), b"bad")
    spec = spec_of(tmp_path / "corpus.jsonl", include=("a*", "*/a/"), exclude=("*2",))
    assert listed(spec) == ["jsonl:corpus.jsonl#a1", "https://h.example/a/", "jsonl:corpus.jsonl?line=4"]


def test_it_stops_at_the_cap_and_says_so(tmp_path: Path) -> None:
    corpus(tmp_path, *map(entry, range(5)), end="\n\n")
    listing = jsonl.list_documents(spec_of(tmp_path / "corpus.jsonl", max_pages=4))
    assert len(list(listing.documents)) == 4
    assert listing.notes == ("Only the first 4 of 5 lines are taken (max_pages).",)
    assert jsonl.list_documents(spec_of(tmp_path / "corpus.jsonl", max_pages=5)).notes == ()


# --- The file -----------------------------------------------------------------------------------------


def test_it_makes_a_path_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus(tmp_path, entry("a"))
    monkeypatch.chdir(tmp_path)
    assert jsonl.normalise("corpus.jsonl") == str(tmp_path / "corpus.jsonl")


@pytest.mark.parametrize(
    ("target", "message"), [("missing.jsonl", "check it"), (".", "is no file"), ("packed.jsonl.gz", "unpack it")]
)
def test_it_says_what_is_wrong_with_a_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, message: str
) -> None:
    (tmp_path / "packed.jsonl.gz").write_bytes(b"\x1f\x8b")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError, match=message):
        jsonl.normalise(target)


def test_a_missing_file_is_no_reason_to_forget_its_lines(tmp_path: Path) -> None:
    spec = spec_of(tmp_path / "corpus.jsonl")
    with pytest.raises(SourceError):
        jsonl.list_documents(spec)
    with pytest.raises(FetchFailed, match="put it back"):
        jsonl.fetch(spec, "jsonl:corpus.jsonl#a")


@pytest.mark.parametrize(
    "url",
    [
        "jsonl:corpus.jsonl#gone",
        "jsonl:corpus.jsonl?line=0",
        "jsonl:corpus.jsonl?line=1",
        "jsonl:corpus.jsonl?line=9",
        "jsonl:corpus.jsonl?line=x",
        "jsonl:other.jsonl#a",
        "file:///etc/passwd",
    ],
)
def test_an_address_that_the_file_does_not_hold_is_tried_later(tmp_path: Path, url: str) -> None:
    with pytest.raises(FetchFailed, match="next run"):
        jsonl.fetch(corpus(tmp_path, entry("a")), url)


def test_a_file_written_while_it_is_listed_is_listed_again_later(tmp_path: Path) -> None:
    spec = corpus(tmp_path, *map(entry, range(3)))
    documents = iter(jsonl.list_documents(spec).documents)
    next(documents)
    with (tmp_path / "corpus.jsonl").open("ab") as file:
        file.write(encoded(entry(9)))
    with pytest.raises(FetchFailed, match="written while it was read"):
        list(documents)


def test_a_file_written_while_it_is_indexed_is_indexed_again_later(tmp_path: Path) -> None:
    spec = corpus(tmp_path, entry("a"))
    with pytest.raises(FetchFailed, match="written while it was read"):
        jsonl._index(Path(spec.target), "another state")


def test_a_line_is_found_without_reading_the_file_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = corpus(tmp_path, *map(entry, range(1000)))
    found = listed(spec)
    read: list[bytes] = []
    parse = jsonl.parse

    def counted(name: str, line: bytes) -> jsonl.Record:
        read.append(line)
        return parse(name, line)

    monkeypatch.setattr(jsonl, "parse", counted)
    assert jsonl.fetch(spec, found[700]).body == b"Text 700."
    assert len(read) == 1


def test_addresses_with_equal_hashes_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl, "hash", lambda address: 7, raising=False)
    spec = corpus(tmp_path, *map(entry, "abc"), entry("a"))
    found = listed(spec)
    assert found == [*(f"jsonl:corpus.jsonl#{name}" for name in "abc"), "jsonl:corpus.jsonl?line=4"]
    assert [jsonl.fetch(spec, url).body for url in found[:3]] == [b"Text a.", b"Text b.", b"Text c."]


def test_lines_lead_to_nothing_by_their_links(tmp_path: Path) -> None:
    assert jsonl.follow(corpus(tmp_path, entry("a")), "jsonl:corpus.jsonl#a", ["https://h.example/"]) == []


def test_a_pipe_is_no_file_of_lines(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.jsonl")
    with pytest.raises(SourceError, match="is no file"):
        jsonl.normalise(str(tmp_path / "x.jsonl"))
