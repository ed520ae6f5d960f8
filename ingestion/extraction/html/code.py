"""A block of code in a page → a fence with its language, without line numbers and copy buttons."""

from __future__ import annotations

import re

from ingestion.extraction.dropped import DroppedWords
from ingestion.extraction.html.parser import BLOCKS, Node

# Elements that highlighters add to the code.
BESIDE = frozenset({
    "linenos", "linenodiv", "lineno", "gutter", "line-numbers-rows", "line-numbers", "hljs-ln-numbers", "lnt", "ln",
    "blob-num", "copybtn", "copy-code-button", "copy-button", "code-copy", "clipboard", "lang-label", "toolbar-item",
    "react-syntax-highlighter-line-number", "code-block-header", "sr-only", "visually-hidden", "rouge-gutter",
    "gp-copy",
})  # fmt: skip
# Elements without ``pre`` whose lines are code: of Doxygen, SyntaxHighlighter, Crayon and editors in the page.
BOXES = frozenset({"fragment", "syntaxhighlighter", "crayon-main", "CodeMirror-code", "view-lines", "ace_text-layer"})
# One line of code each, in highlighters that write no line ends.
LINES = frozenset({"line", "token-line", "code-line", "view-line", "ec-line", "cl"})

_LANGUAGE = re.compile(
    r"(?:highlight-source|highlight-text|highlight|language|lang|brush:?|sourceCode|src|hljs)[-_ ]"
    r"([A-Za-z0-9+#_.-]{1,20})(?:[,;{].*)?$"
)
_ATTRIBUTES = ("data-lang", "data-language", "lang")
_NO_LANGUAGE = frozenset({"default", "none", "text", "plaintext", "plain", "notranslate", "nohighlight", "txt"})
_OF_HIGHLIGHTERS = frozenset(
    {"hljs", "prettyprint", "sourceCode", "brush:", "highlight", "code", "prism-code", "rust-example-rendered"}
)
_SPELLED = frozenset({
    "bash", "c", "cpp", "csharp", "css", "diff", "go", "html", "http", "ini", "java", "javascript", "js", "json",
    "kotlin", "php", "python", "ruby", "rust", "scala", "shell", "sql", "swift", "toml", "typescript", "xml", "yaml",
})  # fmt: skip
_LINE_END_DUE = ""  # a mark among the pieces of code, which are never empty: the next piece begins a new line
_TICKS = re.compile(r"`{3,}")
_SPACES_BEFORE_NEWLINE = re.compile(r"(?<=\S)[ \t]+\n")


def fence(pre: Node, dropped: DroppedWords) -> str:
    """Return the code of a ``pre`` element as a fence; empty if there is none."""
    lines: list[str] = []
    _collect(pre, lines, dropped)
    code = _SPACES_BEFORE_NEWLINE.sub("\n", "".join(lines).replace("\xa0", " ").strip("\n")).rstrip()
    if not code:
        return ""
    marks = "`" * max(3, 1 + max(map(len, _TICKS.findall(code)), default=2))
    return f"{marks}{language_of(pre)}\n{code}\n{marks}"


def _collect(node: Node, out: list[str], dropped: DroppedWords) -> None:
    """Add the pieces of code in an element to ``out``; an element for a line, or a block, begins and ends a line."""
    for child in node.children:
        if isinstance(child, str) or child.tag in ("br", "img"):
            text = child if isinstance(child, str) else "\n" if child.tag == "br" else child.get("alt")
            is_break_due = bool(out) and out[-1] == _LINE_END_DUE and not text.startswith("\n")
            out += ["\n", text] if is_break_due else [text]
            continue
        if child.tag == "button" or child.classes & BESIDE:
            dropped.add("line numbers and buttons of code", child.text())
            continue
        is_line = not child.classes.isdisjoint(LINES)
        if not is_line and (child.tag not in BLOCKS or child.tag in ("td", "th")):
            _collect(child, out, dropped)
            continue
        if out and (out[-1] == _LINE_END_DUE or not (is_line or out[-1].endswith("\n"))):
            out.append("\n")
        before = len(out)
        _collect(child, out, dropped)
        is_empty = len(out) == before
        if (is_line and is_empty) or (not is_empty and not out[-1].endswith("\n")):
            out.append(_LINE_END_DUE)


def language_of(pre: Node) -> str:
    """Return the language that the block, its ``code`` element or one of three elements around it names, or nothing."""
    inner = next((child for child in pre.elements() if child.tag == "code"), None)
    boxes = (node for node in pre.above() if node.tag not in ("td", "tr", "tbody", "table"))
    around = [node for _, node in zip(range(3), boxes, strict=False)]
    for node in [pre, *([inner] if inner else []), *around]:
        if node.attributes and (name := _named(node, own=node is pre or node is inner)):
            return "" if name in _NO_LANGUAGE else name
    return ""


def _named(node: Node, *, own: bool) -> str:
    """Return the language that an element names; ``own``: it is the block itself or its ``code`` element."""
    for attribute in _ATTRIBUTES[: None if own else 2]:
        if (name := node.get(attribute).strip().lower()) and _LANGUAGE.match(f"lang-{name}"):
            return name
    classes = node.get("class").split()
    for index, name in enumerate(classes):
        if name in ("brush:", "brush") and index + 1 < len(classes):
            return classes[index + 1].strip(";").lower()
        if match := _LANGUAGE.match(name):
            return match.group(1)
    if own and node.classes & _OF_HIGHLIGHTERS:
        return next((name for name in classes if name in _SPELLED), "")
    return ""
