"""The include and exclude globs of a source.

``*`` also matches slashes, so that ``*.md`` finds Markdown at any depth; ``**/`` may stand for no folder at all, as in
a shell. Case matters.
"""

from __future__ import annotations

import re
from fnmatch import translate
from functools import lru_cache

from ingestion.types import SourceSpec


def wanted(spec: SourceSpec, *names: str) -> bool:
    """Return whether the globs let a document through.

    A document may have several names (a web page its address, its path, and its path below the source's), and a glob
    may match any of them. No include glob means everything; an exclude glob has priority.
    """
    if spec.exclude and any(map(_compiled(spec.exclude).match, names)):
        return False
    return not spec.include or any(map(_compiled(spec.include).match, names))


@lru_cache(maxsize=64)
def _compiled(globs: tuple[str, ...]) -> re.Pattern[str]:
    """Return one expression for all globs: ``fnmatch`` caches 256, and a site may have a million links."""
    spellings = dict.fromkeys(spelling for glob in globs for spelling in (glob, glob.replace("**/", "")))
    return re.compile("|".join(map(translate, spellings)))
