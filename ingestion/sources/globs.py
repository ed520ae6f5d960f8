"""Which documents a source's include and exclude globs let through.

``*`` also crosses slashes, so that ``*.md`` finds Markdown at any depth; ``**/`` may stand for no folder
at all, as in a shell. Capitals count.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

from ingestion.types import SourceSpec


def wanted(spec: SourceSpec, name: str) -> bool:
    """No include glob means everything; an exclude glob wins."""
    if any(_matches(name, glob) for glob in spec.exclude):
        return False
    return not spec.include or any(_matches(name, glob) for glob in spec.include)


def _matches(name: str, glob: str) -> bool:
    return fnmatchcase(name, glob) or fnmatchcase(name, glob.replace("**/", ""))
