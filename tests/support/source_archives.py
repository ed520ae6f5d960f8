"""Other projects' source archives, for the data of their tests: transferred by pip, checked, never run.

The files are kept for the next time in a folder for temporary files, and their hashes are compared whenever one is
opened. Where no registry answers, the tests that ask for one are skipped with the reason, or fail if REQUIRE_CORPORA
is set.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
from functools import cache
from pathlib import Path

import pytest

# Project -> version and SHA-256 of its source archive.
ARCHIVES = {
    "beautifulsoup4": ("4.15.0", "288e3ca7d54b06f2ac191970bc275c1939cb46d450b255bf6718b04aa37ab4f7"),
    "html5lib": ("1.1", "b2e5b40261e20f354d198eae92afc10d750afb487ed5e50f9c4eaf07c184146f"),
    "w3lib": ("2.5.0", "a7ddf714508ddc1b8563bd19ace2feb28080bbaca39326cbc964359f6754f615"),
    "scrapy": ("2.19.0", "34130726582b64c91531162ab277c4053e558876d49ba219cb43679e71d80a87"),
    "advocate": ("1.0.0", "1bf1170e41334279996580329c594e017540ab0eaf7a152323e743f0a85a353d"),
}
FOLDER = Path(tempfile.gettempdir()) / f"ragproject-source-archives-{os.getuid()}"
TRANSFER = Path(__file__).with_name("pip_transfer.py")
TRANSFER_SECONDS = 120


def read(project: str, path: str) -> bytes:
    """One file of the project's archive, the only one whose name ends so."""
    (body,) = (body for name, body in files(project) if name.endswith(path))
    return body


def read_all(project: str, under: str, ending: str = "") -> dict[str, bytes]:
    """The files below a folder, by their names in it."""
    found = {name.partition(under)[2]: body for name, body in files(project) if under in name}
    return {name: body for name, body in found.items() if name.endswith(ending)}


@cache
def files(project: str) -> list[tuple[str, bytes]]:
    with tarfile.open(archive(project)) as tar:
        found = [(member.name, tar.extractfile(member)) for member in tar if member.isfile()]
        return [(name, file.read()) for name, file in found if file and "test" in name]


def archive(project: str) -> Path:
    if not is_whole(project):
        fault = transferred()
        if not is_whole(project):
            unavailable(project, fault or "what came has another hash than the one that is written here")
    return path_of(project)


def path_of(project: str) -> Path:
    return FOLDER / f"{project}-{ARCHIVES[project][0]}.tar.gz"


def is_whole(project: str) -> bool:
    path = path_of(project)
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == ARCHIVES[project][1]


def unavailable(project: str, fault: str) -> None:
    reason = f"{path_of(project).name} could not be had from the package registry: {fault}"
    if os.environ.get("REQUIRE_CORPORA"):
        pytest.fail(reason)
    pytest.skip(reason)


@cache
def transferred() -> str:
    """Have pip fetch all that is missing, once. Returns what went wrong, if anything did."""
    missing = [f"{project}=={version}" for project, (version, _) in ARCHIVES.items() if not is_whole(project)]
    command = [sys.executable, str(TRANSFER), str(FOLDER), *missing]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TRANSFER_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"pip did not end within {TRANSFER_SECONDS} s"
    return done.stderr.strip()[-500:] if done.returncode else ""
