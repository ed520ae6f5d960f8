"""The stack's output: whole lines, each behind its process, whatever the pieces they came in."""

from __future__ import annotations

import sys

import pytest

from ragproject.embedded.console import MAX_LINE_BYTES, Console, Prefixed


@pytest.fixture
def stream() -> Prefixed:
    return Prefixed("cpu", Console(colour=False))


def test_a_line_in_pieces_is_one_line_even_inside_a_letter(
    stream: Prefixed, capsys: pytest.CaptureFixture[str]
) -> None:
    for piece in (b"gr\xc3", b"\xbcn", b"\nnext"):
        stream({"data": piece})
    assert capsys.readouterr().out == "cpu    | grün\n"


def test_what_a_process_wrote_last_is_kept_without_a_line_end(
    stream: Prefixed, capsys: pytest.CaptureFixture[str]
) -> None:
    stream({"data": b"last words"})
    stream.close()
    stream.close()
    assert capsys.readouterr().out == "cpu    | last words\n"


def test_a_progress_bar_is_seen_before_it_ends_its_line(stream: Prefixed, capsys: pytest.CaptureFixture[str]) -> None:
    stream({"data": b"10 %\r20 %\r"})
    assert capsys.readouterr().out == "cpu    | 10 %\ncpu    | 20 %\n"


def test_output_without_line_ends_is_not_collected_for_ever(
    stream: Prefixed, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(3):
        stream({"data": b"x" * MAX_LINE_BYTES})
    assert len(stream.rest) <= MAX_LINE_BYTES
    stream.close()
    assert capsys.readouterr().out.count("x") == 3 * MAX_LINE_BYTES


def test_colour_is_on_the_name_alone(capsys: pytest.CaptureFixture[str]) -> None:
    Console(colour=True).line("gpu", "text")
    assert capsys.readouterr().out == "\033[33mgpu    |\033[0m text\n"


def test_a_closed_pipe_does_not_stop_the_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed:
        def write(self, text: str) -> None:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Closed())
    Console(colour=False).line("web", "text")
