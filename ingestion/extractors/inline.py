"""Inline markup of reStructuredText → Markdown: roles, literals, links and substitutions of one paragraph."""

from __future__ import annotations

import re

# The words of these roles are prose; those of any other role name code.
PROSE_ROLES = {
    "abbr", "dfn", "doc", "download", "emphasis", "guilabel", "menuselection", "numref", "pypi", "ref", "strong",
    "sub", "sup", "subscript", "superscript", "term", "ticket", "title", "cve", "bpo", "pep", "rfc", "commit",
}  # fmt: skip
NUMBERED = {"ticket": "#", "pep": "PEP ", "rfc": "RFC ", "cve": "CVE-", "bpo": "bpo-"}
CALLABLE = {"func", "meth"}

# Possessive repetition keeps the literals linear; the other parts stop at the character that begins them.
_INLINE = re.compile(
    r"``(?P<literal>[^`]++(?:`[^`]++)*+`?)``"
    r"|(?<![\w:]):(?P<role>[A-Za-z][\w.+:-]{0,40}):`(?P<words>[^`]+)`"
    r"|`(?P<link>[^`]+)`(?P<reference>__?)?"
    r"|\|(?P<substitution>[^|\s][^|\n]{0,60})\|_?"
    r"|(?<![\w`./-])(?P<name>[A-Za-z][\w.-]{0,60})_(?![\w`])"
    r"|\\(?P<escaped>[\s\w])"
    r"|^(?P<hashes>#{1,6}[ ])",
    re.MULTILINE,
)
_TARGET = re.compile(r"^[ \t]*\.\.[ \t]+_(?:`([^`\n]+)`|([^:`\n]+)):[ \t]+(\S+)[ \t]*$", re.MULTILINE)
_EMBEDDED = re.compile(r"`[^`<]*<(https?://[^`<>\s]+)>`_")
_REPLACE = re.compile(r"^[ \t]*\.\.[ \t]+\|([^|\n]+)\|[ \t]+replace::[ \t]*([^\n]*)$", re.MULTILINE)


def _key(name: str) -> str:
    return " ".join(name.lower().split())


class Inline:
    """Knows a document's link targets and substitutions, wherever they are defined in it."""

    def __init__(self, document: str) -> None:
        self.targets: dict[str, str] = {_key(quoted or bare): url for quoted, bare, url in _TARGET.findall(document)}
        self.targets |= {url: url for url in _EMBEDDED.findall(document)}
        self.substitutions: dict[str, str] = {_key(name): words for name, words in _REPLACE.findall(document)}

    def convert(self, text: str) -> str:
        return _INLINE.sub(self._replace, text)

    def _replace(self, match: re.Match[str]) -> str:
        kind, whole = match.lastgroup, str(match.group())
        if kind == "literal":
            return self._code(match["literal"])
        if kind == "words":
            return self._role(match["role"].lower().rpartition(":")[2], match["words"])
        if kind in ("link", "reference"):
            return self._link(match["link"]) if match["reference"] else whole
        if kind == "substitution":
            return self.substitutions.get(_key(match["substitution"]), whole)
        if kind == "name":
            url = self.targets.get(_key(match["name"]))
            return f"[{match['name']}]({url})" if url else whole
        if kind == "escaped":  # a backslash takes the meaning from a mark, and a space away altogether
            return str(match["escaped"]).strip()
        return f"\\{whole}"

    def _code(self, words: str) -> str:
        words = " ".join(words.split())
        return f"`` {words} ``" if "`" in words else f"`{words}`"

    def _role(self, role: str, words: str) -> str:
        shown, target = split_target(words)
        if role in NUMBERED and not target:
            return f"{NUMBERED[role]}{shown}"
        if role in PROSE_ROLES:
            return shown if target or role not in ("ref", "doc") else shown.strip("/").replace("-", " ")
        if target:
            return shown if " " in shown else self._code(shown)
        return self._code(shorten(shown) + ("()" if role in CALLABLE and not shown.endswith(")") else ""))

    def _link(self, words: str) -> str:
        shown, target = split_target(words)
        url = self.targets.get(_key(target.rstrip("_")), target) if target else self.targets.get(_key(shown), "")
        return f"[{shown}]({url})" if url.startswith(("http://", "https://", "mailto:")) else shown


def split_target(words: str) -> tuple[str, str]:
    """``text <target>`` → (text, target); without a target (text, "")."""
    words = " ".join(words.split())
    if words.endswith(">") and "<" in words:
        shown, _, target = words[:-1].rpartition("<")
        return shown.strip() or target, target
    return words, ""


def shorten(name: str) -> str:
    """``~a.b.C`` → ``C``; a leading ``!`` or ``.`` only steers the reference."""
    name = name.lstrip("!")
    return name[1:].rpartition(".")[2] if name.startswith("~") else name.lstrip(".")
