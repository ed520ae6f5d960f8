"""Which documents a source's include and exclude globs let through.

``*`` also crosses slashes, so that ``*.md`` finds Markdown at any depth; ``**/`` may stand for no folder
at all, as in a shell. Capitals count.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

from ingestion.types import SourceSpec


def wanted(spec: SourceSpec, *names: str) -> bool:
    """No include glob means everything; an exclude glob wins. A document may have several names, a web page
    its address, its path, and its path below the source's; a glob may match any of them."""
    if any(_matches(name, glob) for glob in spec.exclude for name in names):
        return False
    return not spec.include or any(_matches(name, glob) for glob in spec.include for name in names)


def _matches(name: str, glob: str) -> bool:
    return fnmatchcase(name, glob) or fnmatchcase(name, glob.replace("**/", ""))
