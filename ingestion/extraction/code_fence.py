"""Code → a fence of Markdown that nothing in the code can close."""

from __future__ import annotations

import re

_TICKS = re.compile(r"`{3,}")


def fence(code: str, language: str = "") -> str:
    """Return code as a fence; its marks are longer than any in the code."""
    marks = "`" * max(3, 1 + max(map(len, _TICKS.findall(code)), default=2))
    return f"{marks}{language}\n{code}\n{marks}"
