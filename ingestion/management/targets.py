"""Targets and the options of sources, as the commands that take them share them."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

from django.core.management.base import CommandError

from ingestion.exceptions import IngestionError
from ingestion.sources.registry import KINDS, detect_kind, normalise
from ingestion.types import Json


def add_source_options(parser: ArgumentParser) -> None:
    """Add the targets, and what a source's row holds."""
    parser.add_argument("targets", nargs="+", metavar="TARGET")
    parser.add_argument("--kind", choices=sorted(KINDS), help="instead of telling it from the target")
    parser.add_argument("--name", help="the source's name (default: its target); one target only")
    parser.add_argument("--product", help="what it documents, such as django")
    parser.add_argument("--version", help="of the product, such as 5.2; searches read the newest one")
    parser.add_argument(
        "--include",
        action="append",
        default=[],
        metavar="GLOB",
        help="only these (repeatable); PDF, Office and EPUB files of a website only where a glob ends so, as *.pdf",
    )
    parser.add_argument("--exclude", action="append", default=[], metavar="GLOB", help="never these (repeatable)")
    parser.add_argument("--max-pages", type=int, metavar="N", help="at most this many documents")
    parser.add_argument("--depth", type=int, metavar="N", help="links followed from the first page (websites)")
    parser.add_argument("--max-alike", type=int, metavar="N", help="linked pages of one form of address; 0: no bound")
    parser.add_argument("--delay", type=float, metavar="SECONDS", help="between two requests to one host")
    parser.add_argument("--connections", type=int, metavar="N", help="requests at a time to one host; 0: no bound")


def expand(targets: list[str]) -> list[str]:
    """Return the different targets, @files replaced by their lines; empty lines and # comments are skipped."""
    found: list[str] = []
    for target in targets:
        if not target.startswith("@"):
            found.append(target)
            continue
        try:
            lines = Path(target[1:]).read_text().splitlines()
        except OSError as error:
            raise CommandError(f"{target}: {error.strerror}. @ names a text file with one target per line.") from error
        found += [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    return list(dict.fromkeys(found))


def identify(target: str, options: Json) -> tuple[str, str]:
    """Return the kind and the normal form of a target."""
    try:
        kind = options["kind"] or detect_kind(target)
        return kind, normalise(kind, target)
    except IngestionError as error:
        raise CommandError(str(error)) from error


def fields_given(options: Json) -> Json:
    """Return the source's fields that the command line names."""
    given = {
        "include": options["include"] or None,
        "exclude": options["exclude"] or None,
        "max_pages": options["max_pages"],
        "max_depth": options["depth"],
        "max_alike": options["max_alike"],
        "delay_seconds": options["delay"],
        "connections": options["connections"],
        "refresh_seconds": options["refresh"],
        "name": options["name"],
        "product": options["product"],
        "version": options["version"],
    }
    return {field: value for field, value in given.items() if value is not None}
