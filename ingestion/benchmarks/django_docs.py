"""Django's documentation, from its source archive on the package registry: 656 files of reStructuredText, 6.15 MB.

Out: the folder that holds it. Raises SourceError when the archive cannot be downloaded.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path, PurePosixPath

from ingestion.exceptions import SourceError

RELEASE = "5.2.19"


def documentation(folder: Path) -> Path:
    """Return the ``docs`` folder of Django's source archive, which is downloaded to ``folder`` once."""
    docs = folder / f"Django-{RELEASE}" / "docs"
    if docs.is_dir():
        return docs
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
    done = subprocess.run(  # noqa: S603
        [*command, "--dest", str(folder), f"Django=={RELEASE}"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SourceError(f"Django's source archive could not be downloaded:\n{done.stderr.strip()}")
    unpack(min(folder.glob("[Dd]jango-*.tar.gz")), docs)
    return docs


def unpack(archive: Path, docs: Path) -> None:
    """Unpack the .txt files below docs/; they are moved into place when they are complete.

    Written file by file: ``extractall`` knows its safe filter only from Python 3.11.4 on, and Debian 12 has 3.11.2.
    """
    partial = docs.parent.with_suffix(".partial")
    with tarfile.open(archive) as tar:
        for member in tar:
            path = PurePosixPath(member.name.partition("/")[2])
            content = tar.extractfile(member) if member.isfile() else None
            if content and path.parts[:1] == ("docs",) and path.suffix == ".txt" and ".." not in path.parts:
                target = partial / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content.read())
    partial.rename(docs.parent)
