"""Where code is in Markdown: runs of backticks in a line of text, fences around lines.

A run of backticks is closed by the next run of the same length, as CommonMark has it; ``citations`` and ask.js read
answers by the same rule. What a language model writes may end within a fence.
"""

from __future__ import annotations

import re

RUN = re.compile(r"`+")
FENCE = re.compile(r"^[ \t>]*(`{3,}|~{3,})[ \t]*([^\n`]*)$", re.MULTILINE)


def open_run(text: str, opened: str = "") -> str:
    """Return the run of backticks that is open at the end of ``text``; ``opened`` is the one open at its beginning."""
    for run in RUN.findall(text):
        if not opened:
            opened = run
        elif run == opened:
            opened = ""
    return opened


def as_code(code: str) -> str:
    """Return ``code`` between backticks, more of them than it holds in a row; readers take one space off both ends."""
    run = "`" * (1 + max(map(len, RUN.findall(code)), default=0))
    pad = " " if "`" in (code[:1], code[-1:]) or (code[:1] == code[-1:] == " ") else ""
    return f"{run}{pad}{code}{pad}{run}"


def unpadded(code: str) -> str:
    """Return what stands between runs of backticks without the spaces that only keep backticks apart."""
    return code[1:-1] if code[:1] == code[-1:] == " " and code.strip(" ") else code


def open_fence(text: str, opened: str = "") -> str:
    """Return the fence that is open at the end of ``text``, such as ```` ``` ````; empty when there is none."""
    for fence in FENCE.finditer(text):
        if not opened:
            opened = fence[1]
        elif closes(fence, opened):
            opened = ""
    return opened


def closes(fence: re.Match[str], opened: str) -> bool:
    """Return whether a fence ends the block that ``opened`` began."""
    return fence[1].startswith(opened) and not fence[2].strip()
