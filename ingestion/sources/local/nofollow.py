"""A path on this machine -> an open descriptor, if no part of the path is a symbolic link.

In: an absolute path that had no links when it was checked. Out: a descriptor of exactly that file or folder. A link
that replaced it, or any folder above it, since then is not followed: OSError. On Linux one folder after another is
opened, each by its name in the one before; macOS has a flag for it.
"""

from __future__ import annotations

import os
from pathlib import Path

# O_PATH, where there is one, asks for no right to list the folders on the way.
FOLDER = os.O_DIRECTORY | os.O_NOFOLLOW | getattr(os, "O_PATH", os.O_RDONLY)
NOFOLLOW_ANY: int = getattr(os, "O_NOFOLLOW_ANY", 0)


def open_nofollow(path: Path, flags: int = os.O_RDONLY) -> int:
    """Open a path without following any link and return the descriptor, which the caller closes. Raise OSError."""
    if NOFOLLOW_ANY:
        return os.open(path, flags | NOFOLLOW_ANY)
    above = os.open(path.anchor, FOLDER)
    try:
        for name in path.parts[1:-1]:
            inner = os.open(name, FOLDER, dir_fd=above)
            os.close(above)
            above = inner
        return os.open(path.name or path.anchor, flags | os.O_NOFOLLOW, dir_fd=above)
    finally:
        os.close(above)
