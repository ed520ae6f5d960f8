"""A path on this machine -> an open descriptor, if no part of the path is a link.

In: an absolute path that was free of links when it was judged. Out: a descriptor of what lies exactly there. A link
that has taken the place of the file, or of any folder above it, since then is not followed: OSError. Linux opens one
folder after another, each by its name in the one before; macOS has a flag for it.
"""

from __future__ import annotations

import os
from pathlib import Path

# O_PATH, where there is one, asks for no right to list the folders on the way.
FOLDER = os.O_DIRECTORY | os.O_NOFOLLOW | getattr(os, "O_PATH", os.O_RDONLY)
NO_LINK_ON_THE_WAY: int = getattr(os, "O_NOFOLLOW_ANY", 0)


def open_nofollow(path: Path, flags: int = os.O_RDONLY) -> int:
    """The caller closes it."""
    if NO_LINK_ON_THE_WAY:
        return os.open(path, flags | NO_LINK_ON_THE_WAY)
    above = os.open(path.anchor, FOLDER)
    try:
        for name in path.parts[1:-1]:
            inner = os.open(name, FOLDER, dir_fd=above)
            os.close(above)
            above = inner
        return os.open(path.name or path.anchor, flags | os.O_NOFOLLOW, dir_fd=above)
    finally:
        os.close(above)
