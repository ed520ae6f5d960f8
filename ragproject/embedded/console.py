"""What the embedded stack writes: whole lines on standard output, each behind the name of its process.

Colour only where the caller asks for it. A closed terminal or pipe must not stop the stack, so
lines that cannot be written are dropped.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

NAME_WIDTH = 6
COLOURS = {"redis": 31, "milvus": 35, "cpu": 32, "gpu": 33, "index": 37, "beat": 36, "web": 34}
END_OF_LINE = re.compile(rb"[\r\n]+")  # progress bars end their lines with a carriage return
# A line longer than this is cut, so that output without line ends cannot fill the memory.
MAX_LINE_BYTES = 64 * 1024
# What is kept of a process' last line, which the status shows when the process keeps ending.
LAST_CHARS = 300


class Console:
    """Standard output, shared by the processes."""

    def __init__(self, *, colour: bool) -> None:
        self.colour = colour

    def line(self, name: str, text: str) -> None:
        """Write a line behind the name of a process."""
        self.plain(f"{self.label(name)} {text}")

    def plain(self, text: str) -> None:
        """Write a line as it is; drop it where the terminal or pipe is closed."""
        with suppress(OSError, ValueError):
            sys.stdout.write(f"{text}\n")
            sys.stdout.flush()

    def label(self, name: str) -> str:
        """Return the process's name as a column, coloured if the console is."""
        label = f"{name:<{NAME_WIDTH}} |"
        return f"\033[{COLOURS.get(name, 1)}m{label}\033[0m" if self.colour else label


class Prefixed:
    """One output stream of one process, as a callable that circus gives each piece of output."""

    def __init__(self, name: str, console: Console) -> None:
        self.name = name
        self.console = console
        self.rest = b""
        self.last = ""

    def __call__(self, data: Mapping[str, Any]) -> None:
        """Write the complete lines of a piece of output and keep the rest."""
        *lines, self.rest = END_OF_LINE.split(self.rest + data["data"])
        for line in lines:
            self.write(line)
        if len(self.rest) > MAX_LINE_BYTES:
            self.close()

    def close(self) -> None:
        """Write what has no line end yet."""
        self.write(self.rest)
        self.rest = b""

    def write(self, line: bytes) -> None:
        """Write a line behind the name of the process, unless it is blank."""
        if line.strip():
            self.last = line.decode(errors="replace").strip()[:LAST_CHARS]
            self.console.line(self.name, line.decode(errors="replace"))
