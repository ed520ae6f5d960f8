"""Tags of templates in Markdown: ``{% … %}`` of Liquid, Jinja and GitBook, ``{{< … >}}`` and ``{{% … %}}`` of Hugo.

In: text with such tags. Out: their name and what is given to them, or the text without them.
Does not know what a tag shows; the dialects do.
"""

from __future__ import annotations

import re
from typing import NamedTuple

# Stands after a brace that begins no tag; no page has it, and the reader removes it.
LITERAL = "\ue000"
# Each stops at what may begin the next one.
HUGO = re.compile(r"""\{\{[<%](?P<inside>(?:"[^"]*"|`[^`]*`|[^"`{}])*?)[>%]\}\}""")
LIQUID = re.compile(r"\{%-?(?P<inside>(?:[^%{]|%(?!\})|\{(?!%))*?)-?%\}")
_GIVEN = re.compile(
    r"""(?:([\w:.-]+)[ ]*=[ ]*)?(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|`([^`]*)`|([^\s"'`=]+))""", re.DOTALL
)
_CODE = re.compile(r"(`+[^`]+`+)")
_ADDRESS = re.compile(r"\]\(([^()\n{]*\{[{%<][^()\n]*(?:\([^()\n]*\)[^()\n]*)?)\)")
_VARIABLE = re.compile(r"\{\{[^{}\n]*\}\}")


class Template(NamedTuple):
    """A tag: its name, its properties in order, its words without a name, quoted or bare."""

    name: str
    is_end: bool
    given: list[tuple[str, str]]
    quoted: list[str]
    bare: list[str]


def parse(inside: str) -> Template:
    """Return the parts of a tag from what stands between its marks."""
    name, _, rest = " ".join(inside.strip(" -/\n\t").split()).partition(" ")
    is_end = inside.lstrip(" -\n\t").startswith("/")
    if name.startswith("end") and len(name) > len("end"):
        name, is_end = name[len("end") :], True
    given, quoted, bare = [], [], []
    for match in _GIVEN.finditer(rest):
        key, *words, word = match.groups()
        value = next((words for words in words if words is not None), word)
        if key:
            given.append((key, value))
        elif word:
            bare.append(word)
        elif value:
            quoted.append(value)
    return Template(name, is_end, given, quoted, bare)


def without_templates_in_addresses(text: str) -> str:
    """Return a paragraph whose links have addresses without tags and variables; code stays as it is."""
    if "{" not in text or "](" not in text:
        return text
    parts = _CODE.split(text)
    parts[::2] = [_ADDRESS.sub(lambda match: f"]({plain_address(match.group(1))})", part) for part in parts[::2]]
    return "".join(parts)


def plain_address(address: str) -> str:
    """Return an address without tags and variables, and without a title beside it."""
    return next(iter(_VARIABLE.sub("", without_templates(address)).split()), "")


def without_templates(text: str) -> str:
    """Return a text without tags of templates."""
    return LIQUID.sub("", HUGO.sub("", text)) if "{%" in text or "{{" in text else text
