"""GitHub and wikis: alerts in quotations, footnotes, links in double brackets.

``> [!NOTE]``, ``[^1]``, ``[^1]: words``, ``^[words]``, ``[[Page|words]]``. Task lists stay as they are written.
"""

from __future__ import annotations

import re
from html import escape

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from mdit_py_plugins.footnote.index import footnote_def

from ingestion.extraction.admonitions import label
from ingestion.extraction.markdown.dialect import Dialect, InlineRule, Page, titled

_ALERT = re.compile(r"\\?\[!([A-Za-z]{1,20})(?:[ \t]+[^\[\]\n]*)?\][+-]?[ \t]*([^\n]*)(?:\n|$)")
# Marks of DocFX that name nothing.
_NAMELESS = {"div", "selector", "tabs", "video"}


def _name_alerts(state: StateCore) -> None:
    """Turn quotations that begin with an alert (``[!NOTE]``) into notes: give them the class and the name of one."""
    tokens: list[Token] = []
    for index, token in enumerate(state.tokens):
        tokens.append(token)
        words = state.tokens[index + 2] if token.type == "blockquote_open" and index + 2 < len(state.tokens) else None
        alert = _ALERT.match(words.content) if words else None
        if words and alert:
            kind, title = alert.groups()
            words.content = words.content[alert.end() :]
            token.attrSet("class", "admonition")
            tokens += titled(title if kind.lower() in _NAMELESS else label(kind, title)[2:-2])
    state.tokens = tokens


def _read_footnote(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Add the definition of a footnote where it stands, its label before its words; return whether one begins here."""
    first = len(state.tokens)
    if not footnote_def(state, start, end, silent):
        return False
    if not silent:
        opening = state.tokens[first]
        words = next((token for token in state.tokens[first:] if token.type == "inline"), None)
        if words is not None:
            words.content = f"\\[{opening.meta['label']}]: {words.content}"
        del state.tokens[-1], state.tokens[first]
    return True


def _add_rules(parser: MarkdownIt) -> None:
    """Add to ``parser`` the rules that read footnotes and that turn quotations with an alert into notes."""
    parser.block.ruler.before("reference", "footnote", _read_footnote, {"alt": ["paragraph", "reference"]})
    parser.core.ruler.after("block", "alerts", _name_alerts)


def _wiki_link(match: re.Match[str], page: Page) -> str:
    """Return the words of a link in double brackets as HTML: what stands after the bar, or all if there is no bar."""
    return escape(match.group(2) or match.group(1), quote=False)


DIALECT = Dialect(
    marks=(
        InlineRule("[", re.compile(r"\[\^([^\s\[\]]{1,80})\](?!:)"), lambda match, _: f"[{escape(match.group(1))}]"),
        InlineRule("^", re.compile(r"\^\[([^\[\]]{1,1000})\]"), lambda match, _: f" ({escape(match.group(1))})"),
        InlineRule("[!", re.compile(r"!?\[\[([^\[\]|\n]{1,300})(?:\|([^\[\]|\n]{1,300}))?\]\](?!\()"), _wiki_link),
    ),
    plugins=(_add_rules,),
)
