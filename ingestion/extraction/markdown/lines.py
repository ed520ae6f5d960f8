"""Runs of lines, indentation and section titles of reStructuredText."""

from __future__ import annotations

import re
from collections.abc import Callable

_TICKS = re.compile(r"`{3,}")
_ADORNMENT = re.compile(r"([!-/:-@\[-`{-~])\1{2,}[ \t]*$")
_TARGET = re.compile(r"\.\.[ \t]+_([^:\n`]+|`[^`\n]+`):$")


def indent_of(line: str) -> int:
    return len(line) - len(line.lstrip())


def dedent(lines: list[str]) -> list[str]:
    """Return the lines without their common indentation and without blank lines around."""
    width = min((indent_of(line) for line in lines if line), default=0)
    lines = [line[width:] for line in lines]
    first = next((i for i, line in enumerate(lines) if line), len(lines))
    last = next((i for i in range(len(lines), 0, -1) if lines[i - 1]), 0)
    return lines[first:last]


def dedent_by(width: int, lines: list[str]) -> list[str]:
    """Return the lines without ``width`` columns of indentation, or as many as all have."""
    width = min([width, *(indent_of(line) for line in lines if line)])
    return [line[width:] for line in lines]


def end_of_indented(lines: list[str], start: int, width: int = 1) -> int:
    """Return the end of a run of blank lines and lines indented by ``width``, trailing blank lines left out."""
    end = position = start
    while position < len(lines) and (not lines[position] or indent_of(lines[position]) >= width):
        position += 1
        end = position if lines[position - 1] else end
    return end


def end_of_paragraph(lines: list[str], start: int) -> int:
    return next((i for i in range(start, len(lines)) if not lines[i]), len(lines))


def end_of_run(lines: list[str], start: int, belongs: Callable[[str], object]) -> int:
    """Return the first line from ``start`` on for which ``belongs`` is false."""
    return next((i for i in range(start, len(lines)) if not belongs(lines[i])), len(lines))


def fence(lines: list[str], language: str = "") -> str:
    code = "\n".join(dedent(lines))
    marks = "`" * max(3, 1 + max(map(len, _TICKS.findall(code)), default=2))
    return f"{marks}{language}\n{code}\n{marks}"


def is_adornment(line: str) -> bool:
    return bool(_ADORNMENT.match(line))


def title_at(lines: list[str], at: int) -> tuple[str, str, int]:
    """Return (words, style, number of lines) of the section title at this line; the number is 0 if none is there."""
    here = lines[at : at + 3]
    if len(here) == 3 and is_adornment(here[0]) and here[0] == here[2] and here[1]:
        return here[1].strip(), "over" + here[0][0], 3
    if len(here) < 2 or not here[0] or here[0][0] == " " or is_adornment(here[0]) or not is_adornment(here[1]):
        return "", "", 0
    if len(here[1]) < min(4, len(here[0])):
        return "", "", 0
    return here[0], here[1][0], 2


def labels(lines: list[str]) -> dict[int, list[str]]:
    """Return the targets (``.. _label:``) before each title, by the number of the title's first line."""
    found: dict[int, list[str]] = {}
    waiting: list[str] = []
    for at, line in enumerate(lines):
        if target := _TARGET.match(line):
            waiting.append(target.group(1).strip("`"))
        elif line and waiting:
            if title_at(lines, at)[2]:
                found[at] = waiting
            waiting = []
    return found
