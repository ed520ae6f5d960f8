"""AsciiDoc as people write it → AsciiDoc that pandoc reads without losing or refusing anything.

A file that a page includes cannot be read here: a line names it. Of text under a condition everything is kept, since
the attributes that decide are set elsewhere; the conditions themselves go, and so do comments.
"""

from __future__ import annotations

import re
from contextlib import suppress

_VERBATIM = re.compile(r"(-{4,}|\.{4,}|\+{4,}|`{3,})(?=$|(?<=```)\w)")
_COMMENT_BLOCK = re.compile(r"/{4,}$")
_COMMENT = re.compile(r"//(?!/)")
_INCLUDE = re.compile(r"include::([^\[\]]+)\[[^\]]*\]$")
_CONDITION = re.compile(r"(?:ifn?def::[^\[\]]*|ifeval::|endif::[^\[\]]*)\[(.*)\]$")


def prepared(text: str) -> str:
    """Return the text without comments and conditions, with includes as lines that name a file."""
    lines = [line.rstrip() for line in text.split("\n")]
    kept: list[str] = []
    closing = ""
    at = 0
    while at < len(lines):
        line = lines[at]
        at += 1
        if included := _INCLUDE.match(line):
            kept += [f"Included: {included.group(1)}"] if closing else ["", f"Included: {included.group(1)}", ""]
        elif closing:
            kept.append(line)
            closing = "" if line == closing else closing
        elif _COMMENT_BLOCK.match(line):
            # Each length is looked for to the end of the text once at most: the next line of it would close the first.
            with suppress(ValueError):
                at = lines.index(line, at) + 1
        elif condition := _CONDITION.match(line):
            inline = condition.group(1) if line.startswith(("ifdef", "ifndef")) else ""
            kept += [inline] if inline else []
        elif not _COMMENT.match(line):
            kept.append(line)
            opening = _VERBATIM.match(line)
            closing = opening.group(1) if opening else ""
    return "\n".join(kept) + "\n"
