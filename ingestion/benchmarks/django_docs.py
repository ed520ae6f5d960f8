"""Django's documentation, from its source archive on the package registry: 656 files of reStructuredText, 6.15 MB.

Out: the folder that holds it. Raises SourceError when the archive cannot be downloaded.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

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
    """Unpack the .txt files below docs/; they are moved into place when they are complete."""
    partial = docs.parent.with_suffix(".partial")
    with tarfile.open(archive) as tar:
        wanted = [m for m in tar if m.name.partition("/")[2].startswith("docs/") and m.name.endswith(".txt")]
        tar.extractall(partial, members=wanted, filter="data")
    next(partial.iterdir()).rename(docs.parent)
    partial.rmdir()
