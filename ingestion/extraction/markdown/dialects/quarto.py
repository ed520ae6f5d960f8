"""Quarto and R Markdown: chunks of code with options, fenced divisions, callouts, references.

``` ```{r, echo=FALSE}```, ``#| label: fig``, ``::: {.callout-note title="x"}``, ``::: {.panel-tabset}``, ``@fig-plot``.
Its shortcodes are Hugo's.
"""

from __future__ import annotations

import re
from html import escape

from ingestion.extraction.admonitions import KNOWN
from ingestion.extraction.markdown.components import properties
from ingestion.extraction.markdown.dialect import Block, BlockRule, Dialect, InlineRule

_OPTIONS = re.compile(r"\A(?:[ \t]*(?:#|//|--|%%?)\|[^\n]*(?:\n|\Z))+")
_SHOWN_OPTION = re.compile(
    r"^[ \t]*(?:#|//|--|%%?)\|[ \t]*(?:fig-cap|tbl-cap|fig-alt|title):[ \t]*[\"']?([^\n\"']+)", re.MULTILINE
)
_CHUNK = re.compile(r"[ \t]*\{[A-Za-z]")


def _read_division(block: Block, match: re.Match[str]) -> int:
    """Add the name of the division that a line begins, for a callout its kind and title; return the next line."""
    given = match.group(1)
    title = dict(properties(given)).get("title", "") or dict(properties(given)).get("name", "")
    callout = re.search(r"\.callout-(\w+)", given)
    kind = callout.group(1).lower() if callout else "container"
    block.title(kind if kind in KNOWN else "container", title)
    return block.line + 1


def _read_caption(block: Block, match: re.Match[str]) -> int:
    """Add the caption of the table above, and return the next line; return 0 if no table stands there."""
    if not block.state.tokens or block.state.tokens[-1].type != "table_close":
        return 0
    block.title("container", match.group(1))
    return block.line + 1


def _without_options(info: str, code: str) -> str:
    """Return the code of a chunk without the lines of options above it; captions stay, as comments."""
    if not _CHUNK.match(info) or not (options := _OPTIONS.match(code)):
        return code
    captions = "".join(f"# {caption.strip()}\n" for caption in _SHOWN_OPTION.findall(options.group()))
    return captions + code[options.end() :]


DIALECT = Dialect(
    blocks=(
        BlockRule(":", re.compile(r":{3,}[ \t]*\{([^{}]*)\}[ \t]*:*$"), _read_division),
        BlockRule(":", re.compile(r":[ \t]+(\S[^\n]*?)[ \t]*(?:\{[^{}]*\})?$"), _read_caption),
    ),
    marks=(
        InlineRule(
            "[",
            re.compile(r"\[([^\[\]\n]+)\]\{[ \t]*[.#][^{}\n]*\}"),
            lambda match, _: escape(match.group(1), quote=False),
        ),
    ),
    code=(_without_options,),
)
