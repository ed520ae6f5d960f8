"""The extensions of Python-Markdown and PyMdown: ``///`` blocks, keys, marked and edited text, attributes.

``/// note | Title`` … ``///``, ``++ctrl+c++``, ``{++added++}``, ``{--removed--}``, ``==marked==``, ``^^inserted^^``,
`` `#!python code` ``, ``{: .lead #id }``, ``*[HTML]: words``.
"""

from __future__ import annotations

import re
from html import escape

from ingestion.extraction.markdown.dialect import Block, BlockRule, Dialect, InlineRule

# Attributes in braces: ``.lead``, ``#id``, ``width=3``, ``external``. Anything else in braces is text: ``up{job="a"}``.
_VALUE = r"""(?:"[^"{}\n]*"|'[^'{}\n]*'|[^\s"'{},]+)"""
_ITEMS = rf"(?:(?:[.#][\w:.#-]+|[A-Za-z][\w:-]*(?:={_VALUE})?)(?:[ \t]+|(?=\}})))+\}}"
_OF_BLOCK = rf"\{{:?[ \t]*(?=[.#]){_ITEMS}"
_OF_ELEMENT = rf"\{{(?::[ \t]*|[ \t]*(?=[.#]|[A-Za-z][\w-]*=)){_ITEMS}"
_OF_KRAMDOWN = r"\{::(?:comment|nomarkdown|options)\b[^{}\n]*\}|\{:/(?:comment|nomarkdown|options)?\}"
_OPTION = re.compile(r"[\w-]{1,30}:(?:[ \t]|$)")


def _read_block(block: Block, match: re.Match[str]) -> int:
    """Add the name of a block, and return the line after its first line and the options indented directly below."""
    kind, title = match.groups()
    after = block.line + 1
    while after < block.end and block.state.sCount[after] >= block.indent + 4 and _OPTION.match(block.text_at(after)):
        after += 1
    block.title("container" if kind == "html" else kind, title or "")
    return after


def _read_attributes(block: Block, _: re.Match[str]) -> int:
    """Return the number of the next line, and add nothing: attributes show no words."""
    return block.line + 1


def _read_abbreviation(block: Block, match: re.Match[str]) -> int:
    """Add an abbreviation and what it stands for as a paragraph; return the number of the next line."""
    block.paragraph(f"{match.group(1)}: {match.group(2)}")
    return block.line + 1


DIALECT = Dialect(
    blocks=(
        BlockRule("/", re.compile(r"/{3,}[ \t]+([\w-]{1,40})[ \t]*(?:\|[ \t]*(.*))?$"), _read_block),
        BlockRule("/", re.compile(r"/{3,}$"), lambda block, _: block.line + 1),
        BlockRule(
            "{",
            re.compile(rf"(?:{_OF_BLOCK}|\{{(?::[ \t]*|(?=(?:style|width)=)){_ITEMS}|{_OF_KRAMDOWN})$"),
            _read_attributes,
        ),
        BlockRule("*", re.compile(r"\*\[([^\[\]]+)\]:[ \t]*(.+)$"), _read_abbreviation),
    ),
    marks=(
        InlineRule(
            "+",
            re.compile(r"(?<![\w+])\+\+([\w\"'-]{1,20}(?:\+[\w\"'-]{1,20}){0,4})\+\+(?![\w+])"),
            lambda match, _: escape(match.group(1).replace('"', "")),
        ),
        InlineRule("{", re.compile(r"\{(?:\+\+|--|==|~~|>>)(?=[^{}]{1,2000}\})"), lambda *_: " "),
        InlineRule("+-=~<", re.compile(r"(?:\+\+|--|==|~~|<<)\}"), lambda *_: " "),
        InlineRule("~", re.compile(r"~>(?=[^{}~]{0,2000}~~\})"), lambda *_: " "),
        InlineRule(
            "=^",
            re.compile(r"(?<![\w=^`])(?:==|\^\^)(?=[^\s=^][^=^\n]{0,300}(?<!\s)(?:==|\^\^)(?![\w=]))"),
            lambda *_: "",
        ),
        InlineRule("=^", re.compile(r"(?<=[^\s=^])(?:==|\^\^)(?![\w=^\"'(])"), lambda *_: ""),
        InlineRule(
            "{",
            re.compile(
                rf"(?<=[]*_`)>$]){_OF_ELEMENT}|(?<=:)(?:{_OF_BLOCK}|\{{[ \t]*(?=title=){_ITEMS})"
                rf"|{_OF_BLOCK}[ \t]*$|{_OF_KRAMDOWN}"
            ),
            lambda *_: "",
        ),
        InlineRule(
            "`",
            re.compile(r"`#![\w+-]{1,20} ([^`]+)`(?!`)"),
            lambda match, _: f"<code>{escape(match.group(1), quote=False)}</code>",
        ),
    ),
)
