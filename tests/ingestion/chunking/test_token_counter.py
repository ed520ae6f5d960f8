"""The tokenizer is found or missed quickly, and words add up to what the model counts."""

from __future__ import annotations

import random
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from threading import Thread
from typing import ClassVar

import pytest
from huggingface_hub import constants
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

from ingestion.chunking import token_counter
from ingestion.chunking.token_counter import SpanCounter, TokenCounter, load_tokenizer, shared_counter
from ingestion.exceptions import ModelError
from tests.support.tokenizers_of_all_kinds import (
    KINDS,
    SENTENCE,
    WORDS,
    built,
    readable,
    word_piece_folder,
)

# --- Loading ---------------------------------------------------------------------------------------------


def test_a_tokenizer_is_loaded_once_and_does_not_truncate() -> None:
    tokenizer = load_tokenizer(word_piece_folder())
    assert load_tokenizer(word_piece_folder()) is tokenizer
    assert len(tokenizer.encode("tea " * 1000).ids) == 1002
    assert len(tokenizer.encode("tea").ids) == 3


def test_a_missing_model_says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="EMBED_MODEL"):
        load_tokenizer(str(tmp_path / "nothing"))
    with pytest.raises(ModelError, match=r"tokenizer\.json"):
        load_tokenizer(str(tmp_path))


class Hub(BaseHTTPRequestHandler):
    """Has no file, or one model's tokenizer."""

    asked: ClassVar[list[str]] = []
    body = b""

    def do_HEAD(self) -> None:
        if self.path.endswith("tokenizer.json"):  # the client also asks for things of its own
            self.asked.append(self.path)
        self.send_response(200 if self.body else 503)
        self.send_header("ETag", '"1"')
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()

    def do_GET(self) -> None:
        self.do_HEAD()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[type[Hub]]:
    class Fresh(Hub):
        asked: ClassVar[list[str]] = []

    server = ThreadingHTTPServer(("127.0.0.1", 0), Fresh)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"{address}/{{repo_id}}/{{revision}}/{{filename}}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(token_counter, "_hub_failures", {})
    yield Fresh
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_hub_that_does_not_answer_is_asked_once_a_minute(hub: type[Hub], monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        with pytest.raises(ModelError, match="EMBED_MODEL"):
            load_tokenizer("tea/pot")
    assert len(hub.asked) == 1
    monkeypatch.setattr(token_counter, "monotonic", lambda: token_counter._hub_failures["tea/pot"][0] + 61)
    with pytest.raises(ModelError, match="tea/pot"):
        load_tokenizer("tea/pot")
    assert len(hub.asked) == 2


def test_a_model_of_the_hub_is_downloaded_once(hub: type[Hub]) -> None:
    hub.body = (Path(word_piece_folder()) / "tokenizer.json").read_bytes()
    assert load_tokenizer("tea/cup").get_vocab_size() == load_tokenizer(word_piece_folder()).get_vocab_size()
    asked = len(hub.asked)
    load_tokenizer.cache_clear()
    load_tokenizer("tea/cup")
    assert len(hub.asked) == asked


# --- Counting --------------------------------------------------------------------------------------------

ADDING = {"word piece": True, "unigram": True, "spaced unigram": False, "byte pairs": False}


@pytest.mark.parametrize("kind", KINDS)
def test_it_knows_which_tokenizers_add_up_word_by_word(kind: str) -> None:
    assert shared_counter(built(kind)).adds_up(SENTENCE) is ADDING[kind]


def test_it_knows_normalisers_and_splitters_that_join_words() -> None:
    for normaliser in (normalizers.Replace(" ", ""), normalizers.Prepend("a"), normalizers.Replace("tea", "t e a")):
        tokenizer = Tokenizer.from_str(built("unigram").to_str())
        tokenizer.normalizer = normalizers.Sequence([tokenizer.normalizer, normaliser])
        assert not TokenCounter(tokenizer).adds_up("tea")
    for splitter in (pre_tokenizers.Metaspace(prepend_scheme="never"), pre_tokenizers.Metaspace(split=False), None):
        tokenizer = Tokenizer.from_str(built("unigram").to_str())
        tokenizer.pre_tokenizer = splitter
        assert not TokenCounter(tokenizer).adds_up("tea")


@pytest.mark.parametrize(
    "text", ["caf\u00e9", "tea\rcup", "tea\x00", "tea\u00a0cup", "a [SEP] b", "漢字", "tea\x1ccup"]
)
def test_a_text_of_other_characters_or_marks_is_not_added_up(text: str) -> None:
    assert not shared_counter(built("word piece")).adds_up(text)


def test_it_knows_a_splitter_that_begins_a_text_otherwise() -> None:
    pieces = [("<unk>", 0.0), *((mark + word, -1.0) for mark in ("", "▁") for word in ("tea", "cup"))]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=0))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.Replace(Regex(" {2,}"), " ")])
    for scheme, exact in (("always", True), ("first", True), ("never", False)):
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
        assert TokenCounter(tokenizer).adds_up("tea") is exact


def test_marks_of_the_tokenizer_are_not_added_up() -> None:
    tokenizer = Tokenizer.from_str(built("unigram").to_str())
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, rstrip=True)])
    assert not TokenCounter(tokenizer).adds_up("a <mask> cup")
    assert TokenCounter(tokenizer).adds_up("a <cup> cup")


@pytest.mark.parametrize("kind", [kind for kind, adds in ADDING.items() if adds])
@given(
    text=st.lists(st.sampled_from([*WORDS, "\n", "\n\n", "    ", "\t", "`", "**", ":", "Kettle(", "9.5", "~"])).map(
        " ".join
    )
    | st.text(st.characters(max_codepoint=126, exclude_categories=["Cc"]) | st.sampled_from(" \n\t"))
)
def test_words_cost_what_the_whole_text_costs(kind: str, text: str) -> None:
    counted = shared_counter(built(kind))
    text = text.strip()
    assert not text or counted.adds_up(text)
    assert SpanCounter(counted, text).between(0, len(text)) == counted.count([text])[0]


@pytest.mark.parametrize("kind", KINDS)
def test_stretches_add_up_to_the_whole(kind: str) -> None:
    rng = random.Random(7)
    text = "".join(rng.choice([*WORDS, " ", "  ", "\n", "漢字。", "x" * 200]) for _ in range(500)) + "\n" * 300
    spans = SpanCounter(shared_counter(built(kind)), text)
    cuts = [0, *sorted(rng.sample(range(len(text)), 40)), len(text)]
    parts = [spans.between(start, end) for start, end in pairwise(cuts)]
    assert sum(parts) == spans.between(0, len(text))
    assert spans.has_sliced_word(0, len(text))


def test_it_reaches_as_far_as_the_budget_goes() -> None:
    spans = SpanCounter(shared_counter(built("word piece")), "tea tea tea tea")
    assert spans.furthest_end(0, 2) == 7
    assert spans.furthest_end(7, 1) == 11
    assert spans.furthest_end(0, 9) == 15
    assert spans.furthest_end(15, 1) == 15


def test_it_reaches_into_a_word_that_costs_more_than_the_budget() -> None:
    spans = SpanCounter(shared_counter(built("byte pairs")), "\u1234" * 50)
    assert spans.furthest_end(0, 15) == 5
    assert spans.furthest_end(5, 1) == 6


def test_words_are_remembered_and_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = TokenCounter(built("word piece"))
    assert counted.count_words(["tea", "kettles", "tea"]) == [1, 2, 1]
    monkeypatch.setattr(token_counter, "MAX_KNOWN", 1)
    assert counted.count_words(["cup"]) == [1]
    assert counted.known == {"cup": 1}


def test_a_lone_surrogate_counts_as_a_question_mark() -> None:
    counted = shared_counter(built("word piece"))
    assert counted.count(["a \ud800 b"]) == counted.count(["a ? b"])
    assert counted.clip("a \ud800 b", 2) == readable("a ") + "\ud800"
