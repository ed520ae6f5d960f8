"""Names of documented objects and the fragments that Sphinx gives them, as directives are read in order.

Python's rules: the id is ``module.Class.name``, where module and class come from the directives around. Of
other domains only those whose ids follow from the signature alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

CLASSES = {"class", "exception"}
PYTHON = CLASSES | {
    "attribute", "classmethod", "data", "decorator", "decoratormethod", "function", "method", "property",
    "staticmethod", "type", "autoclass", "autodata", "autodecorator", "autoexception", "autofunction", "automethod",
    "autoattribute", "autoproperty",
}  # fmt: skip
OPTIONS = {"option", "cmdoption", "django-admin-option"}
# Directive → what its ids begin with.
PREFIXED = {"envvar": "envvar-", "confval": "confval-", "django-admin": "django-admin-"}
OTHER_DOMAINS = ("c:", "cpp:", "js:", "rst:", "http:")
MODULES = {"module", "py:module", "currentmodule", "py:currentmodule", "automodule"}

SHOWN_BEFORE = {
    name: f"{name} " for name in ("class", "exception", "classmethod", "staticmethod", "property", "django-admin")
}
_ESCAPE = re.compile(r"\\(.)")
_NAME = re.compile(r"(?:[\w@]+ )?([\w.]*\.)?(\w+)")
# Sphinx gives no id to a signature that goes on otherwise (``name = 'year'``).
_WHOLE = re.compile(r"[\w.@ ]+(?:\[[^\]]*\])?[ ]*(?:\(.*\)[ ]*(?:->.*)?)?$", re.DOTALL)
_OPTION = re.compile(r"(?:--?|/|\+)?([\w@][\w.@-]*)")
_NOT_ID = re.compile(r"[^\w.]+", re.ASCII)


def signatures(name: str, lines: list[str]) -> list[str]:
    """Return the signatures of an object as they are shown; lines joined by a backslash are one."""
    before = SHOWN_BEFORE.get(name.rpartition(":")[2].removeprefix("auto"), "")
    whole = "\n".join(lines).replace("\\\n", " ").split("\n")
    return [before + _ESCAPE.sub(r"\1", line.strip()) for line in whole if line.strip()]


def is_object(name: str) -> bool:
    """Return whether the directive documents an object that has a heading of its own."""
    bare = name.removeprefix("py:")
    return bare in PYTHON or name in PREFIXED or name in OPTIONS or name.startswith(OTHER_DOMAINS)


@dataclass
class Namespace:
    """The module, class and program that the next directives belong to."""

    module: str = ""
    parent: str = ""
    program: str = ""

    def anchor(self, name: str, signature: str, options: dict[str, str]) -> str:
        """Return the object's fragment, or an empty string where Sphinx's is not known."""
        if "noindex" in options or "no-index" in options:
            return ""
        bare = name.removeprefix("py:")
        if bare in PYTHON:
            if not _WHOLE.match(signature):
                return ""
            return _join(options.get("module", self.module), self._full_name(signature))
        if name in OPTIONS:
            option = _OPTION.match(signature)
            return "-".join(filter(None, ["cmdoption", *self.program.split(), option.group(1)])) if option else ""
        if name in PREFIXED:
            return PREFIXED[name] + _NOT_ID.sub("-", signature.partition(" ")[0])
        return ""

    def enter(self, name: str, signature: str) -> str:
        """Make an object the parent of those in its body, and return the parent to restore when the body ends."""
        left, bare = self.parent, name.removeprefix("py:").removeprefix("auto")
        full = self._full_name(signature)
        if bare in CLASSES:
            self.parent = full
        elif bare in PYTHON and "." in full:
            self.parent = full.rpartition(".")[0]
        if name == "django-admin":
            self.program = signature.partition(" ")[0]
        return left

    def _full_name(self, signature: str) -> str:
        """Return the name with its class, which the signature may repeat."""
        match = _NAME.match(signature)
        if not match:
            return ""
        prefix, name = (match.group(1) or "").rstrip("."), match.group(2)
        if not self.parent or prefix == self.parent or prefix.startswith(self.parent + "."):
            return _join(prefix, name)
        return _join(self.parent, _join(prefix, name))


def _join(prefix: str, name: str) -> str:
    """Return ``prefix.name``, or ``name`` as it is if either of the two is empty."""
    return f"{prefix}.{name}" if prefix and name else name
