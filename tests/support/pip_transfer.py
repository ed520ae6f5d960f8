"""`pip_transfer.py FOLDER NAME==VERSION …`: source archives as the package registry has them, and nothing built.

`pip download` builds each archive to learn its metadata, which runs its code and takes 5 s. Here pip only looks the
file up and transfers it, with its own settings, in 0.3 s. A script of its own, because that part of pip is made for
a process that does nothing else.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from pip._internal.commands import create_command
from pip._vendor.packaging.specifiers import SpecifierSet

OPTIONS = ["--no-deps", "--no-binary", ":all:", "--retries", "1", "--timeout", "20", "--disable-pip-version-check"]


def transfer(folder: Path, requirements: list[str]) -> list[str]:
    """What is not to be had as a source archive; the others lie in the folder."""
    command: Any = create_command("download")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with command.main_context():
        options, _ = command.parse_args(OPTIONS)
        session = command.get_default_session(options)
        finder = command._build_package_finder(options, session)
        return [wanted for wanted in requirements if not transfer_one(folder, wanted, session, finder)]


def transfer_one(folder: Path, requirement: str, session: Any, finder: Any) -> bool:
    name, _, version = requirement.partition("==")
    found = finder.find_best_candidate(name, SpecifierSet(f"=={version}")).best_candidate
    if found is None:
        return False
    answer = session.get(found.link.url_without_fragment)
    answer.raise_for_status()
    store(folder / f"{name}-{version}.tar.gz", answer.content)
    return True


def store(path: Path, body: bytes) -> None:
    part = path.with_suffix(f".{os.getpid()}")
    part.write_bytes(body)
    part.replace(path)


if __name__ == "__main__":
    if absent := transfer(Path(sys.argv[1]), sys.argv[2:]):
        sys.exit(f"there is no source archive of {', '.join(absent)}")
