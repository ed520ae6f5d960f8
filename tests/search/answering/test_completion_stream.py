"""Bytes of a completion, as real servers send them."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.answering.completion_stream import CompletionReader, Ended, Piece, Said, ServerError, Thought, Used
from tests.support.scripted_model import data, event, stream


def read(*parts: bytes) -> list[Piece]:
    reader = CompletionReader()
    return [piece for part in parts for piece in reader.feed(part)] + list(reader.finish())


def text_of(pieces: list[Piece]) -> str:
    return "".join(piece.text for piece in pieces if isinstance(piece, Said))


WHOLE = stream("Grüße ", "🚀", "", " 日本 [1].")
SAID = "Grüße 🚀 日本 [1]."
FORMS = {
    "as it should be": WHOLE,
    "carriage returns": WHOLE.replace(b"\n", b"\r\n"),
    "carriage returns alone": WHOLE.replace(b"\n", b"\r"),
    "no space after the colon": WHOLE.replace(b"data: ", b"data:"),
    "no empty lines": WHOLE.replace(b"\n\n", b"\n"),
    "a byte order mark": b"\xef\xbb\xbf" + WHOLE,
    "comments": b": PROCESSING\n\n" + WHOLE.replace(b"\n\n", b"\n\n: still here\n\n"),
    "keep-alives": b"retry: 3000\n\n" + WHOLE.replace(b"\n\n", b"\n\nevent: ping\ndata: {\"type\": \"ping\"}\n\n"),
    "empty data": b"data:\n\ndata: \n\n" + WHOLE,
    "an id with a comment after it": b"id: 1\n: so\n\n" + WHOLE,
    "null, a list, a string": data("null") + data("[]") + data('"x"') + WHOLE,
    "choices of no use": data('{"choices": null}') + data('{"choices": [null]}') + data('{"choices": []}') + WHOLE,
    "no last line end": WHOLE.rstrip(b"\n"),
    "no data: before it": WHOLE.replace(b"data: ", b""),
    "escapes of half a character": stream("Grüße ").replace(b"data: [DONE]\n\n", b"")
    + b'data: {"choices": [{"delta": {"content": "\\ud83d"}}]}\n\n'
    + b'data: {"choices": [{"delta": {"content": "\\ude80"}}]}\n\n'
    + stream(" 日本 [1]."),
}  # fmt: skip


@pytest.mark.parametrize("body", FORMS.values(), ids=FORMS.keys())
def test_the_text_arrives_whole_wherever_the_bytes_are_cut(body: bytes) -> None:
    assert text_of(read(body)) == SAID
    assert text_of(read(*(body[at : at + 1] for at in range(len(body))))) == SAID


def test_an_object_may_be_written_over_several_lines_or_stand_beside_another() -> None:
    lines = json.dumps(json.loads(event({"content": "a"})[6:]), indent=1).split("\n")
    pretty = b"".join(f"data: {line}\n".encode() for line in lines) + b"\n"
    assert text_of(read(pretty + stream("b"))) == "ab"
    lines = ['{"choices": [', '{"index": 0, "delta":', '{"content": "a"}', "}", "]}"]
    assert text_of(read(b"".join(f"data: {line}\n".encode() for line in lines) + stream("b"))) == "ab"
    assert text_of(read(event({"content": "a"})[:-1] + stream("b"))) == "ab"
    assert text_of(read(b"data: {rubbish\n\n" + stream("b"))) == "b"


def test_a_whole_completion_is_an_answer() -> None:
    choice = {"message": {"role": "assistant", "content": "Use it."}, "finish_reason": "stop"}
    completion = {"choices": [choice], "usage": {"completion_tokens": 7}}
    for indent in (None, 2):
        found = read(json.dumps(completion, indent=indent).encode())
        assert found == [Said("Use it."), Ended("stop"), Used(7)]


@pytest.mark.parametrize(
    ("chunk", "pieces"),
    [
        ({"delta": {"content": [{"type": "text", "text": "a"}, "b", {"type": "image"}, 7]}}, [Said("ab")]),
        ({"delta": {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "p"}]}]}}, [Thought()]),
        ({"delta": {"content": 42}}, []),
        ({"delta": {"content": None, "reasoning_content": "p"}}, [Thought()]),
        ({"delta": {"reasoning": "p", "content": "a"}}, [Thought(), Said("a")]),
        ({"message": {"content": "a"}}, [Said("a")]),
        ({"text": "a"}, [Said("a")]),
        ({"delta": {"refusal": "No."}}, [Said("No.", refusal=True)]),
        ({"delta": None}, []),
        ({"finish_reason": "length"}, [Ended("length")]),
        ({"delta": {}, "finish_reason": ""}, []),
        ({"delta": "x", "finish_reason": 7}, []),
    ],
)
def test_text_is_found_where_servers_put_it(chunk: dict[str, object], pieces: list[Piece]) -> None:
    assert read(data(json.dumps({"choices": [chunk]}))) == pieces


@pytest.mark.parametrize(
    "body",
    [
        data('{"error": {"message": "out of memory"}}'),
        data('{"error": "out of memory"}'),
        data('{"object": "error", "message": "out of memory", "code": 1}'),
        event({"content": ""}, "error", error={"message": "out of memory"}),
        b'event: error\ndata: {"message": "out of memory"}\n\n',
        b'{"error": {"message": "out of memory"}}\n',
        b'{"code": 401, "msg": "out of memory", "success": false}',
        b'{\n "detail": "out of memory"\n}',
        b"<!doctype html><body>out of memory</body>",
    ],
)  # fmt: skip
def test_an_error_has_the_servers_words_and_what_came_before_stays(body: bytes) -> None:
    for parts in ([body], [body[at : at + 1] for at in range(len(body))]):
        got: list[Piece] = []
        with pytest.raises(ServerError, match="out of memory"):
            got.extend(failing(event({"content": "a"}) + parts[0], *parts[1:]))
        assert got == [Said("a")]


def failing(*parts: bytes) -> Iterator[Piece]:
    reader = CompletionReader()
    for part in parts:
        yield from reader.feed(part)
    yield from reader.finish()


def test_broken_bytes_are_shown_as_such() -> None:
    assert text_of(read(b'data: {"choices": [{"delta": {"content": "caf\xe9."}}]}\n\n')) == "caf\ufffd."
    assert text_of(read(b'data: {"choices": [{"delta": {"content": "a\\ud83d"}}]}\n\n')) == "a\ufffd"


def test_a_line_without_an_end_is_refused() -> None:
    reader = CompletionReader()
    with pytest.raises(ServerError, match="16 MB"):
        for _ in range(40):
            list(reader.feed(b"x" * 1_000_000))


@given(st.lists(st.binary(max_size=30), max_size=6))
def test_rubbish_is_an_error_or_nothing(parts: list[bytes]) -> None:
    try:
        found = read(*parts)
    except ServerError:
        return
    assert not [piece for piece in found if isinstance(piece, Said)]
