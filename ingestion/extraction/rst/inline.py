"""Inline markup of reStructuredText → Markdown: roles, literals, links and substitutions of one paragraph."""

from __future__ import annotations

import re
from collections.abc import Callable

# The words of these roles are prose; those of any other role name code.
PROSE_ROLES = {
    "abbr", "cite", "citation", "commit", "cve", "bpo", "dfn", "doc", "download", "emphasis", "guilabel", "index",
    "kbd", "menuselection", "numref", "pep", "pypi", "ref", "rfc", "strong", "sub", "subscript", "sup", "superscript",
    "term", "ticket", "title",
}  # fmt: skip
NUMBERED = {"ticket": "#", "pep": "PEP ", "rfc": "RFC ", "cve": "CVE-", "bpo": "bpo-", "gh": "GH-"}
CALLABLE = {"func", "meth"}

# Possessive repetition keeps the literals linear; the other parts stop at the character that begins them.
_INLINE = re.compile(
    r"``(?P<literal>[^`]++(?:`[^`]++)*`?)``"
    r"|(?<![\w:]):(?P<role>[A-Za-z][\w.+:-]{0,40}):`(?P<words>[^`]+)`"
    r"|(?P<internal>(?<![\w`])_(?=`[^`\s]))?`(?P<link>[^`]+)`(?P<reference>__?)?"
    r"|\|(?P<substitution>[^|\s][^|\n]{0,60})\|_?"
    r"|(?<![\w`./-])(?P<name>[A-Za-z][\w.-]{0,60})_(?![\w`])"
    r"|\[(?P<footnote>[#*]?[\w.-]{0,60})\]_(?!\w)"
    r"|\\(?P<escaped>[\s\w])"
    r"|^(?P<hashes>#{1,6}[ ])",
    re.MULTILINE,
)
_TARGET = re.compile(r"^[ \t]*\.\.[ \t]+_(?:`([^`\n]+)`|([^:`\n]+)):[ \t]+(\S+)[ \t]*$", re.MULTILINE)
_TARGET_BELOW = re.compile(r"^[ \t]*\.\.[ \t]+_(?:`([^`\n]+)`|([^:`\n]+)):\n[ \t]+(https?://\S+)[ \t]*$", re.MULTILINE)
_ANONYMOUS = re.compile(r"^[ \t]*(?:\.\.[ \t]+__:|__)[ \t]+(\S+)[ \t]*$", re.MULTILINE)
_EMBEDDED = re.compile(r"`[^`<]*<(https?://[^`<>\s]+)>`_")
_REPLACE = re.compile(r"^[ \t]*\.\.[ \t]+\|([^|\n]+)\|[ \t]+replace::[ \t]*([^\n]*)$", re.MULTILINE)
_PICTURE = re.compile(
    r"^[ \t]*\.\.[ \t]+\|([^|\n]+)\|[ \t]+image::[^\n]*\n(?:[ \t]+:(?!alt:)[^\n]*\n){0,8}[ \t]+:alt:[ \t]*([^\n]*)",
    re.MULTILINE,
)
# Known to the build alone, not to the page.
BUILT = {"release": "", "version": "", "today": ""}
# Steps from a name to the name that it stands for.
MAX_ALIASES = 10


def _key(name: str) -> str:
    return " ".join(name.lower().split())


class Inline:
    """Converts paragraphs of a document with the link targets, labels and substitutions that are defined in it."""

    def __init__(self, document: str, titles: dict[str, str] | None = None) -> None:
        named = [*_TARGET.findall(document), *_TARGET_BELOW.findall(document)]
        self.targets: dict[str, str] = {_key(quoted or bare): url for quoted, bare, url in named}
        self.targets |= {url: url for url in _EMBEDDED.findall(document)}
        self.anonymous: list[str] = _ANONYMOUS.findall(document)
        self.links = [*self.targets.values(), *self.anonymous]
        self._unnamed = iter(self.anonymous)
        self.substitutions: dict[str, str] = BUILT | {_key(name): words for name, words in _PICTURE.findall(document)}
        self.substitutions |= {_key(name): words for name, words in _REPLACE.findall(document)}
        self.titles = titles or {}

    def convert(self, text: str) -> str:
        return _INLINE.sub(self._replace, text)

    def _replace(self, match: re.Match[str]) -> str:
        return _REPLACED[match.lastgroup or ""](self, match)

    def _words(self, match: re.Match[str]) -> str:
        return self._role(match["role"].lower().rpartition(":")[2], match["words"])

    def _role(self, role: str, words: str) -> str:
        shown, target = split_target(words)
        if role == "ref" and not target:
            return self.titles.get(_key(shown), shown.replace("-", " "))
        return role_text(role, words)

    def _reference(self, match: re.Match[str]) -> str:
        if match["internal"]:
            return str(match["link"])
        if not match["reference"]:
            return str(match.group())
        shown, target = split_target(match["link"])
        if match["reference"] == "__" and not target:
            return _linked(shown, next(self._unnamed, ""))
        return _linked(shown, self._address(target or shown) or target)

    def _named(self, match: re.Match[str]) -> str:
        address = self._address(match["name"])
        return _linked(match["name"], address) if address else str(match.group())

    def _address(self, name: str) -> str:
        """Return the address of a name, which may stand for another name."""
        for _ in range(MAX_ALIASES):
            found = self.targets.get(_key(name.rstrip("_")), "")
            if not found.endswith("_") or "://" in found:
                return found
            name = found.strip("`_")
        return ""

    def _substitution(self, match: re.Match[str]) -> str:
        return self.substitutions.get(_key(match["substitution"]), match.group())


def _linked(words: str, address: str) -> str:
    return f"[{words}]({address})" if address.startswith(("http://", "https://", "mailto:")) else words


def _footnote(_: Inline, match: re.Match[str]) -> str:
    return f"[{match['footnote'].strip('#') or '#'}]"


def _escaped(_: Inline, match: re.Match[str]) -> str:
    """Return an escaped mark without its backslash; an escaped space is removed."""
    return str(match["escaped"]).strip()


_REPLACED: dict[str, Callable[[Inline, re.Match[str]], str]] = {
    "literal": lambda _, match: code(match["literal"]),
    "words": Inline._words,
    "link": Inline._reference,
    "reference": Inline._reference,
    "substitution": Inline._substitution,
    "name": Inline._named,
    "footnote": _footnote,
    "escaped": _escaped,
    "hashes": lambda _, match: f"\\{match.group()}",
}


def code(words: str) -> str:
    words = " ".join(words.split())
    return f"`` {words} ``" if "`" in words else f"`{words}`"


def role_text(role: str, words: str) -> str:
    """Return the text that ``:role:`words``` shows."""
    shown, target = split_target(words)
    if role in NUMBERED and not target:
        return f"{NUMBERED[role]}{shown}"
    if role in PROSE_ROLES:
        return shown if target or role not in ("ref", "doc") else shown.strip("/").replace("-", " ")
    if target:
        return shown if " " in shown else code(shown)
    return code(shorten(shown) + ("()" if role in CALLABLE and not shown.endswith(")") else ""))


def split_target(words: str) -> tuple[str, str]:
    """Return (text, target) of ``text <target>``; without a target (text, "")."""
    words = " ".join(words.split())
    if words.endswith(">") and "<" in words:
        shown, _, target = words[:-1].rpartition("<")
        return shown.strip() or target, target
    return words, ""


def shorten(name: str) -> str:
    """Return ``C`` for ``~a.b.C``; a leading ``!`` or ``.`` is not shown."""
    name = name.lstrip("!")
    return name[1:].rpartition(".")[2] if name.startswith("~") else name.lstrip(".")
