"""Which characters may stand in a text: one kind of line end, no controls, no halves of pairs."""

from __future__ import annotations

import re

_NEWLINE = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufeff\ufffe\uffff]")
# Text has hardly any control characters; of random bytes about one in eight is one.
SAMPLE_CHARS, BINARY_LEAST, BINARY_SHARE = 4096, 8, 0.05


def clean(text: str) -> str:
    """Line ends become ``\\n``; control characters, lone surrogates and marks inside the text go."""
    return _CONTROL.sub("", _NEWLINE.sub("\n", text))


def looks_binary(text: str) -> bool:
    sample = text[:SAMPLE_CHARS]
    return len(_CONTROL.findall(sample)) > BINARY_LEAST + BINARY_SHARE * len(sample)
