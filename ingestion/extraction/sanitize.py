"""Text → the same text with one kind of line end, without control characters, lone surrogates and invisible marks.

Marks inside words tell a browser where it may break a line; a word with them is another one to a tokenizer.
"""

from __future__ import annotations

import re

_NEWLINE = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufeff\ufffe\uffff]")
# Soft hyphens, spaces and joiners without width, marks of direction. The last two, which keep letters apart or
# together, belong to the spelling in Persian and Indian scripts, but not between Latin letters.
_MARKS = "\u00ad\u061c\u200b\u200e\u200f\u2060\u200c\u200d"
_LATIN = "[A-Za-z\u00c0-\u024f]"
_INVISIBLE = re.compile(rf"[{_MARKS[:-2]}]|(?<={_LATIN})[{_MARKS[-2:]}](?={_LATIN})")
# Text has hardly any control characters; of random bytes about one in eight is one.
SAMPLE_CHARS, BINARY_LEAST, BINARY_SHARE = 4096, 8, 0.05


def clean(text: str) -> str:
    """Return the text with line ends as line feeds and without control characters, surrogates and invisible marks."""
    text = _CONTROL.sub("", _NEWLINE.sub("\n", text))
    return _INVISIBLE.sub("", text) if any(mark in text for mark in _MARKS) else text


def looks_binary(text: str) -> bool:
    """Return whether the start of the text has more control characters than a text may have."""
    sample = text[:SAMPLE_CHARS]
    return len(_CONTROL.findall(sample)) > BINARY_LEAST + BINARY_SHARE * len(sample)
