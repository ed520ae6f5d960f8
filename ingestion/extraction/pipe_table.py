"""Rows of cells → a pipe table of Markdown."""

from __future__ import annotations

from collections.abc import Sequence


def pipe_table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as a table, the first as its head: Markdown has no other tables. A short row stays short."""
    head, *body = [
        f"| {' | '.join(' '.join(cell.split()).replace('|', chr(92) + '|') for cell in row)} |" for row in rows
    ]
    return "\n".join([head, "|" + " --- |" * len(rows[0]), *body])
