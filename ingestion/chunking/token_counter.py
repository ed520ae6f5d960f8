"""The model's tokenizer, and what text costs in its tokens.

``load_tokenizer`` reads it from the model's folder or the hub. ``Counter`` counts texts, ``Costs`` every
stretch of one document. Words repeat, so each is tokenised once per process and documents are added up: Django's
documentation holds 714 000 words, 79 000 of them different, and takes 1.5 s instead of 2.7 s in one pass.

``Counter.exact`` says of which texts the sum is the model's count and not just near it: tokenizers that split at white
space first, and words of printable ASCII, which no normaliser joins or parts. Others are counted whole.
"""

from __future__ import annotations

import json
import re
from array import array
from bisect import bisect_right
from collections.abc import Iterator
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
# The hub client retries for 23 s where there is no network; one question without retries, asked once a minute.
HUB_SECONDS, HUB_PAUSE = 5, 60

# A word with the white space before it, as some tokenizers join the two. What is longer comes in slices: a tokenizer
# needs 300 bytes per token while it works. Chinese and Japanese have no spaces and may be cut at their marks.
MAX_WORD = 128
_WORD = re.compile(
    rf"[ \n\t]{{0,{MAX_WORD}}}[^ \n\t。，、！？]{{0,{MAX_WORD - 1}}}[^ \n\t]|[ \n\t]{{1,{MAX_WORD}}}", re.ASCII
)
# After this many characters, where a word ends: the words of a whole text, each an object, take 50 times its size.
STRETCH_CHARS = 64 * 1024
_WORD_END = re.compile(r"(?<=[^ \n\t])(?=[ \n\t])")
_ODD = re.compile(r"[^\n\t -~]")
# 12 MB of a CPU worker's 150; Django's documentation has 79 000.
MAX_KNOWN = 100_000
BATCH_TEXTS = 512

# What keeps words apart from one another, on ASCII: these change characters one by one, or white space only.
_SPLIT_AT_SPACE = {"BertPreTokenizer", "WhitespaceSplit", "Whitespace", "Metaspace"}
_LOCAL = {"BertNormalizer", "Precompiled", "Nmt", "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Strip"}
_GAPS = (" ", "  ", "\n", "\t", "\n\n    ", "\t\n ")

_hub_failures: dict[str, tuple[float, str]] = {}


@lru_cache(maxsize=4)
def load_tokenizer(path: str) -> Tokenizer:
    """The tokenizer of the model in a folder, or of a model on the hub; it neither truncates nor pads."""
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
    """The file in the hub's cache, or downloaded to it."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache

    if name.startswith(("/", ".", "~")):
        raise ModelError(f"The model folder {name} does not exist. Set EMBED_MODEL to a folder or a hub name.")
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
def counter(tokenizer: Tokenizer) -> Counter:
    """The tokenizer's counter, with the words that it already knows."""
    return Counter(tokenizer)


@dataclass(frozen=True, eq=False)
class Counter:
    tokenizer: Tokenizer
    known: dict[str, int] = field(default_factory=dict)

    def count(self, texts: list[str], *, special: bool = False) -> list[int]:
        """What the model counts of each."""
        counts: list[int] = []
        for start in range(0, len(texts), BATCH_TEXTS):
            batch = list(map(_readable, texts[start : start + BATCH_TEXTS]))
            counts.extend(map(len, self.tokenizer.encode_batch_fast(batch, add_special_tokens=special)))
        return counts

    def clip(self, text: str, tokens: int) -> str:
        """The text's beginning, of no more tokens."""
        offsets = self.tokenizer.encode(_readable(text), add_special_tokens=False).offsets
        return text[: offsets[tokens - 1][1]] if len(offsets) > tokens else text

    def count_words(self, words: list[str]) -> list[int]:
        """What each counts alone."""
        if len(self.known) > MAX_KNOWN:
            self.known.clear()
        counts = list(map(self.known.get, words))
        if None in counts:
            new = [word for word in set(words) if word not in self.known]
            self.known.update(zip(new, self.count(new), strict=True))
            counts = list(map(self.known.get, words))
        return cast(list[int], counts)

    def estimate(self, text: str) -> int:
        """What its words count together."""
        return sum(self.count_words(_WORD.findall(text)))

    def exact(self, text: str) -> bool:
        """Whether that is what the text counts. The tokenizer's own marks may swallow the white space beside them."""
        return self._splits_at_space and not _ODD.search(text) and not any(mark in text for mark in self._marks)

    @cached_property
    def _marks(self) -> list[str]:
        return [token.content for token in self.tokenizer.get_added_tokens_decoder().values()]

    @cached_property
    def _splits_at_space(self) -> bool:
        splitters, normalisers = _steps(self.tokenizer.pre_tokenizer), _steps(self.tokenizer.normalizer)
        if not splitters or not _splits(splitters[0]) or not all(map(_is_local, normalisers)):
            return False
        *joined, one, other = self.count([*(f"tea{gap}cup" for gap in _GAPS), "tea", "cup"])
        return set(joined) == {one + other}


def _readable(text: str) -> str:
    """Without lone surrogates, which no tokenizer takes: each becomes a question mark."""
    return text.encode("utf-8", "replace").decode()


def _steps(component: Any) -> list[dict[str, Any]]:
    """The settings of a part of a tokenizer, one by one."""
    if component is None:
        return []
    settings = json.loads(component.__getstate__())
    return list(settings.get("pretokenizers") or settings.get("normalizers") or [settings])


def _splits(step: dict[str, Any]) -> bool:
    return step["type"] in _SPLIT_AT_SPACE and step.get("split", True) and step.get("prepend_scheme") != "never"


def _is_local(step: dict[str, Any]) -> bool:
    """As it is, or a replacement of runs of spaces."""
    return step["type"] in _LOCAL or (step["type"] == "Replace" and step["pattern"].get("Regex") == " {2,}")


class Costs:
    """What the stretches of one text cost. A word belongs to the stretch in which it ends."""

    def __init__(self, counter: Counter, text: str) -> None:
        self._sliced = array("L")  # the ends of words that may not be whole
        self._ends, self._totals = array("L"), array("L", [0])
        for start, end in _stretches(text):
            words = _WORD.findall(text, start, end)
            lengths = list(map(len, words))
            ends = array("L", islice(accumulate(lengths, initial=start), 1, None))
            if max(lengths, default=0) >= MAX_WORD:
                self._sliced.extend(at for at, length in zip(ends, lengths, strict=True) if length >= MAX_WORD)
            self._ends.extend(ends)
            self._totals.extend(islice(accumulate(counter.count_words(words), initial=self._totals[-1]), 1, None))

    def between(self, start: int, end: int) -> int:
        return self._totals[bisect_right(self._ends, end)] - self._totals[bisect_right(self._ends, start)]

    def is_sliced(self, start: int, end: int) -> bool:
        """Whether some word of a stretch between words may not be whole. One of white space may end behind it."""
        at = bisect_right(self._sliced, start)
        return at < len(self._sliced) and self._sliced[at] - MAX_WORD < end

    def up_to(self, offsets: list[int]) -> array[int]:
        """What the text costs up to each offset: all at once, since there may be one for every line."""
        words = np.searchsorted(_view(self._ends), np.array(offsets, dtype=self._ends.typecode), side="right")
        return array("L", _view(self._totals)[words].tobytes())

    def reach(self, start: int, budget: int) -> int:
        """How far one comes from there: to the end of a word, or into a word that costs more than all."""
        word = bisect_right(self._ends, start)
        last = bisect_right(self._totals, self._totals[word] + budget) - 1
        if last > word or word == len(self._ends):
            return self._ends[last - 1]
        length = self._ends[word] - (self._ends[word - 1] if word else 0)
        return start + max(1, length * budget // (self._totals[word + 1] - self._totals[word]))


def _stretches(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    while start < len(text):
        found = _WORD_END.search(text, start + STRETCH_CHARS)
        end = found.start() if found else len(text)
        yield start, end
        start = end


def _view(numbers: array[int]) -> npt.NDArray[np.unsignedinteger]:
    return np.frombuffer(numbers, dtype=numbers.typecode)
