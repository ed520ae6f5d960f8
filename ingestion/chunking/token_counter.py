"""The model's tokenizer, and how many tokens a text has.

``load_tokenizer`` reads the tokenizer from the model's folder or the hub. ``TokenCounter`` counts whole texts,
``SpanCounter`` every span of one document. Words repeat, so each is tokenized once per process and its tokens are
added up: Django's documentation holds 714 000 words, 79 000 of them different, and takes 1.5 s instead of 2.7 s in one
pass.

``TokenCounter.adds_up`` tells of which texts the sum is the model's count and not just near it: where the tokenizer
splits at white space first, and the words are printable ASCII, which no normalizer joins or parts. Other texts are
counted whole.
"""

from __future__ import annotations

import json
import re
from array import array
from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import accumulate, islice
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from ingestion.exceptions import ModelError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

FILE = "tokenizer.json"
# The hub client retries for 23 s where there is no network; one question without retries, asked four times a minute.
HUB_SECONDS, HUB_PAUSE = 5, 15

# A word with the white space before it, as some tokenizers join the two. What is longer comes in slices: a tokenizer
# needs 300 bytes per token while it works. Chinese and Japanese have no spaces and may be split after their marks.
MAX_WORD = 128
_WORD = re.compile(
    rf"[ \n\t]{{0,{MAX_WORD}}}[^ \n\t。，、！？]{{0,{MAX_WORD - 1}}}[^ \n\t]|[ \n\t]{{1,{MAX_WORD}}}", re.ASCII
)
# A text is read in stretches of about so many characters, which end where a word ends: the words of a whole text, each
# an object, take 50 times its size.
STRETCH_CHARS = 64 * 1024
_WORD_END = re.compile(r"(?<=[^ \n\t])(?=[ \n\t])")
_NOT_PRINTABLE_ASCII = re.compile(r"[^\n\t -~]")
# 12 MB of a CPU worker's 150; Django's documentation has 79 000.
MAX_KNOWN = 100_000
BATCH_TEXTS = 512

# Parts of a tokenizer that keep the words of an ASCII text apart: these pre-tokenizers split at white space, and these
# normalizers change characters one by one, or white space only.
_SPLIT_AT_SPACE = {"BertPreTokenizer", "WhitespaceSplit", "Whitespace", "Metaspace"}
_PER_CHARACTER = {
    "BertNormalizer", "Precompiled", "Nmt", "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Strip",
}  # fmt: skip
_GAPS = (" ", "  ", "\n", "\t", "\n\n    ", "\t\n ")

_hub_failures: dict[str, tuple[float, str]] = {}


@lru_cache(maxsize=4)
def load_tokenizer(path: str) -> Tokenizer:
    """Return the tokenizer of the model in a folder or on the hub, set neither to truncate nor to pad.

    Raises ModelError when there is none.
    """
    from tokenizers import Tokenizer

    try:
        file = Path(path) / FILE if Path(path).is_dir() else _from_hub(path)
        tokenizer = Tokenizer.from_file(str(file))
    except ModelError:
        raise
    except Exception as error:  # the libraries raise nothing narrower
        raise ModelError(f"No tokenizer for {path}: {error}. Set EMBED_MODEL to a folder with {FILE}.") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _from_hub(name: str) -> Path:
    """Return the path of the tokenizer's file in the hub's cache, downloading it if need be."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache

    if name.startswith(("/", ".", "~")):
        raise ModelError(
            f"The model folder {name} does not exist. Put the model there (the stand-in: manage.py standin_model), and "
            "the work goes on; or set EMBED_MODEL to another folder or a hub id, and start again."
        )
    if isinstance(cached := try_to_load_from_cache(name, FILE), str):
        return Path(cached)
    failed_at, reason = _hub_failures.get(name, (-HUB_PAUSE, ""))
    if monotonic() - failed_at < HUB_PAUSE:
        raise ModelError(reason)
    try:
        get_hf_file_metadata(hf_hub_url(name, FILE), timeout=HUB_SECONDS)
        return Path(hf_hub_download(name, FILE))
    except Exception as error:
        reason = f"No tokenizer for {name} on the hub: {error}. Set EMBED_MODEL to a folder with {FILE}."
        _hub_failures[name] = monotonic(), reason
        raise ModelError(reason) from error


@lru_cache(maxsize=4)
def shared_counter(tokenizer: Tokenizer) -> TokenCounter:
    """Return the tokenizer's counter, shared in this process with the words that it has counted."""
    return TokenCounter(tokenizer)


@dataclass(frozen=True, eq=False)
class TokenCounter:
    """Counts of tokens; ``known`` holds those of words."""

    tokenizer: Tokenizer
    known: dict[str, int] = field(default_factory=dict)

    def count(self, texts: list[str], *, special: bool = False) -> list[int]:
        """Return the number of tokens that the model has for each text, with or without the special ones."""
        counts: list[int] = []
        for start in range(0, len(texts), BATCH_TEXTS):
            batch = list(map(_readable, texts[start : start + BATCH_TEXTS]))
            counts.extend(map(len, self.tokenizer.encode_batch_fast(batch, add_special_tokens=special)))
        return counts

    def clip(self, text: str, tokens: int) -> str:
        """Return the beginning of the text that has no more than ``tokens`` tokens."""
        offsets = self.tokenizer.encode(_readable(text), add_special_tokens=False).offsets
        return text[: offsets[tokens - 1][1]] if len(offsets) > tokens else text

    def count_words(self, words: list[str]) -> list[int]:
        """Return the count of each word alone."""
        if len(self.known) > MAX_KNOWN:
            self.known.clear()
        counts = list(map(self.known.get, words))
        if None in counts:
            new = [word for word in set(words) if word not in self.known]
            self.known.update(zip(new, self.count(new), strict=True))
            counts = list(map(self.known.get, words))
        return cast(list[int], counts)

    def estimate(self, text: str) -> int:
        """Return the sum of the counts of the text's words."""
        return sum(self.count_words(_WORD.findall(text)))

    def adds_up(self, text: str) -> bool:
        """Return whether ``estimate(text)`` is the model's count.

        It is not where special tokens stand in the text: they may swallow the white space beside them.
        """
        if not self._keeps_words_apart or _NOT_PRINTABLE_ASCII.search(text):
            return False
        return not any(special in text for special in self._special_tokens)

    @cached_property
    def _special_tokens(self) -> list[str]:
        """Return the texts of the tokens that were added to the tokenizer's vocabulary, as ``<s>`` and ``[CLS]``."""
        return [token.content for token in self.tokenizer.get_added_tokens_decoder().values()]

    @cached_property
    def _keeps_words_apart(self) -> bool:
        """Return whether the tokenizer treats each word alone, by its settings and by a trial with two words."""
        splitters, normalizers = _steps(self.tokenizer.pre_tokenizer), _steps(self.tokenizer.normalizer)
        if not splitters or splitters[0]["type"] not in _SPLIT_AT_SPACE:
            return False
        if not splitters[0].get("split", True) or splitters[0].get("prepend_scheme") == "never":
            return False
        for step in normalizers:
            merges_spaces = step["type"] == "Replace" and step["pattern"].get("Regex") == " {2,}"
            if step["type"] not in _PER_CHARACTER and not merges_spaces:
                return False
        *joined, one, other = self.count([*(f"tea{gap}cup" for gap in _GAPS), "tea", "cup"])
        return set(joined) == {one + other}


def _readable(text: str) -> str:
    """Return the text with question marks for lone surrogates, which no tokenizer takes."""
    return text.encode("utf-8", "replace").decode()


def _steps(component: Any) -> list[dict[str, Any]]:
    """Return the settings of each step of a tokenizer's normalizer or pre-tokenizer."""
    if component is None:
        return []
    settings = json.loads(component.__getstate__())
    return list(settings.get("pretokenizers") or settings.get("normalizers") or [settings])


class SpanCounter:
    """The tokens of any span of one text, from prefix sums over its words.

    A word belongs to the span in which it ends.
    """

    def __init__(self, counter: TokenCounter, text: str) -> None:
        self._sliced = array("L")  # the ends of slices of words that are longer than MAX_WORD
        self._ends, self._totals = array("L"), array("L", [0])
        start = 0
        while start < len(text):
            word_end = _WORD_END.search(text, start + STRETCH_CHARS)
            stop = word_end.start() if word_end else len(text)
            words = _WORD.findall(text, start, stop)
            lengths = list(map(len, words))
            ends = array("L", islice(accumulate(lengths, initial=start), 1, None))
            if max(lengths, default=0) >= MAX_WORD:
                self._sliced.extend(end for end, length in zip(ends, lengths, strict=True) if length >= MAX_WORD)
            self._ends.extend(ends)
            self._totals.extend(islice(accumulate(counter.count_words(words), initial=self._totals[-1]), 1, None))
            start = stop

    def between(self, start: int, end: int) -> int:
        """Return the tokens of the words that end after ``start`` and not after ``end``."""
        return self._totals[bisect_right(self._ends, end)] - self._totals[bisect_right(self._ends, start)]

    def has_sliced_word(self, start: int, end: int) -> bool:
        """Return whether a span between words may hold slices of a word, whose counts do not add up."""
        index = bisect_right(self._sliced, start)
        # Slices of white space may end behind the span.
        return index < len(self._sliced) and self._sliced[index] - MAX_WORD < end

    def up_to(self, offsets: list[int]) -> array[int]:
        """Return the tokens up to each offset: all at once, since there may be one for every line."""
        words = np.searchsorted(_view(self._ends), np.array(offsets, dtype=self._ends.typecode), side="right")
        return array("L", _view(self._totals)[words].tobytes())

    def furthest_end(self, start: int, budget: int) -> int:
        """Return the offset after the last word that fits the budget, or one inside a word that alone is over it."""
        word = bisect_right(self._ends, start)
        last = bisect_right(self._totals, self._totals[word] + budget) - 1
        if last > word or word == len(self._ends):
            return self._ends[last - 1]
        length = self._ends[word] - (self._ends[word - 1] if word else 0)
        return start + max(1, length * budget // (self._totals[word + 1] - self._totals[word]))


def _view(numbers: array[int]) -> npt.NDArray[np.unsignedinteger]:
    """Return the numbers as a NumPy array over the same memory; while it exists, ``numbers`` cannot grow or shrink."""
    return np.frombuffer(numbers, dtype=numbers.typecode)
