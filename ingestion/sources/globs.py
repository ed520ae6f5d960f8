"""Which documents a source's include and exclude globs let through.

``*`` also crosses slashes, so that ``*.md`` finds Markdown at any depth; ``**/`` may stand for no folder
at all, as in a shell. Capitals count.
"""

from __future__ import annotations

import re
from fnmatch import translate
from functools import lru_cache

from ingestion.types import SourceSpec


def wanted(spec: SourceSpec, *names: str) -> bool:
    """No include glob means everything; an exclude glob wins. A document may have several names, a web page
    its address, its path, and its path below the source's; a glob may match any of them."""
    if spec.exclude and any(map(_compiled(spec.exclude).match, names)):
        return False
    return not spec.include or any(map(_compiled(spec.include).match, names))


@lru_cache(maxsize=64)
def _compiled(globs: tuple[str, ...]) -> re.Pattern[str]:
    """All globs as one expression: ``fnmatch`` remembers 256, and a site may have a million links."""
    spellings = dict.fromkeys(spelling for glob in globs for spelling in (glob, glob.replace("**/", "")))
    return re.compile("|".join(map(translate, spellings)))
